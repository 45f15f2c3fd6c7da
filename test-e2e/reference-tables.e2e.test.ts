/** Reference tables: written by broadcast only, whole on every shard, later ones included. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Client } from '#client/index.ts';
import { connectClient } from './support/client.ts';
import { hasCondition } from './support/conditions.ts';
import { fleet, single, usual, usualSchema } from './support/fleet.ts';
import { ShardClusters } from './support/resources.ts';
import { superuserSql } from './support/sql.ts';
import { useNamespace } from './support/use-namespace.ts';
import { eventually } from './support/wait.ts';

const space = useNamespace('reference');
let client: Client;

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet({ ...usual, ...single, shards: 2 }));
  await ns.current();
  client = await connectClient(ns);
  await client.ready();
});

afterAll(() => client?.close());

const countries = async (shard: string): Promise<string[]> =>
  superuserSql(
    space.current,
    await space.current.primaryOf(shard),
    "SELECT code || '=' || name FROM countries ORDER BY 1",
  );

it('has a broadcast row on every shard when the call returns', async () => {
  await client.reference('countries').upsert([
    { code: 'NZ', name: 'New Zealand' },
    { code: 'PE', name: 'Perú' },
  ]);
  for (const shard of ['fleet-0', 'fleet-1'])
    expect(await countries(shard)).toEqual(['NZ=New Zealand', 'PE=Perú']);
});

it('applies changes in one order everywhere: updates and deletes too', async () => {
  const table = client.reference('countries');
  const before = await table.upsert([{ code: 'NZ', name: 'Aotearoa' }]);
  const after = await table.delete([{ code: 'PE' }]);
  expect(after.version).toBe(before.version + 1n);
  for (const shard of ['fleet-0', 'fleet-1']) expect(await countries(shard)).toEqual(['NZ=Aotearoa']);
});

it('is only read by the application’s logins', async () => {
  await expect(client.scatter("INSERT INTO countries VALUES ('XX', 'Nowhere')")).rejects.toThrow(
    /permission denied/,
  );
  await expect(client.forShard('fleet-0').query('DELETE FROM countries')).rejects.toThrow(
    /permission denied/,
  );
  const { rows } = await client.forKey(1).query('SELECT name FROM countries');
  expect(rows).toEqual([{ name: 'Aotearoa' }]);
});

it('reaches a shard that comes later', async () => {
  const ns = space.current;
  await ns.kubectl('scale', 'shardcluster/fleet', '--replicas=3');
  await ns.current();
  await ns.until(ShardClusters, 'fleet', hasCondition('ReferencesCurrent', 'True'));
  await eventually('the new shard has the rows', ns.name, async () =>
    (await countries('fleet-2')).join() === 'NZ=Aotearoa' ? true : undefined,
  );
  await client.reference('countries').upsert([{ code: 'FO', name: 'Føroyar' }]);
  expect(await countries('fleet-2')).toEqual(['FO=Føroyar', 'NZ=Aotearoa']);
});
