/** A fleet that comes back, on a real API server: with what it needs on the way, and what is left of that. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ShardClusters, Shards } from '#controllers/caches.ts';
import { isReady, stalledFor } from '#controllers/testing/fleet-conditions.ts';
import { fleetHarness, type Harness } from '#controllers/testing/fleet-harness.ts';
import { lostFleet, makeLostFleetsPolicy, recovery } from '#controllers/testing/lost-fleet.ts';
import type { RecoveryJobs } from '#controllers/testing/recovery-jobs.ts';
import { annotations } from '#crds/api/names.ts';
import { parseShard } from '#crds/api/shard.ts';
import { eventually } from '#hack/api-test.ts';
import { orUndefined } from '#kernel/errors.ts';
import { EndpointsObjects, Jobs, PersistentVolumeClaims, Roles, Secrets } from '#kernel/resources.ts';

let cleanup: AsyncDisposableStack;
let fleet: Harness;
let jobs: RecoveryJobs;

const at = (name: string) => ({ namespace: fleet.namespace, name });
const shard = async (name: string) => parseShard(await fleet.client.get(Shards, at(name)));

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  fleet = await fleetHarness(cleanup);
  jobs = lostFleet(fleet, cleanup);
});

afterEach(() => cleanup.disposeAsync());

test('it waits for its policy, comes back with the map of that time, and leaves nothing behind', async () => {
  await fleet.apply({ bootstrap: { recovery } });
  await using running = fleet.start();
  await fleet.until('told what is missing', stalledFor('NoSuchPolicy', /nightly/));
  await makeLostFleetsPolicy(fleet);
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
  await makeLostFleetsPolicy(fleet);
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
  await makeLostFleetsPolicy(fleet);
  jobs.owned.delete('fleet-2');
  await fleet.apply({ bootstrap: { recovery } });
  fleet.start();
  await fleet.until('refused', stalledFor('RecoveryFailed', /slots 200-255 belong to nobody/));
  expect((await fleet.cluster()).status?.map).toBeUndefined();
});
