/**
 * Whatever dies, and whenever: a migration comes to its end, no acknowledged write is lost or doubled, every scatter is right,
 * and nothing stays. `make matrix`, or MATRIX=all, takes the whole table, MATRIX=part a part that covers every fault and phase.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MigrationStep } from '#crds/api/migration/status.ts';
import { annotations } from '#crds/api/names.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { startLoad } from '#test-e2e/load/deploy.ts';
import { cleanAfter, nothingWentWrong, setUp } from '#test-e2e/migration/scene.ts';
import type { Traces } from '#test-e2e/support/migration-leaks.ts';
import {
  annotate,
  endedAs,
  migration,
  patchMigration,
  phaseOf,
  reached,
  story,
  tellMigration,
} from '#test-e2e/support/migrations.ts';
import { type SmallVolumes, smallVolumes } from '#test-e2e/support/pod-faults.ts';
import { ShardMigrations } from '#test-e2e/support/resources.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { cellsOf, faults, nameOfCell, type Shards } from './migration-faults.ts';

let volumes: SmallVolumes | undefined;
// Runs after the namespace is cleared: hooks of that kind run in the reverse order of their registration.
afterAll(() => volumes?.[Symbol.asyncDispose]());
const space = useNamespace('faults');
let before: Traces;

beforeAll(async () => {
  if (space.current.cluster.kindName === undefined) return;
  volumes = await smallVolumes(space.current, 2);
  before = await setUp(space.current, {
    shards: 2,
    storage: volumes.storage,
    // The volumes are small, and no part of them may be WAL that waits to be recycled.
    engine: { parameters: { shared_buffers: '32MB', max_wal_size: '64MB', min_wal_size: '32MB' } },
  });
});

/** Slots go to and fro between the two shards, so that each cell finds some to move. */
let shards: Shards = { source: 'fleet-0', target: 'fleet-1' };

it.for(cellsOf(process.env['MATRIX']).map(cell => [nameOfCell(cell), ...cell] as const))(
  '%s',
  async ([title, fault, phase, how], { skip }) => {
    const ns = space.current;
    skip(
      ns.cluster.kindName === undefined,
      'processes and networks of nodes can be reached on a kind cluster only',
    );
    await ns.current('fleet', { deadlineMs: 300_000 });
    const name = title.toLowerCase().replaceAll(/[^a-z]+/g, '-');
    const load = await startLoad(ns, { replicas: true, ballastPerOwner: 400 });
    await (how === 'paced' ? beginPaced(name) : begin(name, phase));
    await faults[fault](ns, shards);
    await goOn(name, phase);
    tellMigration(title, await endedAs(ns, name, 'Completed', { deadlineMs: 600_000 }));
    await ns.current('fleet', { deadlineMs: 300_000 });
    await cleanAfter(ns, before, await nothingWentWrong(title, load, 'disturbed'));
    shards = { source: shards.target, target: shards.source };
    expect((await ns.shards()).length).toBe(2);
  },
);

const held = { cutover: { mode: 'Manual' } } as const;
const kept = { rollbackWindow: '1h' } as const;

const ranges = [{ first: 0, last: 2047 }];

/** Comes as far as a copy that is not at its end: the dead weight takes the copier some ten seconds. */
async function beginPaced(name: string): Promise<void> {
  const { source: from, target: to } = shards;
  const pace = { maxBytesPerSecond: '64Ki', parallel: 2, maxCommitLatency: '10s' };
  await space.current.apply(migration(name, { slots: { from, to, ranges }, pace, ...held }));
  await space.current.until(ShardMigrations, name, object => {
    const { rowsCopied = 0 } = object?.status?.progress ?? {};
    if (phaseOf(object) !== 'BulkCopy') return story(object);
    return rowsCopied > 0 ? undefined : 'no row was copied yet';
  });
}

/** Comes as far as the phase. The two that a person can set off are set off last, so that the fault falls into their work. */
async function begin(name: string, phase: MigrationStep): Promise<void> {
  const ns = space.current;
  const { source: from, target: to } = shards;
  const spec = { slots: { from, to, ranges } };
  switch (phase) {
    case 'SwitchWrites':
      await ns.apply(migration(name, { ...spec, ...held }));
      await reached(ns, name, phase);
      await annotate(ns, name, annotations.cutover);
      return;
    case 'VerifyAndCleanup':
      await ns.apply(migration(name, { ...spec, ...kept }));
      await reached(ns, name, phase);
      await annotate(ns, name, annotations.finish);
      return;
    case 'SetupReplication':
    case 'BulkCopy':
    case 'SyncChanges':
    case 'SwitchReads':
      await ns.apply(migration(name, { ...spec, ...held }));
      await reached(ns, name, phase);
      return;
    default:
      assertNever(phase);
  }
}

async function goOn(name: string, phase: MigrationStep): Promise<void> {
  if (phase === 'VerifyAndCleanup' || phase === 'SwitchWrites') return;
  await patchMigration(space.current, name, { cutover: { approved: true } });
}
