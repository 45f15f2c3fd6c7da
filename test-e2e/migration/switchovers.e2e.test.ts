/** Primaries change while data moves, and change back after it: what a member was told as a primary then does not come back. */
import { beforeAll, expect, it } from 'vitest';
import { startLoad } from '#test-e2e/load/deploy.ts';
import { switchover } from '#test-e2e/support/faults.ts';
import type { Traces } from '#test-e2e/support/migration-leaks.ts';
import { endedAs, migration, patchMigration, reached, tellMigration } from '#test-e2e/support/migrations.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { cleanAfter, nothingWentWrong, setUp } from './scene.ts';

const space = useNamespace('switchovers');
const shards = ['fleet-0', 'fleet-1'] as const;
const slots = { from: 'fleet-0', to: 'fleet-1', ranges: [{ first: 0, last: 2047 }] };
let before: Traces;

beforeAll(async () => {
  before = await setUp(space.current, { shards: 2 });
});

const primaries = () => Promise.all(shards.map(shard => space.current.primaryOf(shard)));

async function switchBothOver(): Promise<void> {
  const ns = space.current;
  for (const shard of shards) await switchover(ns, shard);
  await ns.current('fleet', { deadlineMs: 300_000 });
}

it('leaves nothing at members that were primaries at different times of a migration', async () => {
  const ns = space.current;
  const first = await primaries();
  const load = await startLoad(ns, { replicas: true, ballastPerOwner: 100 });
  await ns.apply(migration('moved', { slots, cutover: { mode: 'Manual' } }));
  await reached(ns, 'moved', 'SwitchWrites');
  await switchBothOver();
  await patchMigration(ns, 'moved', { cutover: { approved: true } });
  tellMigration('switched over to and fro', await endedAs(ns, 'moved', 'Completed'));
  await switchBothOver();
  expect(await primaries()).toEqual(first);
  await cleanAfter(ns, before, await nothingWentWrong('switched over to and fro', load, 'disturbed'));
});
