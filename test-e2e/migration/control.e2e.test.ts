/** A person steers: looks first, waits, approves, suspends, queues, takes back. */
import { beforeAll, describe, expect, it } from 'vitest';
import { annotations } from '#crds/api/names.ts';
import { startLoad } from '#test-e2e/load/deploy.ts';
import { conditionOf } from '#test-e2e/support/conditions.ts';
import { single } from '#test-e2e/support/fleet.ts';
import { nothingLeft, type Traces } from '#test-e2e/support/migration-leaks.ts';
import {
  annotate,
  endedAs,
  migration,
  patchMigration,
  phaseOf,
  reached,
  statusOf,
  story,
} from '#test-e2e/support/migrations.ts';
import { ShardMigrations } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';
import { cleanAfter, nothingWentWrong, setUp } from './scene.ts';

const space = useNamespace('control');
const operation = { slots: { from: 'fleet-0', to: 'fleet-1', ranges: [{ first: 0, last: 99 }] } };
let before: Traces;

beforeAll(async () => {
  before = await setUp(space.current, { ...single, shards: 3 });
});

/** Slots of a shard by its own database: what its logins of today are made for. */
async function slotsOf(shard: string): Promise<number | undefined> {
  const found = (await space.current.shards()).find(({ metadata }) => metadata.name === shard);
  return found?.spec.sharding.slotCount;
}

