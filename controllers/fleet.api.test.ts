import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Shards } from '#controllers/caches.ts';
import { conditionStatus, findCondition } from '#controllers/conditions.ts';
import { FINALIZER } from '#controllers/shard-cluster/finalizer.ts';
import { isReady, stalledFor } from '#controllers/testing/fleet-conditions.ts';
import { fleetHarness, fleetSpec, type Harness } from '#controllers/testing/fleet-harness.ts';
import { quiet } from '#controllers/testing/quiet.ts';
import { parseShard } from '#crds/api/shard.ts';
import { eventually } from '#hack/api-test.ts';
import { orUndefined } from '#kernel/errors.ts';
import {
  ConfigMaps,
  EndpointsObjects,
  Nodes,
  PersistentVolumeClaims,
  Pods,
  Secrets,
  ServiceAccounts,
  Services,
  StatefulSets,
} from '#kernel/resources.ts';
import { ShardClusters } from './caches.ts';

let cleanup: AsyncDisposableStack;
let fleet: Harness;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  fleet = await fleetHarness(cleanup);
});

afterEach(() => cleanup.disposeAsync());

const at = (name: string) => ({ namespace: fleet.namespace, name });
const shard = async (name: string) => parseShard(await fleet.client.get(Shards, at(name)));

describe('a fleet', () => {
  test('comes up, and a second look writes nothing', async () => {
    await fleet.apply();
    const first = fleet.start();
    const cluster = await fleet.until('Ready', isReady);
    expect(cluster.status).toMatchObject({ shards: 2, readyShards: 2, phase: 'Ready', map: { epoch: 1 } });
    const one = await shard('fleet-1');
    expect(one.spec.sharding.partition).toEqual({
      kind: 'slots',
      slots: 256,
      ranges: [{ first: 128, last: 255 }],
    });
    expect(one.status).toMatchObject({
      primary: 'fleet-1-0',
      readyMembers: 2,
      generation: 1,
      state: 'active',
    });
    // Details of statuses follow a moment later.
    await quiet(first.writes, 2500);
    const before = await fleet.snapshot();
    await first[Symbol.asyncDispose]();

    // A new process, which has to look at everything.
    const sessions = fleet.databases.of(fleet.namespace, 'fleet-0').sessions;
    const second = fleet.start();
    await fleet.client.patch(ShardClusters, at('fleet'), {
      type: 'merge',
      body: { metadata: { annotations: { note: 'x' } } },
    });
    await eventually(() => (second.operator.caches.shards.size === 2 ? true : undefined));
    await quiet(second.writes);
    expect(second.writes).toEqual([]);
    expect(fleet.databases.of(fleet.namespace, 'fleet-0').sessions).toBe(sessions);
    expect(await fleet.snapshot()).toEqual(before);
  });

  test('repairs what drifts', async () => {
    await fleet.apply();
    fleet.start();
    await fleet.until('Ready', isReady);
    const uid = (await fleet.client.get(Services, at('fleet-0'))).metadata.uid;
    await fleet.client.delete(Services, at('fleet-0'));
    await fleet.client.patch(StatefulSets, at('fleet-1'), { type: 'merge', body: { spec: { replicas: 0 } } });
    const service = await eventually(() => orUndefined(fleet.client.get(Services, at('fleet-0'))));
    expect(service.metadata.uid).not.toBe(uid);
    const set = await eventually(async () => {
      const live = await fleet.client.get(StatefulSets, at('fleet-1'));
      return live.spec?.replicas === 0 ? undefined : live;
    });
    expect(set.spec?.replicas).toBe(2);
  });

  test('a deleted Shard is made again as it was', async () => {
    await fleet.apply();
    fleet.start();
    await fleet.until('Ready', isReady);
    const before = await shard('fleet-1');
    await fleet.client.delete(Shards, at('fleet-1'));
    const after = await eventually(async () => {
      const fresh = await orUndefined(fleet.client.get(Shards, at('fleet-1')));
      return fresh && fresh.metadata.uid !== before.metadata.uid ? parseShard(fresh) : undefined;
    });
    expect(after.spec).toEqual(before.spec);
  });

  test('keeps its hands off while paused', async () => {
    await fleet.apply();
    const { writes } = fleet.start();
    await fleet.until('Ready', isReady);
    await fleet.apply({}, { annotations: { 'shardwright.io/paused': 'true' } });
    const paused = await fleet.until('Paused', cluster => cluster.status?.phase === 'Paused');
    expect(findCondition(paused, 'Reconciling')).toMatchObject({ status: 'False', reason: 'Paused' });
    expect((await shard('fleet-0')).status?.phase).toBe('Paused');
    await quiet(writes);
    writes.length = 0;
    await fleet.client.delete(Services, at('fleet-0'));
    await fleet.apply({ shards: 3 }, { annotations: { 'shardwright.io/paused': 'true' } });
    const seen = await fleet.until(
      'seen',
      cluster => cluster.status?.observedGeneration === cluster.metadata.generation,
    );
    expect(findCondition(seen, 'Reconciling')).toMatchObject({ status: 'True', reason: 'Paused' });
    await quiet(writes);
    // Another operator, and one that looks again, know of the spec that waits.
    expect(conditionStatus(await fleet.cluster(), 'Reconciling')).toBe('True');
    expect(writes.filter(write => !/^apply (shardclusters|shards)$/.test(write))).toEqual([]);
    expect(await orUndefined(fleet.client.get(Services, at('fleet-0')))).toBeUndefined();
    expect(await orUndefined(fleet.client.get(Shards, at('fleet-2')))).toBeUndefined();

    await fleet.apply({ shards: 3 });
    await fleet.until('Ready again', cluster => isReady(cluster) && cluster.status?.shards === 3);
    expect(await orUndefined(fleet.client.get(Services, at('fleet-0')))).toBeDefined();
  });

  test('one paused shard keeps what it has, and the fleet says that it waits', async () => {
    await fleet.apply();
    fleet.start();
    await fleet.until('Ready', isReady);
    const pause = (value: string | null) =>
      fleet.client.patch(Shards, at('fleet-1'), {
        type: 'merge',
        body: { metadata: { annotations: { 'shardwright.io/paused': value } } },
      });
    await pause('true');
    await eventually(async () => ((await shard('fleet-1')).status?.phase === 'Paused' ? true : undefined));
    expect(conditionStatus(await fleet.cluster(), 'Reconciling')).toBe('False');
    await fleet.apply({ shardStates: [{ shard: 1, state: 'readonly' }] });
    const waiting = await fleet.until('waiting', cluster =>
      /fleet-1: .*paused/.test(findCondition(cluster, 'Reconciling')?.message ?? ''),
    );
    expect(conditionStatus(waiting, 'Ready')).toBe('True');
    expect(conditionStatus(waiting, 'Reconciling')).toBe('True');
    expect(fleet.databases.of(fleet.namespace, 'fleet-1').access?.state).toBe('active');
    await pause(null);
    await fleet.until('Ready again', isReady);
    expect(fleet.databases.of(fleet.namespace, 'fleet-1').access?.state).toBe('readonly');
  });

  test('a shard that is added owns nothing and may go again; one that owns keys stays, with what to write', async () => {
    await fleet.apply();
    fleet.start();
    await fleet.until('Ready', isReady);
    await fleet.apply({ shards: 3 });
    const grown = await fleet.until(
      'three shards',
      cluster => isReady(cluster) && cluster.status?.shards === 3,
    );
    expect(grown.status?.map?.epoch).toBe(2);
    expect((await shard('fleet-2')).spec.sharding.partition).toEqual({
      kind: 'slots',
      slots: 256,
      ranges: [],
    });
    expect((await shard('fleet-0')).spec.sharding.partition).toMatchObject({
      ranges: [{ first: 0, last: 127 }],
    });

    await fleet.apply({ shards: 1 });
    const stalled = await fleet.until('Stalled', stalledFor('ShardsCannotShrink'));
    expect(findCondition(stalled, 'Stalled')?.message).toContain('set spec.shards to 2');
    expect(conditionStatus(stalled, 'Ready')).toBe('True');
    const gone = async () =>
      (await orUndefined(fleet.client.get(Shards, at('fleet-2')))) ? undefined : true;
    await eventually(gone);
    expect(await orUndefined(fleet.client.get(Shards, at('fleet-1')))).toBeDefined();
    await fleet.apply({ shards: 3 });
    const again = await fleet.until('Ready again', each => isReady(each) && each.status?.shards === 3);
    expect(again.status?.map?.epoch).toBe(4);
    // What fleet-2 may have left behind is not taken up by another one.
    expect((await shard('fleet-3')).spec.ordinal).toBe(3);
  });

  test('a shard that is set readonly is so in the map and in the database', async () => {
    await fleet.apply();
    fleet.start();
    await fleet.until('Ready', isReady);
    await fleet.apply({ shardStates: [{ shard: 1, state: 'readonly' }] });
    const cluster = await fleet.until(
      'readonly',
      each => isReady(each) && each.status?.states?.readonly === 1,
    );
    expect(cluster.status?.map?.epoch).toBe(2);
    expect(fleet.databases.of(fleet.namespace, 'fleet-1').access?.state).toBe('readonly');
    expect(fleet.databases.of(fleet.namespace, 'fleet-0').access?.state).toBe('active');
  });

  test('the map is never made anew', async () => {
    await fleet.apply();
    fleet.start();
    await fleet.until('Ready', isReady);
    for (const [page, reason] of [
      ['fleet-map-slots-0', 'MapDamaged'],
      ['fleet-map', 'MapLost'],
    ] as const) {
      const saved = await fleet.client.get(ConfigMaps, at(page));
      await fleet.client.delete(ConfigMaps, at(page));
      await fleet.until(reason, stalledFor(reason));
      expect(await orUndefined(fleet.client.get(ConfigMaps, at(page)))).toBeUndefined();
      const { resourceVersion: _version, uid: _uid, ...metadata } = saved.metadata;
      await fleet.client.create({ ...saved, metadata });
      await fleet.until('restored', isReady);
    }
    const page = await fleet.client.get(ConfigMaps, at('fleet-map-shards-0'));
    await fleet.client.patch(ConfigMaps, at('fleet-map-shards-0'), {
      type: 'merge',
      body: { data: { page: 'AAAA' } },
    });
    await fleet.until('damage seen', stalledFor('MapDamaged'));
    await fleet.client.patch(ConfigMaps, at('fleet-map-shards-0'), {
      type: 'merge',
      body: { data: page.data },
    });
    await fleet.until('mended', isReady);
  });

  test('lost passwords are reported, not replaced', async () => {
    await fleet.apply();
    await using first = fleet.start();
    await fleet.until('Ready', isReady);
    await first[Symbol.asyncDispose]();
    await fleet.client.delete(Secrets, at('fleet-internal'));
    fleet.start();
    await fleet.until('SecretLost', stalledFor('SecretLost'));
    expect(await orUndefined(fleet.client.get(Secrets, at('fleet-internal')))).toBeUndefined();
  });

  test('schema: missing, failing, corrected', async () => {
    await fleet.apply({ schema: { configMaps: [{ name: 'sql' }] } });
    fleet.start({ env: {} });
    const missing = await fleet.until('SchemaMissing', stalledFor('SchemaMissing'));
    expect(findCondition(missing, 'Stalled')?.message).toContain('ConfigMap sql');
    const data = { '1.sql': 'CREATE TABLE t (id bigint)', '2.sql': 'BROKEN' };
    await fleet.client.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: at('sql'), data });
    const failed = await fleet.until(
      'SchemaFailed',
      cluster => findCondition(cluster, 'SchemaApplied')?.reason === 'SchemaFailed',
    );
    expect(findCondition(failed, 'SchemaApplied')?.message).toContain(
      'sql/2.sql: syntax error at or near "BROKEN"',
    );
    // The other shard may have told of it first.
    await expect
      .poll(() => fleet.databases.of(fleet.namespace, 'fleet-0').files.map(file => file.name), {
        timeout: 30_000,
      })
      .toEqual(['sql/1.sql']);
    await fleet.client.patch(ConfigMaps, at('sql'), {
      type: 'merge',
      body: { data: { '2.sql': 'CREATE TABLE u ()' } },
    });
    await fleet.until(
      'applied',
      cluster => isReady(cluster) && conditionStatus(cluster, 'SchemaApplied') === 'True',
    );
    expect(fleet.databases.of(fleet.namespace, 'fleet-1').files.map(file => file.name)).toEqual([
      'sql/1.sql',
      'sql/2.sql',
    ]);
  });

  test('a schema file that takes long holds nothing else of its shard up', async () => {
    const begun: string[] = [];
    const { promise: free, resolve: go } = Promise.withResolvers<void>();
    fleet.databases.onSchema = ({ metadata }) => {
      begun.push(metadata.name);
      return free;
    };
    const data = { '1.sql': 'CREATE INDEX ON t (id)' };
    await fleet.client.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: at('sql'), data });
    const schema = { configMaps: [{ name: 'sql' }] };
    await fleet.apply({ schema });
    fleet.start();
    await expect.poll(() => begun.toSorted(), { timeout: 30_000 }).toEqual(['fleet-0', 'fleet-1']);
    await fleet.apply({ schema, access: { stableLogin: true } });
    const database = (name: string) => fleet.databases.of(fleet.namespace, name);
    await expect.poll(() => database('fleet-1').access?.stableLogin, { timeout: 30_000 }).toBe(true);
    expect(conditionStatus(await fleet.cluster(), 'SchemaApplied')).toBe('False');
    go();
    await fleet.until(
      'applied',
      cluster => isReady(cluster) && conditionStatus(cluster, 'SchemaApplied') === 'True',
    );
    expect(begun).toHaveLength(2);
    expect(database('fleet-0').files).toHaveLength(1);
  });

  test('a region without nodes is refused, and nothing that ran is touched', async () => {
    await fleet.apply({ placement: { regions: [{ name: 'eu-west', weight: 1 }] } });
    fleet.start();
    await fleet.until('Ready', isReady);
    const before = await fleet.snapshot();
    await fleet.apply({
      members: 3,
      placement: {
        regions: [
          { name: 'eu-west', weight: 1 },
          { name: 'mars', weight: 1 },
        ],
      },
    });
    const stalled = await fleet.until('RegionWithoutNodes', stalledFor('RegionWithoutNodes'));
    expect(findCondition(stalled, 'Stalled')?.message).toContain('topology.kubernetes.io/region=mars');
    expect(await fleet.snapshot()).toEqual(before);
  });
});

