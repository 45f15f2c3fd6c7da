/** One shard that is made again from its backups, on a real API server: it alone, and what is left afterwards. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Shards } from '#controllers/caches.ts';
import { conditionStatus, findCondition } from '#controllers/conditions.ts';
import { isReady } from '#controllers/testing/fleet-conditions.ts';
import { fleetHarness, type Harness } from '#controllers/testing/fleet-harness.ts';
import { keepTurning } from '#controllers/testing/keep-turning.ts';
import { backup } from '#controllers/testing/rebuild-world.ts';
import { RecoveryJobs } from '#controllers/testing/recovery-jobs.ts';
import { untilObject } from '#controllers/testing/until-object.ts';
import { annotations } from '#crds/api/names.ts';
import { parseShard, type Shard } from '#crds/api/shard.ts';
import { orUndefined } from '#kernel/errors.ts';
import { EndpointsObjects, Jobs, PersistentVolumeClaims, Pods, StatefulSets } from '#kernel/resources.ts';

let cleanup: AsyncDisposableStack;
let fleet: Harness;
let jobs: RecoveryJobs;

const at = (name: string) => ({ namespace: fleet.namespace, name });
const shard = async (name: string) => parseShard(await fleet.client.get(Shards, at(name)));

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  fleet = await fleetHarness(cleanup);
  jobs = new RecoveryJobs(fleet.client, fleet.namespace);
  keepTurning(cleanup, async () => {
    await jobs.turn();
    await letGo();
  });
});

afterEach(() => cleanup.disposeAsync());

/** A claim that is deleted goes once no pod uses it, a Job once its pods are gone: others' controllers see to that. */
async function letGo(): Promise<void> {
  const scope = { namespace: fleet.namespace };
  const body = { metadata: { finalizers: null } };
  const claims = await fleet.client.list(PersistentVolumeClaims, scope);
  for (const { metadata } of claims.items.filter(each => each.metadata.deletionTimestamp !== undefined)) {
    const pod = await orUndefined(fleet.client.get(Pods, at(metadata.name.replace(/^data-/, ''))));
    if (!pod)
      await orUndefined(fleet.client.patch(PersistentVolumeClaims, metadata, { type: 'merge', body }));
  }
  const { items } = await fleet.client.list(Jobs, scope);
  for (const { metadata } of items.filter(each => each.metadata.deletionTimestamp !== undefined))
    await orUndefined(fleet.client.patch(Jobs, metadata, { type: 'merge', body }));
}

/** A fleet that runs, whose first shard has backups as another controller would tell of them. */
async function fleetWithBackups(): Promise<void> {
  await fleet.apply();
  await fleet.until('Ready', isReady);
  const { partition } = (await shard('fleet-0')).spec.sharding;
  jobs.owned.set('fleet-0', partition);
  // The policy's own controller would find that there is none.
  await fleet.client.patch(
    Shards,
    at('fleet-0'),
    { type: 'merge', body: { status: { backup } } },
    { subresource: 'status' },
  );
}

async function ask(marks: Readonly<Record<string, string | null>>): Promise<void> {
  await fleet.client.patch(Shards, at('fleet-0'), {
    type: 'merge',
    body: { metadata: { annotations: marks } },
  });
}

const until = (what: string, holds: (found: Shard) => boolean) =>
  untilObject(what, () => shard('fleet-0'), holds);

const uids = async (resource: typeof Pods | typeof PersistentVolumeClaims, shardName: string) => {
  const { items } = await fleet.client.list(resource, { namespace: fleet.namespace });
  const mine = items.filter(({ metadata }) => metadata.labels?.['shardwright.io/shard'] === shardName);
  return new Map(mine.map(({ metadata }) => [metadata.name, metadata.uid]));
};

const latest = { [annotations.rebuild]: 'latest', [annotations.discardVolumes]: 'true' };

