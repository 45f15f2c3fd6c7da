/**
 * What is really lost with a shard beside what its status said a moment before: steady writes on four shards, then every process and
 * every volume of one of them is destroyed at a random moment, and it is rebuilt in place from the object store. Each round takes another.
 *
 *   declaredSeconds     `status.achievedRpoSeconds` of the shard, read before it was destroyed; of the round that lost most
 *   trueLossSeconds     age, then, of the oldest acknowledged write that did not come back; the same round
 *   lostBeyondDeclared  acknowledged writes that were older than declared and did not come back; all rounds
 *   objectsPerShardHour, bytesPerShardHour   what archiving put into the store, counted there, without writes and under them
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { annotations } from '#crds/api/names.ts';
import { ensureDeployed } from '#hack/deploy.ts';
import { ensureObjectStoreImage } from '#hack/images/build.ts';
import { policy } from '#test-e2e/backup/policy.ts';
import type { Probe } from '#test-e2e/probe/deploy.ts';
import { type Loss, lossOf } from '#test-e2e/probe/loss.ts';
import { useCluster } from '#test-e2e/support/cluster.ts';
import { hasCondition } from '#test-e2e/support/conditions.ts';
import { fleet, single, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard } from '#test-e2e/support/fleet-probe.ts';
import { clearNamespace, createNamespace } from '#test-e2e/support/lifecycle.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import {
  type NamespaceObjectStore,
  type StoredObject,
  startObjectStore,
} from '#test-e2e/support/object-store.ts';
import { destroyVolumes } from '#test-e2e/support/pod-faults.ts';
import { BackupPolicies, Shards } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { report, round } from './bench.ts';

const shards = 4;
const rounds = Math.min(shards, Number(process.env['BENCH_ROUNDS'] ?? 3));
/** Of each of the two windows in which objects are counted. */
const windowSeconds = Number(process.env['BENCH_SECONDS'] ?? 120);
const objectiveSeconds = 10;
const aWhile = { deadlineMs: 600_000 };
const names = Array.from({ length: shards }, (_, ordinal) => `fleet-${ordinal}`);

interface Round extends Loss {
  readonly declaredSeconds: number;
}

export async function run(): Promise<object> {
  const { cluster } = await ensureDeployed();
  if (!cluster.kind) throw new Error('this bench destroys volumes: it needs a cluster of its own');
  const { kube } = await useCluster(cluster);
  const image = await ensureObjectStoreImage(cluster);
  const namespace = await createNamespace('bench-rpo');
  try {
    await namespace.apply(usualSchema);
    await namespace.apply(fleet({ ...usual, ...single, shards, storage: { size: '1Gi' } }));
    const [store] = await Promise.all([
      startObjectStore(namespace, { image, volume: '8Gi' }),
      namespace.current('fleet', aWhile),
    ]);
    await namespace.apply(policy(store, { objectives: { rpo: `${objectiveSeconds}s`, rto: '10m' } }));
    await namespace.until(BackupPolicies, 'nightly', hasCondition('Ready', 'True'), aWhile);
    const idle = await archivedPerShardHour(namespace, store);
    report(`idle: ${JSON.stringify(idle)}`);
    const probes = new Map<string, Probe>();
    for (const shard of names)
      probes.set(shard, await probeShard(namespace, { shard, mode: 'pooled', durationMs: 3_600_000 }));
    const busy = await archivedPerShardHour(namespace, store);
    report(`busy: ${JSON.stringify(busy)}`);
    const told: Round[] = [];
    for (const shard of names.slice(0, rounds)) {
      const probe = probes.get(shard);
      if (probe) told.push(await loseShard(namespace, shard, probe));
      report(`${told.length}/${rounds}: ${JSON.stringify(told.at(-1))}`);
    }
    const worst = told.toSorted((a, b) => b.trueLossSeconds - a.trueLossSeconds)[0];
    return {
      bench: 'rpo',
      objectiveSeconds,
      declaredSeconds: round(worst?.declaredSeconds ?? Number.NaN),
      trueLossSeconds: round(worst?.trueLossSeconds ?? Number.NaN),
      lostBeyondDeclared: told.reduce((sum, each) => sum + each.lostBeyondDeclared, 0),
      objectsPerShardHour: { idle: idle.objects, busy: busy.objects },
      bytesPerShardHour: { idle: idle.bytes, busy: busy.bytes },
      rounds: told.map(each => ({ ...each, trueLossSeconds: round(each.trueLossSeconds) })),
    };
  } finally {
    await clearNamespace(namespace);
    kube.close();
  }
}

/** New objects of the archives in a window that begins a while from now, over all shards. */
async function archivedPerShardHour(
  { name }: TestNamespace,
  store: NamespaceObjectStore,
): Promise<{ readonly objects: number; readonly bytes: number }> {
  const archived = async (): Promise<readonly StoredObject[]> => {
    const objects = await store.objects(`fleets/${name}/fleet/`);
    return objects.filter(({ path }) => path.includes('/archive/'));
  };
  // What the time before has left to be archived is none of this window's.
  await sleep(2 * objectiveSeconds * 1000);
  const known = new Set((await archived()).map(({ path }) => path));
  const startedMs = Date.now();
  await sleep(windowSeconds * 1000);
  const added = (await archived()).filter(({ path }) => !known.has(path));
  const shardHours = (shards * (Date.now() - startedMs)) / 3_600_000;
  return {
    objects: Math.round(added.length / shardHours),
    bytes: Math.round(added.reduce((sum, { bytes }) => sum + bytes, 0) / shardHours),
  };
}

async function loseShard(namespace: TestNamespace, shard: string, probe: Probe): Promise<Round> {
  await sleep((1 + 2 * Math.random()) * objectiveSeconds * 1000);
  const { status } = await namespace.get(Shards, shard);
  const declaredSeconds = status?.achievedRpoSeconds;
  if (declaredSeconds === undefined) throw new Error(`${shard} declares nothing`);
  const lostAtMs = Date.now();
  await destroyVolumes(namespace, [shard]);
  const records = await probe.abandon();
  await namespace.patch(Shards, shard, {
    metadata: { annotations: { [annotations.rebuild]: 'latest', [annotations.discardVolumes]: 'true' } },
  });
  await namespace.until(
    Shards,
    shard,
    found =>
      found?.status?.rebuild?.state === 'Done' ? undefined : (found?.status?.rebuild?.message ?? 'not begun'),
    aWhile,
  );
  const primary = await namespace.primaryOf(shard);
  const ids = await superuserSql(namespace, primary, 'SELECT id FROM probe_writes');
  const loss = lossOf(records, new Set(ids.map(Number)), lostAtMs, declaredSeconds);
  return { declaredSeconds, ...loss };
}