describe('day two', () => {
  test('a new image rolls replica first, then by switchover, one shard at a time', async () => {
    await fleet.apply();
    fleet.start();
    await fleet.until('Ready', isReady);
    const order = await renewals(() =>
      fleet.apply({ engine: { ...fleetSpec.engine, image: 'example.invalid/postgres:18' } }),
    );
    expect(order).toEqual(inTurns(order));
    await fleet.until('Ready again', isReady);
    const images = (await pods()).flatMap(pod => pod.spec?.containers.map(each => each.image) ?? []);
    expect(new Set(images)).toEqual(new Set(['example.invalid/postgres:18']));
  });

  test('a new operator that makes every template anew rolls the fleet in turns as well', async () => {
    await fleet.apply();
    const old = fleet.start();
    await fleet.until('Ready', isReady);
    await old[Symbol.asyncDispose]();
    const order = await renewals(() => {
      fleet.start({ env: { POSTGRES_IMAGE_PULL_POLICY: 'Always' } });
      return Promise.resolve();
    });
    expect(order).toEqual(inTurns(order));
    await fleet.until('Ready again', isReady);
  });

  test('members whose ServiceAccount was made again are renewed, the replica first', async () => {
    await fleet.apply();
    fleet.start();
    await fleet.until('Ready', isReady);
    // Ages are whole seconds: what is as old as its ServiceAccount was made with it.
    await sleep(1100);
    const order = await renewals(() =>
      Promise.all(['fleet-0', 'fleet-1'].map(name => fleet.client.delete(ServiceAccounts, at(name)))),
    );
    expect(order).toEqual(inTurns(order));
    await fleet.until('Ready again', isReady);
  });

  test('members up and down: the primary is among those that stay', async () => {
    await fleet.apply({ shards: 1 });
    fleet.start();
    await fleet.until('Ready', isReady);
    await fleet.apply({ shards: 1, members: 3 });
    await fleet.until('three members', cluster => isReady(cluster) && cluster.spec.members === 3);
    await fleet.world.switchover('fleet-0', 'fleet-0-2');
    await eventually(async () =>
      (await shard('fleet-0')).status?.primary === 'fleet-0-2' ? true : undefined,
    );
    await fleet.apply({ shards: 1, members: 2 });
    await eventually(async () => {
      const names = (await pods()).map(pod => pod.metadata.name);
      return names.length === 2 && !names.includes('fleet-0-2') ? true : undefined;
    });
    await fleet.until('Ready', isReady);
    expect((await shard('fleet-0')).status?.primary).toMatch(/^fleet-0-[01]$/);
  });

  test('volumes grow where the class allows it, around running pods', async () => {
    await fleet.apply({ shards: 1, storage: { size: '1Gi', storageClassName: 'growing' } });
    fleet.start();
    await fleet.until('Ready', isReady);
    const uids = (await pods()).map(pod => pod.metadata.uid);
    const set = await fleet.client.get(StatefulSets, at('fleet-0'));
    // No claim controller runs here: an unbound claim may not be resized, so the world binds them.
    await bindClaims();
    await fleet.apply({ shards: 1, storage: { size: '2Gi', storageClassName: 'growing' } });
    await eventually(async () => {
      const claims = await fleet.client.list(PersistentVolumeClaims, { namespace: fleet.namespace });
      const grown = claims.items.every(claim => claim.spec?.resources?.requests?.['storage'] === '2Gi');
      // Orphaning is the garbage collector's part, and none runs here.
      const live = await orUndefined(fleet.client.get(StatefulSets, at('fleet-0')));
      if (live?.metadata.deletionTimestamp && live.metadata.finalizers?.length) {
        const body = { metadata: { finalizers: null } };
        await orUndefined(fleet.client.patch(StatefulSets, at('fleet-0'), { type: 'merge', body }));
      }
      return grown && live && live.metadata.uid !== set.metadata.uid ? true : undefined;
    });
    expect((await pods()).map(pod => pod.metadata.uid)).toEqual(uids);
    await fleet.until('Ready', isReady);
  });

  test('volumes that cannot grow keep their size, with the reason', async () => {
    await fleet.apply({ shards: 1, storage: { size: '1Gi', storageClassName: 'fixed' } });
    fleet.start();
    await fleet.until('Ready', isReady);
    await fleet.apply({ shards: 1, storage: { size: '2Gi', storageClassName: 'fixed' } });
    const stalled = await eventually(async () => {
      const found = findCondition(await shard('fleet-0'), 'Stalled');
      return found?.status === 'True' ? found : undefined;
    });
    expect(stalled.reason).toBe('VolumesCannotGrow');
    const set = await fleet.client.get(StatefulSets, at('fleet-0'));
    expect(set.spec?.volumeClaimTemplates?.[0]?.spec?.resources?.requests?.['storage']).toBe('1Gi');
  });

  test('reference tables reach a shard that comes later', async () => {
    const sharding = {
      ...fleetSpec.sharding,
      tables: [
        { name: 't', key: 'id' },
        { name: 'c', reference: true },
      ],
    };
    const schema = { configMaps: [{ name: 'sql' }] };
    const data = { '1.sql': 'CREATE TABLE c ()' };
    await fleet.client.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: at('sql'), data });
    await fleet.apply({ sharding, schema });
    fleet.start({ env: { STATISTICS_SECONDS: '1' } });
    await fleet.until('Ready', isReady);
    const home = fleet.databases.of(fleet.namespace, 'fleet-0');
    for (let version = 1n; version <= 250n; version++)
      home.broadcasts.push({ version, table: 'c', change: { upsert: [] } });
    await fleet.apply({ sharding, schema, shards: 3 });
    await eventually(() =>
      fleet.databases.of(fleet.namespace, 'fleet-2').broadcasts.length === 250 ? true : undefined,
    );
    const cluster = await fleet.until('everywhere', each => each.status?.referenceVersion === '250');
    expect(conditionStatus(cluster, 'ReferencesCurrent')).toBe('True');
  });
});

