/** Every volume of one shard is lost, under writes; it is made again in place from the object store, and no other shard is touched. */
import { beforeAll, expect, it } from 'vitest';
import { annotations } from '#crds/api/names.ts';
import type { Shard, ShardRebuildStatus } from '#crds/api/shard.ts';
import { Jobs, PersistentVolumeClaims, Pods } from '#kernel/resources.ts';
import { lossOf } from '#test-e2e/probe/loss.ts';
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

const space = useNamespace('rebuild');
/** As the policy of these tests declares it. */
const OBJECTIVE_SECONDS = 20;
const LONG = { deadlineMs: 400_000 };
let store: NamespaceObjectStore;

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet({ ...usual, shards: 2, storage: { size: '512Mi' } }));
  [store] = await Promise.all([startObjectStore(ns), ns.current()]);
  await ns.apply(policy(store));
  await ns.until(BackupPolicies, 'nightly', hasCondition('Ready', 'True'), LONG);
  await ns.until(BackupPolicies, 'nightly', hasCondition('RPOMet', 'True'));
});

const members = ['fleet-0-0', 'fleet-0-1'] as const;

async function podsOf(shard: string): Promise<readonly string[]> {
  const pods = await space.current.list(Pods, `shardwright.io/shard=${shard}`);
  return pods
    .map(({ metadata, status }) => {
      const restarts = status?.containerStatuses?.map(({ restartCount }) => restartCount).join();
      return `${metadata.name} ${metadata.uid} ${restarts}`;
    })
    .toSorted();
}

/** Volumes and pods, at once; what the StatefulSet makes in their place is empty. */
async function destroy(): Promise<void> {
  const ns = space.current;
  const before = new Map<string, string | undefined>();
  for (const member of members) {
    const { metadata } = await ns.get(PersistentVolumeClaims, `data-${member}`);
    before.set(metadata.name, metadata.uid);
    await ns.delete(PersistentVolumeClaims, metadata.name);
  }
  await eventually('every volume is another', ns.name, async () => {
    for (const claim of await ns.list(PersistentVolumeClaims)) {
      const { name, uid } = claim.metadata;
      if (before.get(name) === uid) await Promise.all(members.map(member => forceDeletePod(ns, member)));
      if (before.get(name) === uid) return undefined;
    }
    return true;
  });
}

function notRebuilt({ status }: Pick<Shard, 'status'> = {}): string | undefined {
  return status?.rebuild?.state === 'Done' ? undefined : (status?.rebuild?.message ?? 'not begun');
}

/** Waits until the shard is, and the fleet is whole with it; what its status says of it. */
async function rebuilt(): Promise<ShardRebuildStatus | undefined> {
  const ns = space.current;
  const { status } = await ns.until(Shards, 'fleet-0', notRebuilt, LONG);
  await ns.current('fleet', LONG);
  return status?.rebuild;
}

it('comes back with all that was declared to be safe, and the other shard never notices', async () => {
  const ns = space.current;
  await superuserSql(ns, await ns.primaryOf('fleet-1'), `INSERT INTO users VALUES (1, 'elsewhere')`);
  const others = await podsOf('fleet-1');
  const probe = await probeShard(ns, { durationMs: 900_000 });
  await new Promise(resolve => setTimeout(resolve, 20_000));
  await ns.until(BackupPolicies, 'nightly', hasCondition('RPOMet', 'True'));
  const lostAt = Date.now();
  await destroy();
  await ns.patch(Shards, 'fleet-0', { metadata: { annotations: { [annotations.rebuild]: 'latest' } } });
  const refused = await ns.until(Shards, 'fleet-0', hasCondition('Stalled', 'True'));
  expect(conditionOf(refused, 'Stalled')?.reason).toBe('VolumesInTheWay');
  await ns.patch(Shards, 'fleet-0', {
    metadata: { annotations: { [annotations.discardVolumes]: 'true' } },
  });
  const { safeBefore = '', message } = (await rebuilt()) ?? {};
  await eventually('writes are acknowledged again', ns.name, async () =>
    (await probe.records()).some(record => record.type === 'ack' && record.startedMs > lostAt + 20_000)
      ? true
      : undefined,
  );
  const report = await probe.finish();
  tell('every volume of a shard lost, rebuilt in place', report);
  const missing = new Set(report.missing);
  const present = { has: (id: number) => !missing.has(id) };
  const loss = lossOf(report.records, present, lostAt, OBJECTIVE_SECONDS);
  process.stderr.write(`rebuild: ${JSON.stringify(loss)}; ${message}\n`);
  // The objective was kept when it was lost.
  expect(loss.lostBeyondDeclared).toBe(0);
  expect(lossOf(report.records, present, Date.parse(safeBefore), 0).lostBeyondDeclared).toBe(0);
  expect(await podsOf('fleet-1')).toEqual(others);
});

it('is a shard like any other afterwards: two members, no Job, a new full backup, and a drill that passes', async () => {
  const ns = space.current;
  await ns.until(Shards, 'fleet-0', shard =>
    shard?.status?.readyMembers === 2 ? undefined : 'a member is missing',
  );
  expect((await ns.list(Jobs)).filter(({ metadata }) => metadata.name.endsWith('-recover'))).toEqual([]);
  await eventually('a full backup on the new timeline, and an archive without a gap', ns.name, async () => {
    const { records = [], archive } = await backupOf(ns, 'fleet-0');
    return records.filter(({ type }) => type === 'full').length > 1 && archive?.continuity === 'Verified'
      ? true
      : undefined;
  });
  expect(await drillNow(ns, 'fleet-0')).toMatchObject({ passed: true });
  await ns.until(BackupPolicies, 'nightly', hasCondition('RPOMet', 'True'));
});

it('a store that is away is a failure that says so, and is tried again', async () => {
  const ns = space.current;
  await store.stop();
  await ns.patch(Shards, 'fleet-0', {
    metadata: {
      annotations: { [annotations.rebuild]: 'latest', [annotations.discardVolumes]: 'true' },
    },
  });
  const failed = await ns.until(
    Shards,
    'fleet-0',
    shard => (shard?.status?.rebuild?.state === 'Failed' ? undefined : 'it has not failed'),
    LONG,
  );
  expect(failed.status?.rebuild?.message).toMatch(/Job fleet-0-recover: /);
  await store.start();
  await ns.patch(Shards, 'fleet-0', { metadata: { annotations: { [annotations.retry]: 'again' } } });
  await rebuilt();
});