test('it comes back as what the map says, with empty volumes beside the filled one, and the others never notice', async () => {
  fleet.start();
  await fleetWithBackups();
  const [others, claims] = [await uids(Pods, 'fleet-1'), await uids(PersistentVolumeClaims, 'fleet-0')];
  const store = at('fleet-0-sync');
  const before = await shard('fleet-0');
  await ask(latest);
  const closed = await fleet.until('in maintenance', ({ status }) => status?.states?.maintenance === 1);
  expect(closed.status?.states).toEqual({ active: 1, readonly: 0, maintenance: 1 });
  const done = await until(
    'rebuilt',
    ({ status, metadata }) =>
      status?.rebuild?.state === 'Done' && metadata.annotations?.[annotations.rebuild] === undefined,
  );
  expect(done.metadata.annotations).not.toHaveProperty([annotations.discardVolumes]);
  expect(done.spec.sharding.partition).toEqual(before.spec.sharding.partition);
  expect(done.status?.rebuild).toMatchObject({ to: 'latest', safeBefore: '2026-03-01T11:58:56.000Z' });
  await fleet.until('Ready again', cluster => isReady(cluster) && cluster.status?.states?.active === 2);
  // The database was told who may log in, and what it owns, anew.
  expect(fleet.databases.of(fleet.namespace, 'fleet-0').access).toMatchObject({
    state: 'active',
    generation: done.spec.generation,
  });
  const after = await uids(PersistentVolumeClaims, 'fleet-0');
  expect(after.get('data-fleet-0-0')).toBe(claims.get('data-fleet-0-0'));
  expect(after.get('data-fleet-0-1')).not.toBe(claims.get('data-fleet-0-1'));
  expect(await uids(Pods, 'fleet-1')).toEqual(others);
  expect(jobs.ended).toEqual(['fleet-0-recover']);
  expect(await orUndefined(fleet.client.get(Jobs, at('fleet-0-recover')))).toBeUndefined();
  const config = await fleet.client.get(EndpointsObjects, at('fleet-0-config'));
  expect(config.metadata.annotations).toMatchObject({ initialize: '7300000000000000001' });
  expect((await fleet.client.get(EndpointsObjects, store)).metadata.annotations?.['leader']).toBe(
    'fleet-0-0',
  );
});

test('a refusal touches nothing; a failure is final, keeps everybody out, and is tried again when asked', async () => {
  fleet.start();
  await fleetWithBackups();
  const pods = await uids(Pods, 'fleet-0');
  await ask({ [annotations.rebuild]: 'latest' });
  const refused = await until('refused', found => conditionStatus(found, 'Stalled') === 'True');
  expect(findCondition(refused, 'Stalled')).toMatchObject({
    reason: 'VolumesInTheWay',
    message: expect.stringContaining('data-fleet-0-1'),
  });
  expect(await uids(Pods, 'fleet-0')).toEqual(pods);
  jobs.failing.set('fleet-0-recover', 'the archive has a hole');
  await ask(latest);
  const failed = await until('failed', found => found.status?.rebuild?.state === 'Failed');
  expect(failed.status?.rebuild?.message).toContain('the archive has a hole');
  await fleet.until('told', cluster => /the archive has a hole/.test(JSON.stringify(cluster.status)));
  await sleep(3000);
  expect(jobs.ended).toEqual(['fleet-0-recover']);
  expect((await fleet.client.get(StatefulSets, at('fleet-0'))).spec?.replicas).toBe(0);
  expect((await fleet.cluster()).status?.states?.maintenance).toBe(1);

  jobs.failing.clear();
  await ask({ [annotations.retry]: 'now' });
  await until('rebuilt', ({ status }) => status?.rebuild?.state === 'Done');
  await fleet.until('Ready again', isReady);
});

test('killed and begun anew at every stage, another operator ends it', { timeout: 180_000 }, async () => {
  let running = fleet.start();
  await fleetWithBackups();
  await ask(latest);
  const stages: readonly ((found: Shard) => boolean)[] = [
    found => found.status?.rebuild?.state === 'Running',
    found => found.status?.accessHash === undefined,
    found => /filling|fill/.test(found.status?.rebuild?.message ?? ''),
    found => /starts on what came back|let go|brought back/.test(found.status?.rebuild?.message ?? ''),
  ];
  for (const stage of stages) {
    await until('the next stage', found => stage(found) || found.status?.rebuild?.state === 'Done');
    await running[Symbol.asyncDispose]();
    running = fleet.start();
  }
  await until(
    'rebuilt',
    ({ status, metadata }) =>
      status?.rebuild?.state === 'Done' && metadata.annotations?.[annotations.rebuild] === undefined,
  );
  await fleet.until('Ready again', isReady);
  expect(jobs.ended).toEqual(['fleet-0-recover']);
});