describe('fail-over', () => {
  test('the lock of a leader whose process has ended is freed, of one that lives it is not', async () => {
    await fleet.apply({ shards: 1 });
    fleet.start();
    await fleet.until('Ready', isReady);
    fleet.world.frozen.add('fleet-0');
    const lock = async () =>
      (await fleet.client.get(EndpointsObjects, at('fleet-0'))).metadata.annotations?.['leader'];
    const patch = (body: object) =>
      fleet.client.patch(EndpointsObjects, at('fleet-0'), { type: 'merge', body });
    const tell = (state: object) =>
      fleet.client.patch(
        Pods,
        at('fleet-0-0'),
        { type: 'merge', body: { status: { containerStatuses: [{ ...container, state }] } } },
        { subresource: 'status' },
      );
    const container = { name: 'database', image: 'x', imageID: '', ready: false, restartCount: 0 };
    await fleet.client.create(
      {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: at('fleet-0-0'),
        target: { apiVersion: 'v1', kind: 'Node', name: 'node-eu-west' },
      },
      { subresource: 'binding' },
    );
    const status = { conditions: [{ type: 'Ready', status: 'True' }] };
    await fleet.client.patch(
      Nodes,
      { name: 'node-eu-west' },
      { type: 'merge', body: { status } },
      { subresource: 'status' },
    );
    await patch({
      metadata: { annotations: { renewTime: '2026-01-01T00:00:10Z' } },
      subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 5432 }] }],
    });
    await tell({ running: { startedAt: '2026-01-01T00:00:00Z' } });
    expect(await lock()).toBe('fleet-0-0');
    await tell({
      terminated: { exitCode: 137, startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:00:11Z' },
    });
    await eventually(async () => ((await lock()) === undefined ? true : undefined));
  });
});

