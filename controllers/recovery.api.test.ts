/** A fleet that comes back, on a real API server: with what it needs on the way, and what is left of that. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BackupPolicies, ShardClusters, Shards } from '#controllers/caches.ts';
import { conditionStatus, findCondition } from '#controllers/conditions.ts';
import { fleetHarness, type Harness } from '#controllers/testing/fleet-harness.ts';
import { RecoveryJobs } from '#controllers/testing/recovery-jobs.ts';
import { annotations } from '#crds/api/names.ts';
import { parseShard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { StoredShard } from '#engines/recovery.ts';
import { eventually } from '#hack/api-test.ts';
import { orUndefined } from '#kernel/errors.ts';
import { EndpointsObjects, Jobs, PersistentVolumeClaims, Roles, Secrets } from '#kernel/resources.ts';

let cleanup: AsyncDisposableStack;
let fleet: Harness;
let jobs: RecoveryJobs;

const recovery = { policy: 'nightly', cluster: 'lost' };
const at = (name: string) => ({ namespace: fleet.namespace, name });
const shard = async (name: string) => parseShard(await fleet.client.get(Shards, at(name)));

function stored(ordinal: number): StoredShard {
  return {
    ordinal,
    stanza: `lost-${ordinal}`,
    since: '2026-03-01T01:00:00Z',
    until: '2026-03-01T11:59:00Z',
    version: '17',
    databaseBytes: 1,
    about: { ordinal, algorithm: 'hash', keyType: 'bigint', slots: 256 },
  };
}

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  fleet = await fleetHarness(cleanup);
  jobs = new RecoveryJobs(fleet.client, fleet.namespace);
  jobs.incarnations = [{ id: '0123abcd', shards: [stored(0), stored(2)] }];
  jobs.owned.set('fleet-0', { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 199 }] });
  jobs.owned.set('fleet-2', { kind: 'slots', slots: 256, ranges: [{ first: 200, last: 255 }] });
  const stop = new AbortController();
  const turning = (async () => {
    while (!stop.signal.aborted) {
      await jobs.turn();
      await sleep(100);
    }
  })();
  cleanup.defer(async () => {
    stop.abort();
    await turning;
  });
});

afterEach(() => cleanup.disposeAsync());

async function policy(): Promise<void> {
  await fleet.client.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: at('s3'),
    stringData: { 'access-key-id': 'id', 'secret-access-key': 'very-secret' },
  });
  await fleet.client.create({
    apiVersion: BackupPolicies.apiVersion,
    kind: BackupPolicies.kind,
    metadata: at('nightly'),
    spec: {
      clusters: { names: ['lost'] },
      objectives: { rpo: '10s', rto: '5m' },
      schedule: { full: '0 2 * * 0' },
      destinations: [
        { s3: { endpoint: 'https://s3.example', bucket: 'backups', credentials: { secretName: 's3' } } },
      ],
    },
  });
}

const isReady = (cluster: ShardCluster) =>
  conditionStatus(cluster, 'Ready') === 'True' && conditionStatus(cluster, 'Reconciling') === 'False';

const stalledFor = (reason: string, message: RegExp) => (cluster: ShardCluster) => {
  const stalled = findCondition(cluster, 'Stalled');
  return stalled?.status === 'True' && stalled.reason === reason && message.test(stalled.message);
};

test('it waits for its policy, comes back with the map of that time, and leaves nothing behind', async () => {
  await fleet.apply({ bootstrap: { recovery } });
  await using running = fleet.start();
  await fleet.until('told what is missing', stalledFor('NoSuchPolicy', /nightly/));
  await policy();
  const cluster = await fleet.until('Ready', isReady);
  expect(cluster.status).toMatchObject({ shards: 2, phase: 'Ready', map: { epoch: 1 } });
  expect(jobs.ended.toSorted()).toEqual(['fleet-0-recover', 'fleet-2-recover', 'fleet-catalog-0']);
  for (const [name, first, last] of [
    ['fleet-0', 0, 199],
    ['fleet-2', 200, 255],
  ] as const)
    expect((await shard(name)).spec).toMatchObject({
      generation: 5,
      readerGeneration: 3,
      sharding: { partition: { kind: 'slots', slots: 256, ranges: [{ first, last }] } },
      recovery: { systemIdentifier: '7300000000000000001' },
    });
  // Members with empty volumes wait for the one that was filled.
  const store = await fleet.client.get(EndpointsObjects, at('fleet-2-config'));
  expect(store.metadata.annotations).toMatchObject({ initialize: '7300000000000000001' });
  const claim = await fleet.client.get(PersistentVolumeClaims, at('data-fleet-2-0'));
  expect(claim.metadata.ownerReferences).toBeUndefined();
  await eventually(async () => {
    const { items } = await fleet.client.list(Jobs, { namespace: fleet.namespace });
    const secret = await orUndefined(fleet.client.get(Secrets, at('fleet-recovery-0')));
    return items.length === 0 && !secret ? true : undefined;
  });
  expect(running.writes.filter(write => write === 'create jobs')).toHaveLength(3);

  // A change of the spec tells the shards, who keep what they are.
  await fleet.apply({ bootstrap: { recovery }, shards: 3 });
  const grown = await fleet.until('Ready with 3', found => isReady(found) && found.status?.shards === 3);
  expect(grown.status?.map?.epoch).toBe(2);
  expect((await shard('fleet-3')).spec.recovery).toBeUndefined();
  expect((await shard('fleet-2')).spec.recovery).toBeDefined();
});

test('a failure is final until somebody asks again; then only what failed is done anew', async () => {
  await policy();
  jobs.failing.set('fleet-2-recover', 'the archive has a hole');
  await fleet.apply({ bootstrap: { recovery } });
  const first = fleet.start();
  await fleet.until('failed', stalledFor('RecoveryFailed', /fleet-2-recover: the archive has a hole/));
  await first[Symbol.asyncDispose]();
  // Another operator comes to the same.
  fleet.start();
  await sleep(1000);
  const { items } = await fleet.client.list(Shards, { namespace: fleet.namespace });
  expect(items).toEqual([]);
  const role = await fleet.client.get(Roles, at('fleet-recovery'));
  expect(role['rules']).toEqual([
    {
      apiGroups: ['batch'],
      resources: ['jobs'],
      resourceNames: ['fleet-catalog-0', 'fleet-0-recover', 'fleet-2-recover'],
      verbs: ['get', 'patch'],
    },
  ]);
  const again = async (value: string): Promise<void> => {
    const body = { metadata: { annotations: { [annotations.retry]: value } } };
    await fleet.client.patch(ShardClusters, at('fleet'), { type: 'merge', body });
  };
  const tries = () => jobs.ended.filter(name => name === 'fleet-2-recover').length;
  // A try begins with the Secrets of that moment, whenever they were read last.
  const stringData = { 'secret-access-key': 'put-right' };
  await fleet.client.patch(Secrets, at('s3'), { type: 'merge', body: { stringData } });
  await again('with the right key');
  await eventually(async () => (tries() === 2 ? true : undefined));
  const { data = {} } = await fleet.client.get(Secrets, at('fleet-recovery-0'));
  expect(Buffer.from(data['pgbackrest.conf'] ?? '', 'base64').toString()).toContain('put-right');
  jobs.failing.clear();
  await again('now');
  await fleet.until('Ready', isReady);
  expect(jobs.ended.filter(name => name === 'fleet-0-recover')).toHaveLength(1);
  expect(tries()).toBe(3);
});

test('what came back with a gap is no fleet', async () => {
  await policy();
  jobs.owned.delete('fleet-2');
  await fleet.apply({ bootstrap: { recovery } });
  fleet.start();
  await fleet.until('refused', stalledFor('RecoveryFailed', /slots 200-255 belong to nobody/));
  expect((await fleet.cluster()).status?.map).toBeUndefined();
});
