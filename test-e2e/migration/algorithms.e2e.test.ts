/** What moves is not always slots: ranges of keys, entries of a directory, slots of one region. */
import { afterEach, describe, expect, it } from 'vitest';
import { startLoad } from '#test-e2e/load/deploy.ts';
import { connectClient } from '#test-e2e/support/client.ts';
import { single } from '#test-e2e/support/fleet.ts';
import { clearNamespace, createNamespace } from '#test-e2e/support/lifecycle.ts';
import { endedAs, migration, tellMigration } from '#test-e2e/support/migrations.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { ShardClusters, Shards } from '#test-e2e/support/resources.ts';
import { cleanAfter, nothingWentWrong, setUp } from './scene.ts';

let ns: TestNamespace | undefined;

afterEach(async () => {
  if (ns) await clearNamespace(ns);
  ns = undefined;
});

async function locations(
  namespace: TestNamespace,
  keys: readonly (string | { region: string; key: string })[],
): Promise<string[]> {
  await using client = await connectClient(namespace);
  await client.ready();
  return keys.map(key => client.locate(key));
}

describe('a range-sharded fleet', () => {
  it('merges two neighbours, and splits what they became again', async () => {
    ns = await createNamespace('ranges');
    const before = await setUp(ns, {
      ...single,
      shards: 3,
      sharding: { algorithm: 'range', range: { splitPoints: ['40', '80'] } },
    });
    expect(await locations(ns, ['39', '40', '79', '80'])).toEqual([
      'fleet-0',
      'fleet-1',
      'fleet-1',
      'fleet-2',
    ]);
    await ns.patch(ShardClusters, 'fleet', { spec: { shards: 2 } });
    let load = await startLoad(ns, { ballastPerOwner: 50 });
    await ns.apply(migration('merge', { merge: { shards: ['fleet-2', 'fleet-1'], into: 'fleet-2' } }));
    tellMigration('merge of ranges', await endedAs(ns, 'merge', 'Completed'));
    await ns.gone(Shards, 'fleet-1');
    await cleanAfter(ns, before, await nothingWentWrong('merge of ranges', load));
    expect(await locations(ns, ['39', '40', '79', '80'])).toEqual([
      'fleet-0',
      'fleet-2',
      'fleet-2',
      'fleet-2',
    ]);

    await ns.patch(ShardClusters, 'fleet', { spec: { shards: 3 } });
    await ns.current();
    load = await startLoad(ns, { ballastPerOwner: 50, seed: 2 });
    await ns.apply(migration('split', { split: { shard: 'fleet-2' } }));
    tellMigration('split of ranges', await endedAs(ns, 'split', 'Completed'));
    await cleanAfter(ns, before, await nothingWentWrong('split of ranges', load));
    expect(new Set(await locations(ns, ['79', '80']))).toEqual(new Set(['fleet-2', 'fleet-3']));
  });

  it('splits a lone range at two keys', async () => {
    ns = await createNamespace('range');
    const before = await setUp(ns, {
      ...single,
      shards: 1,
      sharding: { algorithm: 'range', range: { splitPoints: [] } },
    });
    await ns.patch(ShardClusters, 'fleet', { spec: { shards: 3 } });
    await ns.current();
    const load = await startLoad(ns, { ballastPerOwner: 50 });
    await ns.apply(migration('split', { split: { shard: 'fleet-0', into: 3, at: ['40', '80'] } }));
    tellMigration('split of a lone range', await endedAs(ns, 'split', 'Completed'));
    await cleanAfter(ns, before, await nothingWentWrong('split of a lone range', load));
    expect(await locations(ns, ['39', '40', '79', '80'])).toEqual([
      'fleet-0',
      'fleet-1',
      'fleet-1',
      'fleet-2',
    ]);
  });
});

describe('a fleet with a directory', () => {
  it('splits the entries of a shard', async () => {
    ns = await createNamespace('entries');
    const entries = Array.from({ length: 8 }, (_, n) => ({ key: `owner-000${n}`, shard: 0 }));
    const before = await setUp(
      ns,
      {
        ...single,
        shards: 3,
        sharding: { algorithm: 'directory', keyType: 'text', directory: { defaultShard: 1, entries } },
      },
      { keyType: 'text' },
    );
    const keys = entries.map(({ key }) => key);
    const load = await startLoad(ns, { shape: { keyType: 'text' }, ballastPerOwner: 50 });
    await ns.apply(migration('split', { split: { shard: 'fleet-0' } }));
    tellMigration('split of a directory', await endedAs(ns, 'split', 'Completed'));
    await cleanAfter(ns, before, await nothingWentWrong('split of a directory', load));
    const found = await locations(ns, keys);
    for (const shard of ['fleet-0', 'fleet-2']) expect(found.filter(each => each === shard).length).toBe(4);
    expect(await locations(ns, ['owner-0100'])).toEqual(['fleet-1']);
  });
});

describe('a fleet by region', () => {
  it('moves slots between two shards of one region, and leaves the other region alone', async () => {
    ns = await createNamespace('regions');
    const regions = ['eu-west', 'us-east'];
    const shape = { keyType: 'uuid', regions } as const;
    const before = await setUp(
      ns,
      {
        ...single,
        shards: 3,
        placement: {
          regions: [
            { name: 'eu-west', weight: 2 },
            { name: 'us-east', weight: 1 },
          ],
        },
        sharding: { algorithm: 'geo', keyType: 'uuid', geo: { column: 'region' } },
      },
      { ...shape, regions },
    );
    const [from, to] = (await ns.shards())
      .filter(({ spec }) => spec.region === 'eu-west')
      .map(({ metadata }) => metadata.name);
    if (from === undefined || to === undefined) throw new Error('two shards of the region were expected');
    const load = await startLoad(ns, { shape: { keyType: 'uuid', regions }, ballastPerOwner: 50 });
    const ranges = [{ first: 0, last: 2047 }];
    await ns.apply(migration('slots', { slots: { from, to, ranges } }));
    tellMigration('slots of a region', await endedAs(ns, 'slots', 'Completed'));
    await cleanAfter(ns, before, await nothingWentWrong('slots of a region', load));
    const counts = new Map(
      (await ns.shards()).map(({ metadata, spec }) => [metadata.name, spec.sharding.slotCount]),
    );
    expect([counts.get(from), counts.get(to)]).toEqual([8192 - 2048, 8192 + 2048]);
  });
});
