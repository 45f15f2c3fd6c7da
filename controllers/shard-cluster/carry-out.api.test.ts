/** What a pass asks of the API server itself before it takes a shard away, or a mark: caches may be behind. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createCaches, ownResources, ShardMigrations, Shards } from '#controllers/caches.ts';
import { MapStore } from '#controllers/shard-map/map-store.ts';
import { clusterWith, shardWith } from '#controllers/testing/objects.ts';
import { type ApiTest, apiTest } from '#hack/api-test.ts';
import { Applier } from '#kernel/apply.ts';
import { silentLog } from '#kernel/log.ts';
import type { KubeObject } from '#kernel/object.ts';
import { addShards } from '#sharding/change.ts';
import { type CarryOutDeps, carryOut, isCacheBehind } from './carry-out.ts';
import type { ClusterAction } from './decide.ts';
import { firstMap } from './map-from-spec.ts';
import { ownerOf } from './project.ts';

let api: ApiTest;
let cleanup: AsyncDisposableStack;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  api = await apiTest({ resources: ownResources });
  await api.installCrds();
});

afterEach(() => cleanup.disposeAsync());

async function world() {
  const { client, namespace } = api;
  const caches = createCaches({ client, log: silentLog, namespaces: [namespace] });
  const stopping = new AbortController();
  const running = caches.configMaps.run(stopping.signal);
  cleanup.defer(async () => {
    stopping.abort();
    await running;
  });
  await caches.configMaps.whenSynced(AbortSignal.timeout(20_000));
  const maps = new MapStore({ client, configMaps: caches.configMaps });
  const cluster = clusterWith({ shards: 4 }, { namespace });
  const request = { namespace, name: 'social' };
  const { signal } = new AbortController();
  const map = addShards(firstMap(cluster), [{ name: 'social-4', ordinal: 4 }]);
  await maps.create(request, { ...map, epoch: 1 }, ownerOf(cluster), signal);
  const deps: CarryOutDeps = {
    client,
    maps,
    applier: new Applier({ client, fieldManager: 'test', caches: [] }),
  };
  const context = { signal, log: silentLog, reconcileId: 'test' };
  const run = (action: ClusterAction) =>
    carryOut(deps, { cluster, request }, { actions: [action], map, problem: undefined, waiting: 0 }, context);
  const migration = await client.create<KubeObject>({
    apiVersion: ShardMigrations.apiVersion,
    kind: ShardMigrations.kind,
    metadata: { namespace, name: 'm' },
    spec: { cluster: { name: 'social' }, split: { shard: 'social-0' } },
  });
  const setStatus = (status: object) =>
    client.patch(
      ShardMigrations,
      migration.metadata,
      { type: 'merge', body: { status } },
      { subresource: 'status' },
    );
  return { maps, request, signal, run, migration, setStatus, client, namespace };
}

test('a shard that a migration counts on by now stays in the map', async () => {
  const { maps, request, run, setStatus } = await world();
  const partition = { kind: 'slots', slots: 1024, ranges: [{ first: 0, last: 9 }] };
  const transfer = {
    id: 't0',
    source: 'social-0',
    target: 'social-4',
    partition,
    whole: false,
    targetEmpty: true,
  };
  await setStatus({ phase: 'Pending', transfers: [transfer] });
  const retire = { kind: 'PublishMap', retire: ['social-4'] } as const;
  const refused: unknown = await run(retire).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: 'ShardInUse' });
  expect(isCacheBehind(refused)).toBe(true);
  expect(maps.read(request)).toMatchObject({ stored: { map: { shards: { length: 5 } } } });
  await setStatus({ phase: 'Completed' });
  await run(retire);
  expect(maps.read(request)).toMatchObject({ stored: { map: { shards: { length: 4 }, nextOrdinal: 5 } } });
});

test('a shard goes that is named only by a migration which can never begin', async () => {
  const { maps, request, run, client, namespace } = await world();
  const { metadata } = await client.create<KubeObject>({
    apiVersion: ShardMigrations.apiVersion,
    kind: ShardMigrations.kind,
    metadata: { namespace, name: 'impossible' },
    spec: { cluster: { name: 'social' }, merge: { shards: ['social-1', 'social-4'] } },
  });
  const retire = { kind: 'PublishMap', retire: ['social-4'] } as const;
  await expect(run(retire)).rejects.toMatchObject({ code: 'ShardInUse' });
  const stalled = {
    type: 'Stalled',
    status: 'True',
    reason: 'NothingToMove',
    message: 'social-4 owns nothing',
    lastTransitionTime: '2026-11-21T12:00:00Z',
    observedGeneration: metadata.generation,
  };
  const body = { status: { phase: 'Pending', conditions: [stalled] } };
  await client.patch(ShardMigrations, metadata, { type: 'merge', body }, { subresource: 'status' });
  await run(retire);
  expect(maps.read(request)).toMatchObject({ stored: { map: { shards: { length: 4 } } } });
});

test('the mark of a migration stays while that is there, whatever the cache says', async () => {
  const { maps, request, run, migration, client, signal } = await world();
  const by = `${migration.metadata.uid}/t0/write`;
  await maps.mark(request, by, signal);
  await run({ kind: 'ReleaseMap', by });
  expect(maps.read(request)).toMatchObject({ stored: { markedBy: by } });
  await client.delete(ShardMigrations, migration.metadata);
  await run({ kind: 'ReleaseMap', by });
  expect(maps.read(request)).not.toHaveProperty('stored.markedBy');
});

test('deleting a Shard takes that one only: one of its name that came since stays', async () => {
  const { run, client, namespace } = await world();
  const object = shardWith({ ordinal: 4 }, { name: 'social-4', namespace });
  const { metadata, ...rest } = object;
  const made = await client.create<KubeObject>({ ...rest, metadata: { name: metadata.name, namespace } });
  await expect(run({ kind: 'DeleteShard', object })).rejects.toMatchObject({ code: 'Conflict' });
  const uid = made.metadata.uid ?? '';
  await run({ kind: 'DeleteShard', object: { ...object, metadata: { ...metadata, uid } } });
  await expect(client.get(Shards, { namespace, name: 'social-4' })).rejects.toMatchObject({
    code: 'NotFound',
  });
  await run({ kind: 'DeleteShard', object: { ...object, metadata: { ...metadata, uid } } });
});

test('a shard is not made elsewhere than its move says, whatever the cache says', async () => {
  const { run, setStatus, client, namespace } = await world();
  const newShard = { name: 'social-4', ordinal: 4, storageClassName: 'fast' };
  await setStatus({ phase: 'Pending', transfers: [], clusterUid: 'uid-social', newShard });
  const made = (storage: object) => {
    const object = shardWith({ ordinal: 4, storage }, { name: 'social-4', namespace });
    const { uid: _uid, generation: _generation, ...metadata } = object.metadata;
    return { kind: 'ApplyShard', object: { ...object, metadata }, isNew: true } as const;
  };
  const refused: unknown = await run(made({ size: '1Gi' })).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: 'MoveUnseen' });
  expect(isCacheBehind(refused)).toBe(true);
  await expect(client.get(Shards, { namespace, name: 'social-4' })).rejects.toMatchObject({
    code: 'NotFound',
  });
  await run(made({ size: '1Gi', storageClassName: 'fast' }));
  expect(await client.get(Shards, { namespace, name: 'social-4' })).toMatchObject({
    spec: { storage: { storageClassName: 'fast' } },
  });
});
