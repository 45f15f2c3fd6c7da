/** A hash-sharded fleet through the client library: the database, the client and the map agree on every key's place. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Client } from '#client/index.ts';
import { slotOf } from '#sharding/slot.ts';
import { connectClient } from '#test-e2e/support/client.ts';
import { fleet, single, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { holdersOf, slotsByDatabase } from './keys.ts';

const space = useNamespace('hash');
const slots = 1024;
let client: Client;

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet({ ...usual, ...single, shards: 3, sharding: { ...usual.sharding, slots } }));
  await ns.current();
  client = await connectClient(ns);
  await client.ready();
});

afterAll(() => client?.close());

const keys = [0n, 1n, -1n, 42n, 2n ** 31n, -(2n ** 31n) - 1n, 2n ** 63n - 1n, -(2n ** 63n), 1_000_003n];

it('finds the same slot as the database’s own hash function', async () => {
  const sampled = [...keys, ...Array.from({ length: 200 }, (_, n) => BigInt(n) * 7919n - 500n)];
  const computed = sampled.map(key => slotOf(key, 'bigint', slots));
  expect(computed).toEqual(await slotsByDatabase(space.current, 'fleet-0', 'bigint', sampled, slots));
});

it('writes each row to its owner and nowhere else, and reads it back', async () => {
  for (const key of keys) {
    await client.forKey(key).query('INSERT INTO users VALUES ($1, $2)', [key, `user ${key}`]);
  }
  for (const key of keys) {
    const { rows } = await client
      .forKey(key)
      .query<{ name: string }>('SELECT name FROM users WHERE id = $1', [key]);
    expect(rows).toEqual([{ name: `user ${key}` }]);
    expect(await holdersOf(space.current, client, 'users', `id = ${key}`)).toEqual([client.locate(key)]);
  }
});

it('spreads rows over all shards, and scatter sees every one of them once', async () => {
  await client.scatter('DELETE FROM users', { idempotent: true });
  const ids = Array.from({ length: 300 }, (_, n) => n);
  await Promise.all(ids.map(id => client.forKey(id).query("INSERT INTO users VALUES ($1, 'x')", [id])));
  const { rows } = await client.scatter<{ id: string }>('SELECT id FROM users');
  expect(rows.map(row => Number(row.id)).toSorted((a, b) => a - b)).toEqual(ids);
  const owners = new Set(ids.map(id => client.locate(id)));
  expect([...owners].toSorted()).toEqual(['fleet-0', 'fleet-1', 'fleet-2']);
});

it('runs a transaction on one shard: all of it, or nothing', async () => {
  const scope = client.forKey(7001);
  await scope.transaction(async tx => {
    await tx.query("INSERT INTO users VALUES (7001, 'kept')");
  });
  const failing = scope.transaction(async tx => {
    await tx.query("UPDATE users SET name = 'lost' WHERE id = 7001");
    throw new Error('changed my mind');
  });
  await expect(failing).rejects.toThrow('changed my mind');
  const { rows } = await scope.query('SELECT name FROM users WHERE id = 7001');
  expect(rows).toEqual([{ name: 'kept' }]);
});
