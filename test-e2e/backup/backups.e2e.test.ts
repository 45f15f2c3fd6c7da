/** A BackupPolicy on a live fleet and a real object store: what it promises, what it measures, and what it says when that is not kept. */
import { beforeAll, expect, it } from 'vitest';
import { annotations, shardChildren } from '#crds/api/names.ts';
import { Jobs, PersistentVolumeClaims, Secrets } from '#kernel/resources.ts';
import { conditionOf, hasCondition } from '#test-e2e/support/conditions.ts';
import { forceDeletePod } from '#test-e2e/support/faults.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard, tell } from '#test-e2e/support/fleet-probe.ts';
import { type NamespaceObjectStore, startObjectStore } from '#test-e2e/support/object-store.ts';
import { BackupPolicies, Shards } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';
import { backupOf, drillNow, policy } from './policy.ts';

const space = useNamespace('backups');
let store: NamespaceObjectStore;
let startedBefore: readonly string[];

const startTimes = async () => {
  const times: string[] = [];
  for (const member of ['fleet-0-0', 'fleet-0-1']) {
    times.push(...(await superuserSql(space.current, member, 'SELECT pg_postmaster_start_time()')));
  }
  return times;
};

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(
    fleet({
      ...usual,
      storage: { size: '512Mi' },
      // What autovacuum does to new tables in their first minutes are commits: nothing is idle then.
      engine: { parameters: { autovacuum_naptime: '1h' } },
    }),
  );
  [store] = await Promise.all([startObjectStore(ns), ns.current()]);
  startedBefore = await startTimes();
  await ns.apply(policy(store));
});

it('protects a fleet by itself: archived without a gap, and with a full backup', async () => {
  const ns = space.current;
  const found = await ns.until(BackupPolicies, 'nightly', hasCondition('Ready', 'True'));
  expect(conditionOf(found, 'BackupsCurrent')?.status).toBe('True');
  await ns.until(BackupPolicies, 'nightly', hasCondition('RPOMet', 'True'));
  const { records = [], archive } = await backupOf(ns, 'fleet-0');
  expect(records.map(({ type }) => type)).toEqual(['full']);
  expect(archive?.continuity).toBe('Verified');
  expect(conditionOf(found, 'RTOMet')?.reason).toBe('NoDrill');
});

it('restarts nothing for that', async () => {
  expect(await startTimes()).toEqual(startedBefore);
});

it('costs an idle shard no object', async () => {
  const ns = space.current;
  await eventually('everything is archived', ns.name, async () =>
    (await backupOf(ns, 'fleet-0')).archive?.rpoSeconds === 0 ? true : undefined,
  );
  const before = await store.list();
  await new Promise(resolve => setTimeout(resolve, 30_000));
  expect(await store.list()).toEqual(before);
});

it('has every acknowledged write in the object store: a drill brings them back', async () => {
  const ns = space.current;
  const probe = await probeShard(ns);
  await new Promise(resolve => setTimeout(resolve, 15_000));
  const report = await probe.finish();
  tell('writes before a drill', report);
  expect(report.missing).toEqual([]);
  const drill = await drillNow(ns, 'fleet-0');
  expect(drill).toMatchObject({ passed: true });
  expect(drill.checks.filter(({ passed }) => !passed)).toEqual([]);
  expect(drill.steps.map(({ name }) => name)).toEqual(['Start', 'Fetch', 'Recover', 'Check']);
  process.stderr.write(`drill: RTO ${drill.rtoSeconds} s, RPO ${drill.rpoSeconds} s, ${drill.bytes} bytes\n`);
  await ns.until(BackupPolicies, 'nightly', hasCondition('RTOMet', 'True'));
  await nothingOfDrills();
});

it('makes an incremental backup when asked', async () => {
  const ns = space.current;
  await ns.patch(BackupPolicies, 'nightly', {
    metadata: { annotations: { [annotations.backupNow]: 'incremental' } },
  });
  const found = await ns.until(Shards, 'fleet-0', shard =>
    shard?.status?.backup?.lastIncremental ? undefined : 'it has no incremental backup',
  );
  const records = found.status?.backup?.records ?? [];
  expect(records.at(-1)).toMatchObject({ type: 'incremental', prior: records[0]?.label, error: false });
});

it('says when the object store is down, which shard it is and why, and catches up alone', async () => {
  const ns = space.current;
  const probe = await probeShard(ns, { durationMs: 600_000 });
  await store.stop();
  const missed = await ns.until(BackupPolicies, 'nightly', hasCondition('RPOMet', 'False'));
  expect(conditionOf(missed, 'RPOMet')?.message).toMatch(/fleet-0: .*behind/);
  await store.start();
  await ns.until(BackupPolicies, 'nightly', hasCondition('RPOMet', 'True'));
  const report = await probe.finish();
  tell('object store down', report);
  expect(report.missing).toEqual([]);
});

