/** Taken back in each phase: nothing stays, and the application does not notice. */
import { beforeAll, expect, it } from 'vitest';
import { migrationStep } from '#crds/api/migration/status.ts';
import { startLoad } from '#test-e2e/load/deploy.ts';
import { single } from '#test-e2e/support/fleet.ts';
import type { Traces } from '#test-e2e/support/migration-leaks.ts';
import { endedAs, migration, patchMigration, reached, tellMigration } from '#test-e2e/support/migrations.ts';
import { ShardMigrations } from '#test-e2e/support/resources.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { cleanAfter, nothingWentWrong, setUp } from './scene.ts';

const space = useNamespace('abort');
let before: Traces;

beforeAll(async () => {
  before = await setUp(space.current, { ...single, shards: 2 });
});

it.each(migrationStep.options)('in phase %s', async phase => {
  const ns = space.current;
  const owned = async () => (await ns.shards()).map(({ spec }) => spec.sharding.slotCount);
  const owners = await owned();
  const load = await startLoad(ns, { ballastPerOwner: 400 });
  const name = `abort-${phase.toLowerCase()}`;
  // Waits before the cutover, unless what comes after it is what is to be undone.
  const cutover = { mode: phase === 'VerifyAndCleanup' ? 'Automatic' : 'Manual' } as const;
  const ranges = [{ first: 0, last: 4095 }];
  await ns.apply(
    migration(name, { slots: { from: 'fleet-0', to: 'fleet-1', ranges }, cutover, rollbackWindow: '1h' }),
  );
  await reached(ns, name, phase);
  await patchMigration(ns, name, { abort: true });
  tellMigration(name, await endedAs(ns, name, phase === 'VerifyAndCleanup' ? 'RolledBack' : 'Aborted'));
  await cleanAfter(ns, before, await nothingWentWrong(name, load));
  expect(await owned()).toEqual(owners);
});

it('is refused once the rollback window is over', async () => {
  const ns = space.current;
  const ranges = [{ first: 0, last: 4095 }];
  await ns.apply(migration('too-late', { slots: { from: 'fleet-0', to: 'fleet-1', ranges } }));
  await endedAs(ns, 'too-late', 'Completed');
  await patchMigration(ns, 'too-late', { abort: true });
  const after = await ns.until(ShardMigrations, 'too-late', object =>
    object?.status?.observedGeneration === object?.metadata.generation ? undefined : 'not seen yet',
  );
  expect(after.status?.phase).toBe('Completed');
});
