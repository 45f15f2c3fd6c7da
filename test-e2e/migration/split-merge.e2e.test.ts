/** A fleet grows by a split and shrinks by a merge while an application works on it. */
import { beforeAll, expect, it } from 'vitest';
import { startLoad } from '#test-e2e/load/deploy.ts';
import { single } from '#test-e2e/support/fleet.ts';
import type { Traces } from '#test-e2e/support/migration-leaks.ts';
import { endedAs, migration, tellMigration } from '#test-e2e/support/migrations.ts';
import { ShardClusters, Shards } from '#test-e2e/support/resources.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { cleanAfter, nothingWentWrong, setUp } from './scene.ts';

const space = useNamespace('split');
let before: Traces;

beforeAll(async () => {
  before = await setUp(space.current, { ...single, shards: 1 });
});

async function slotsOf(): Promise<(number | undefined)[]> {
  return (await space.current.shards()).map(({ spec }) => spec.sharding.slotCount);
}

it('splits the only shard in three, onto empty shards that spec.shards has asked for', async () => {
  const ns = space.current;
  await ns.kubectl('scale', 'shardcluster/fleet', '--replicas=3');
  await ns.current();
  expect(await slotsOf()).toEqual([16_384, 0, 0]);
  const load = await startLoad(ns, { ballastPerOwner: 100 });
  await ns.apply(migration('split', { split: { shard: 'fleet-0', into: 3 } }));
  const { status } = await endedAs(ns, 'split', 'Completed');
  expect(status?.transfers).toMatchObject([
    { source: 'fleet-0', target: 'fleet-1', targetEmpty: true, whole: false },
    { source: 'fleet-0', target: 'fleet-2', targetEmpty: true, whole: false },
  ]);
  tellMigration('split in three', await endedAs(ns, 'split', 'Completed'));
  const finished = await nothingWentWrong('split in three', load);
  await cleanAfter(ns, before, finished);
  const counts = await slotsOf();
  expect(counts.reduce<number>((sum, count) => sum + (count ?? 0), 0)).toBe(16_384);
  for (const count of counts) expect(Math.abs((count ?? 0) - 16_384 / 3)).toBeLessThan(1);
});

it('merges two shards into one, and the emptied ones go', async () => {
  const ns = space.current;
  await ns.patch(ShardClusters, 'fleet', { spec: { shards: 1 } });
  const load = await startLoad(ns, { ballastPerOwner: 100, seed: 2 });
  await ns.apply(migration('merge', { merge: { shards: ['fleet-0', 'fleet-1', 'fleet-2'] } }));
  const ended = await endedAs(ns, 'merge', 'Completed');
  expect(ended.status?.transfers).toMatchObject([
    { source: 'fleet-1', target: 'fleet-0', targetEmpty: false, whole: true },
    { source: 'fleet-2', target: 'fleet-0', targetEmpty: false, whole: true },
  ]);
  tellMigration('merge', ended);
  for (const gone of ['fleet-1', 'fleet-2']) await ns.gone(Shards, gone);
  const finished = await nothingWentWrong('merge', load);
  await cleanAfter(ns, before, finished);
  expect(await slotsOf()).toEqual([16_384]);
  await ns.current();
});

it('never gives the number of a shard that went to a new one', async () => {
  const ns = space.current;
  await ns.kubectl('scale', 'shardcluster/fleet', '--replicas=2');
  await ns.current();
  expect((await ns.shards()).map(({ metadata }) => metadata.name)).toEqual(['fleet-0', 'fleet-3']);
});