describe('dryRun', () => {
  it('writes the plan and the findings, and touches nothing', async () => {
    const ns = space.current;
    const owned = await slotsOf('fleet-0');
    await ns.apply(migration('dry', { ...operation, dryRun: true }));
    const { status } = await ns.until(ShardMigrations, 'dry', object =>
      object?.status?.plan && object.status.preflight && object.status.estimate ? undefined : story(object),
    );
    expect(status?.plan?.join('\n')).toContain('fleet-1');
    expect(status?.preflight?.findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    await nothingLeft(ns, before);
    expect(await slotsOf('fleet-0')).toBe(owned);
    await ns.delete(ShardMigrations, 'dry');
    await ns.gone(ShardMigrations, 'dry');
  });
});

describe('a manual cutover', () => {
  it('waits, and goes on when it is approved', async () => {
    const ns = space.current;
    const load = await startLoad(ns, { ballastPerOwner: 20 });
    const owned = (await slotsOf('fleet-0')) ?? 0;
    await ns.apply(migration('manual', { ...operation, cutover: { mode: 'Manual' } }));
    await ns.until(ShardMigrations, 'manual', object => {
      const message = object ? conditionOf(object, 'Ready')?.message : undefined;
      const waits = phaseOf(object) === 'SwitchWrites' && message?.includes(annotations.cutover);
      return waits ? undefined : story(object);
    });
    expect((await statusOf(ns, 'manual')).cutover?.time).toBeUndefined();
    expect(await slotsOf('fleet-0')).toBe(owned);
    await annotate(ns, 'manual', annotations.cutover);
    await endedAs(ns, 'manual', 'Completed');
    await cleanAfter(ns, before, await nothingWentWrong('manual cutover', load));
    expect(await slotsOf('fleet-0')).toBe(owned - 100);
  });
});

describe('a pace', () => {
  it('has the copier copy in ranges, which writes keep out of and leave nothing behind', async () => {
    const ns = space.current;
    const load = await startLoad(ns, { ballastPerOwner: 200, seed: 7 });
    const owned = (await slotsOf('fleet-0')) ?? 0;
    await ns.apply(
      migration('paced', {
        slots: { ...operation.slots, ranges: [{ first: 1000, last: 1099 }] },
        pace: { maxBytesPerSecond: '1Mi', parallel: 2, maxCommitLatency: '10s' },
      }),
    );
    await endedAs(ns, 'paced', 'Completed');
    await cleanAfter(ns, before, await nothingWentWrong('paced copy', load));
    expect(await slotsOf('fleet-0')).toBe(owned - 100);
  });
});

describe('suspend', () => {
  it('stays where it is while changes go on being copied, and a second migration waits for the shard', async () => {
    const ns = space.current;
    const load = await startLoad(ns, { ballastPerOwner: 20, seed: 2 });
    const back = { slots: { from: 'fleet-1', to: 'fleet-0', ranges: [{ first: 0, last: 99 }] } };
    await ns.apply(migration('first', { ...back, cutover: { mode: 'Manual' } }));
    await reached(ns, 'first', 'SyncChanges');
    await patchMigration(ns, 'first', { suspend: true, cutover: { approved: true } });
    const other = { slots: { from: 'fleet-1', to: 'fleet-2', ranges: [{ first: 8000, last: 8099 }] } };
    await ns.apply(migration('second', other));
    await ns.until(ShardMigrations, 'second', object =>
      object?.status?.waitingFor?.includes('first') ? undefined : story(object),
    );
    expect(phaseOf(await ns.get(ShardMigrations, 'second'))).toBe('Pending');
    const suspended = await ns.until(ShardMigrations, 'first', object =>
      object && conditionOf(object, 'Ready')?.reason === 'Suspended' ? undefined : story(object),
    );
    expect(suspended.status?.cutover?.time).toBeUndefined();
    await patchMigration(ns, 'first', { suspend: false });
    await endedAs(ns, 'first', 'Completed');
    await endedAs(ns, 'second', 'Completed');
    await cleanAfter(ns, before, await nothingWentWrong('suspended, and one after the other', load));
  });
});

describe('a window', () => {
  it('holds the cutover back until it opens', async () => {
    const ns = space.current;
    const hour = (new Date().getUTCHours() + 12) % 24;
    await ns.apply(
      migration('window', {
        slots: { from: 'fleet-2', to: 'fleet-1', ranges: [{ first: 8000, last: 8099 }] },
        cutover: { window: `* ${hour} * * *` },
      }),
    );
    await reached(ns, 'window', 'SwitchWrites');
    const { status } = await ns.until(ShardMigrations, 'window', object =>
      JSON.stringify(object?.status?.conditions ?? []).includes('window') ? undefined : story(object),
    );
    expect(status?.cutover?.time).toBeUndefined();
    await patchMigration(ns, 'window', { cutover: { window: '* * * * *' } });
    await endedAs(ns, 'window', 'Completed');
    await nothingLeft(ns, before);
  });
});

describe('deleting the resource', () => {
  const ranges = [{ first: 0, last: 99 }];

  it('undoes everything before the cutover', async () => {
    const ns = space.current;
    const owned = await slotsOf('fleet-0');
    const load = await startLoad(ns, { seed: 3 });
    const spec = { slots: { from: 'fleet-0', to: 'fleet-2', ranges }, cutover: { mode: 'Manual' } } as const;
    await ns.apply(migration('taken-back', spec));
    await reached(ns, 'taken-back', 'SwitchWrites');
    await ns.delete(ShardMigrations, 'taken-back');
    await ns.gone(ShardMigrations, 'taken-back');
    await cleanAfter(ns, before, await nothingWentWrong('deleted before the cutover', load));
    expect(await slotsOf('fleet-0')).toBe(owned);
  });

  it('finishes the work after the cutover', async () => {
    const ns = space.current;
    const owned = (await slotsOf('fleet-0')) ?? 0;
    const load = await startLoad(ns, { seed: 4 });
    await ns.apply(
      migration('kept', { slots: { from: 'fleet-0', to: 'fleet-2', ranges }, rollbackWindow: '1h' }),
    );
    await reached(ns, 'kept', 'VerifyAndCleanup');
    await ns.delete(ShardMigrations, 'kept');
    await ns.gone(ShardMigrations, 'kept', { deadlineMs: 300_000 });
    await cleanAfter(ns, before, await nothingWentWrong('deleted after the cutover', load));
    expect(await slotsOf('fleet-0')).toBe(owned - 100);
  });
});

it('leaves every shard with the logins of its generation and no others', async () => {
  const ns = space.current;
  // One login of each kind, of the generation that the map names: those of all earlier ones are gone.
  for (const { metadata, spec } of await ns.shards()) {
    await eventually(`${metadata.name} has the logins of its generation only`, ns.name, async () => {
      const primary = await ns.primaryOf(metadata.name);
      const logins = await superuserSql(
        ns,
        primary,
        "SELECT rolname FROM pg_roles WHERE rolname ~ '_g[0-9]+$' AND rolcanlogin ORDER BY 1",
      );
      const wanted = [`app_g${spec.generation}`, `app_ro_g${spec.readerGeneration}`];
      if (logins.join() === wanted.join()) return true;
      throw new Error(`${logins.join()} instead of ${wanted.join()}`);
    });
  }
});