describe('deletion', () => {
  test('Forbid: stays and serves until the policy is changed', async () => {
    await fleet.apply({ deletionPolicy: 'Forbid' });
    fleet.start();
    const cluster = await fleet.until('Ready', isReady);
    expect(cluster.metadata.finalizers).toEqual([FINALIZER]);
    await fleet.client.delete(ShardClusters, at('fleet'));
    const stalled = await fleet.until('DeletionForbidden', stalledFor('DeletionForbidden'));
    expect(findCondition(stalled, 'Stalled')?.message).toContain('set spec.deletionPolicy to Retain');
    expect(conditionStatus(stalled, 'Ready')).toBe('True');
    await fleet.apply({ deletionPolicy: 'Retain' });
    await eventually(async () =>
      (await orUndefined(fleet.client.get(ShardClusters, at('fleet')))) ? undefined : true,
    );
  });

  test.each(['Retain', 'Delete'] as const)('%s: needs no operator', async deletionPolicy => {
    await fleet.apply({ deletionPolicy });
    const running = fleet.start();
    const cluster = await fleet.until('Ready', isReady);
    expect(cluster.metadata.finalizers).toBeUndefined();
    const set = await fleet.client.get(StatefulSets, at('fleet-0'));
    expect(set.spec?.persistentVolumeClaimRetentionPolicy?.whenDeleted).toBe(deletionPolicy);
    await running[Symbol.asyncDispose]();
    await fleet.client.delete(ShardClusters, at('fleet'));
    expect(await orUndefined(fleet.client.get(ShardClusters, at('fleet')))).toBeUndefined();
  });
});

