/** A range-sharded fleet of text keys: neighbours live together, bounds belong to the right-hand shard. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Client } from '#client/index.ts';
import { connectClient } from '#test-e2e/support/client.ts';
import { fleet, schema, single } from '#test-e2e/support/fleet.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { holdersOf } from './keys.ts';

const space = useNamespace('range');
let client: Client;

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(schema('schema', { '1.sql': 'CREATE TABLE books (title text PRIMARY KEY, pages int)' }));
  await ns.apply(
    fleet({
      ...single,
      shards: 3,
      schema: { configMaps: [{ name: 'schema' }] },
      sharding: {
        algorithm: 'range',
        keyType: 'text',
        range: { splitPoints: ['h', 'q'] },
        tables: [{ name: 'books', key: 'title' }],
      },
    }),
  );
  await ns.current();
  client = await connectClient(ns);
  await client.ready();
});

afterAll(() => client?.close());

const expected = [
  ['', 'fleet-0'],
  ['Zebra', 'fleet-0'],
  ['gzzz', 'fleet-0'],
  ['h', 'fleet-1'],
  ['hamlet', 'fleet-1'],
  ['pzzz', 'fleet-1'],
  ['q', 'fleet-2'],
  ['quartet', 'fleet-2'],
  ['émile', 'fleet-2'],
  ['\u{1F4D5}', 'fleet-2'],
] as const;

it.each(expected)('keeps %j on %s', async (title, shard) => {
  expect(client.locate(title)).toBe(shard);
  await client.forKey(title).query('INSERT INTO books VALUES ($1, 1)', [title]);
  const quoted = title.replaceAll("'", "''");
  expect(await holdersOf(space.current, client, 'books', `title = '${quoted}'`)).toEqual([shard]);
});

it('puts keys in the order that the database compares them in', async () => {
  const titles = expected.map(([title]) => title);
  const list = titles.map(title => `'${title}'`).join(', ');
  const sorted = await superuserSql(
    space.current,
    await space.current.primaryOf('fleet-0'),
    `SELECT '[' || t || ']' FROM unnest(ARRAY[${list}]) AS t ORDER BY t COLLATE "C"`,
  );
  const owners = sorted.map(line => client.locate(line.slice(1, -1)));
  expect(owners).toEqual(owners.toSorted());
});
