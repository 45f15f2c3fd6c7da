/** A fleet by region: rows, and every copy of them, stay on nodes of the region that their column names. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Client } from '#client/index.ts';
import { Nodes, Pods } from '#kernel/resources.ts';
import { slotOf } from '#sharding/slot.ts';
import { connectClient } from '#test-e2e/support/client.ts';
import { fleet, schema, single } from '#test-e2e/support/fleet.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { holdersOf, slotsByDatabase } from './keys.ts';

const space = useNamespace('geo');
const id = '5e0f2c6e-8d0b-4c55-9a3b-0d8f6a1c7b21';
let client: Client;

beforeAll(async () => {
  const ns = space.current;
  const table = 'CREATE TABLE people (id uuid, region text, name text, PRIMARY KEY (id, region))';
  await ns.apply(schema('schema', { '1.sql': table }));
  await ns.apply(
    fleet({
      ...single,
      shards: 3,
      schema: { configMaps: [{ name: 'schema' }] },
      placement: {
        regions: [
          { name: 'eu-west', weight: 2 },
          { name: 'us-east', weight: 1 },
        ],
      },
      sharding: {
        algorithm: 'geo',
        keyType: 'uuid',
        geo: { column: 'region' },
        tables: [{ name: 'people', key: 'id' }],
      },
    }),
  );
  await ns.current();
  client = await connectClient(ns);
  await client.ready();
});

afterAll(() => client?.close());

it('deals the shards to the regions by their weights, and runs every member in its region', async () => {
  const ns = space.current;
  const regionOfNode = new Map(
    (await ns.cluster.kube.list(Nodes)).items.map(node => [
      node.metadata.name,
      node.metadata.labels?.['topology.kubernetes.io/region'],
    ]),
  );
  const shards = await ns.shards();
  expect(shards.map(shard => shard.spec.region ?? '').toSorted()).toEqual(['eu-west', 'eu-west', 'us-east']);
  for (const shard of shards) {
    for (const pod of await ns.list(Pods, `shardwright.io/shard=${shard.metadata.name}`)) {
      expect(regionOfNode.get(pod.spec?.nodeName ?? '')).toBe(shard.spec.region);
    }
  }
});

it('keeps the same key of two regions apart, each in its own', async () => {
  const regionOf = new Map(
    (await space.current.shards()).map(({ metadata, spec }) => [metadata.name, spec.region]),
  );
  for (const region of ['eu-west', 'us-east']) {
    const key = { region, key: id };
    await client.forKey(key).query('INSERT INTO people VALUES ($1, $2, $3)', [id, region, `of ${region}`]);
    expect(regionOf.get(client.locate(key))).toBe(region);
    const holders = await holdersOf(space.current, client, 'people', `region = '${region}'`);
    expect(holders).toEqual([client.locate(key)]);
  }
});

it('finds the slot of a uuid as the database does', async () => {
  const keys = [id, '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'];
  const { slots } = await client.ready();
  expect(keys.map(key => slotOf(key, 'uuid', slots))).toEqual(
    await slotsByDatabase(space.current, 'fleet-0', 'uuid', keys, slots),
  );
});

it('refuses a region that has no shard, and a key without one', () => {
  expect(() => client.locate({ region: 'mars', key: id })).toThrow(/mars/);
  expect(() => client.locate(id)).toThrow(/region/);
});