/** The pods in the order in which they are made anew after `change`, until all four of the fleet are. */
async function renewals(change: () => Promise<unknown>): Promise<readonly string[]> {
  const uids = new Map((await pods()).map(pod => [pod.metadata.name, pod.metadata.uid]));
  const order: string[] = [];
  await change();
  return eventually(async () => {
    for (const { metadata } of await pods()) {
      if (uids.get(metadata.name) !== metadata.uid && !order.includes(metadata.name))
        order.push(metadata.name);
    }
    return order.length === uids.size ? order : undefined;
  }, 50_000);
}

/** Replica, then old primary, of the shard that came first, then the same of the other. */
function inTurns([first = '']: readonly string[]): readonly string[] {
  const lead = first.replace(/-\d+$/, '');
  const other = lead === 'fleet-0' ? 'fleet-1' : 'fleet-0';
  return [`${lead}-1`, `${lead}-0`, `${other}-1`, `${other}-0`];
}

async function pods() {
  const { items } = await fleet.client.list(Pods, { namespace: fleet.namespace });
  return items;
}

async function bindClaims(): Promise<void> {
  const { items } = await fleet.client.list(PersistentVolumeClaims, { namespace: fleet.namespace });
  for (const claim of items) {
    const body = { status: { phase: 'Bound', capacity: { storage: '1Gi' } } };
    await fleet.client.patch(
      PersistentVolumeClaims,
      claim.metadata,
      { type: 'merge', body },
      { subresource: 'status' },
    );
    await fleet.client.patch(PersistentVolumeClaims, claim.metadata, {
      type: 'merge',
      body: { spec: { volumeName: `pv-${claim.metadata.uid}` } },
    });
  }
}