it('says when the credentials are no longer good, and takes new ones up', async () => {
  const ns = space.current;
  const putRight = await store.changeCredentials();
  const probe = await probeShard(ns, { durationMs: 600_000 });
  const missed = await ns.until(BackupPolicies, 'nightly', hasCondition('RPOMet', 'False'));
  expect(conditionOf(missed, 'RPOMet')?.message).toContain('fleet-0');
  await putRight();
  // The kubelet brings a changed Secret to a pod within a minute or two.
  await ns.until(BackupPolicies, 'nightly', hasCondition('RPOMet', 'True'), { deadlineMs: 400_000 });
  expect((await probe.finish()).missing).toEqual([]);
});

it('keeps its promise over a fail-over: the archive is without a gap again, and a drill proves it', async () => {
  const ns = space.current;
  const primary = await ns.primaryOf('fleet-0');
  const before = (await ns.get(Shards, 'fleet-0')).status?.timeline ?? 0;
  const probe = await probeShard(ns);
  await forceDeletePod(ns, primary);
  // Not another primary: a pod that is back before its lease ends is promoted again itself.
  const promoted = await ns.until(Shards, 'fleet-0', shard =>
    (shard?.status?.timeline ?? 0) > before ? undefined : `still on timeline ${before}`,
  );
  const timeline = promoted.status?.timeline;
  await eventually('the archive reaches the new timeline', ns.name, async () => {
    const { archive } = await backupOf(ns, 'fleet-0');
    return archive?.continuity === 'Verified' && archive.timeline === timeline ? true : undefined;
  });
  await ns.current();
  const report = await probe.finish();
  tell('fail-over under a backup policy', report);
  expect(report.missing).toEqual([]);
  expect(await drillNow(ns, 'fleet-0')).toMatchObject({ passed: true });
});

it('a drill notices a segment that is missing from the bucket', async () => {
  const ns = space.current;
  const segments = (await store.list()).filter(path => /[0-9A-F]{24}-[0-9a-f]{40}/.test(path));
  // In the middle of what the last backup needs to come to the present.
  const victim = segments.at(-2) ?? '';
  // As long as a member has it, it is given to the archive again.
  const segment = /[0-9A-F]{24}/.exec(victim)?.[0] ?? '';
  for (const member of ['fleet-0-0', 'fleet-0-1']) {
    await superuserSql(ns, member, 'CHECKPOINT');
    const file = `/var/lib/postgresql/data/pg_wal/${segment}`;
    await ns.kubectl('exec', member, '--container=database', '--', 'rm', '-f', file);
  }
  await store.remove(victim);
  const drill = await drillNow(ns, 'fleet-0');
  expect(drill.passed, `without ${victim}`).toBe(false);
  const found = await ns.until(BackupPolicies, 'nightly', hasCondition('RTOMet', 'False', 'DrillFailed'));
  expect(conditionOf(found, 'RTOMet')?.message).toMatch(/fleet-0/);
  await nothingOfDrills();
});

it('a full backup makes it whole again', async () => {
  const ns = space.current;
  const { lastFull } = await backupOf(ns, 'fleet-0');
  await ns.patch(BackupPolicies, 'nightly', {
    metadata: { annotations: { [annotations.backupNow]: 'full' } },
  });
  await ns.until(Shards, 'fleet-0', shard =>
    shard?.status?.backup?.lastFull?.label === lastFull?.label ? 'it has no new full backup' : undefined,
  );
  expect(await drillNow(ns, 'fleet-0')).toMatchObject({ passed: true });
  await ns.until(BackupPolicies, 'nightly', hasCondition('RTOMet', 'True'));
});

it('leaves nothing in the cluster when it is deleted, and the fleet goes on', async () => {
  const ns = space.current;
  await ns.delete(BackupPolicies, 'nightly');
  await ns.gone(BackupPolicies, 'nightly');
  await ns.gone(Secrets, shardChildren.backupSecret('fleet-0'));
  await nothingOfJobs();
  const probe = await probeShard(ns);
  const report = await probe.finish();
  expect(report.missing).toEqual([]);
  expect((await store.list()).length).toBeGreaterThan(10);
});

/** A Job of a backup may stay for a while after its end, for its log. */
async function nothingOfDrills(): Promise<void> {
  await nothingOfJobs(/-drill$/);
}

async function nothingOfJobs(which = /./): Promise<void> {
  const ns = space.current;
  await eventually('no Job and no volume of it is left', ns.name, async () => {
    const jobs = (await ns.list(Jobs)).filter(({ metadata }) => which.test(metadata.name));
    const claims = await ns.list(PersistentVolumeClaims);
    const left = [
      ...jobs,
      ...claims.filter(({ metadata }) => !/^(data-fleet-|objects$)/.test(metadata.name)),
    ];
    if (left.length === 0) return true;
    throw new Error(left.map(({ kind, metadata }) => `${kind} ${metadata.name}`).join(', '));
  });
}
