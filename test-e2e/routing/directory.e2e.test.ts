/** A fleet with a directory: named keys live where they are said to, all others on the default shard. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Client } from '#client/index.ts';
import { connectClient } from '#test-e2e/support/client.ts';
import { fleet, schema, single } from '#test-e2e/support/fleet.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { holdersOf } from './keys.ts';

const space = useNamespace('directory');
let client: Client;

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(
    schema('schema', {
      '1.sql': 'CREATE TABLE invoices (tenant text, number int, PRIMARY KEY (tenant, number))',
    }),
  );
  await ns.apply(
    fleet({
      ...single,
      shards: 3,
      schema: { configMaps: [{ name: 'schema' }] },
      sharding: {
        algorithm: 'directory',
        keyType: 'text',
        directory: {
          defaultShard: 1,
          entries: [
            { key: 'acme', shard: 0 },
            { key: 'globex', shard: 2 },
          ],
        },
        tables: [{ name: 'invoices', key: 'tenant' }],
      },
    }),
  );
  await ns.current();
  client = await connectClient(ns);
  await client.ready();
});

afterAll(() => client?.close());

it.each([
  ['acme', 'fleet-0'],
  ['globex', 'fleet-2'],
  ['initech', 'fleet-1'],
  ['ACME', 'fleet-1'],
  ['acme ', 'fleet-1'],
])('keeps the rows of %j on %s', async (tenant, shard) => {
  expect(client.locate(tenant)).toBe(shard);
  for (const number of [1, 2]) {
    await client.forKey(tenant).query('INSERT INTO invoices VALUES ($1, $2)', [tenant, number]);
  }
  expect(await holdersOf(space.current, client, 'invoices', `tenant = '${tenant}'`)).toEqual([shard, shard]);
});
