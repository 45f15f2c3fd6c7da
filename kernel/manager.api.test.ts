/** The whole runtime against a real server: what kernel/README.md shows, two replicas, events. */
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { apiTest, eventually } from '#hack/api-test.ts';
import { Applier } from '#kernel/apply.ts';
import { setConditions } from '#kernel/conditions.ts';
import { Controller } from '#kernel/controller.ts';
import { EventRecorder } from '#kernel/events.ts';
import { Health } from '#kernel/health.ts';
import { LeaderElector } from '#kernel/leader.ts';
import { leaseStore } from '#kernel/lease-store.ts';
import { silentLog } from '#kernel/log.ts';
import { Manager } from '#kernel/manager.ts';
import { Metrics } from '#kernel/metrics.ts';
import { ownedBy } from '#kernel/owner.ts';
import { Reflector } from '#kernel/reflector.ts';
import { type ConfigMap, ConfigMaps, Events, Leases } from '#kernel/resources.ts';
import { specChanged, toController, toSelf, watching } from '#kernel/source.ts';

const api = await apiTest();
afterAll(() => api.client.close());

/** A replica of a program that keeps a copy of each ConfigMap labelled `copy=yes`, signed with its identity. */
function replica(namespace: string, identity: string, leaderElection: boolean) {
  const log = silentLog;
  const metrics = new Metrics();
  const elector = new LeaderElector({
    store: leaseStore(api.newClient(), namespace, 'copier'),
    identity,
    leaseMs: 3000,
    renewWithinMs: 2000,
    retryMs: 300,
    log,
    metrics,
  });
  const client = api.newClient({
    onRequest: metrics.onRequest,
    ...(leaderElection ? { guardWrite: elector.assertLeading } : {}),
  });
  const originals = new Reflector({
    client,
    resource: ConfigMaps,
    namespaces: [namespace],
    labelSelector: 'copy=yes',
    log,
    metrics,
  });
  const copies = new Reflector({
    client,
    resource: ConfigMaps,
    namespaces: [namespace],
    labelSelector: 'copy=made',
    log,
    metrics,
  });
  const applier = new Applier({ client, fieldManager: 'copier', caches: [copies] });
  const controller = new Controller({
    name: 'copier',
    log,
    metrics,
    sources: [
      watching({ reflector: originals, map: toSelf, predicate: specChanged }),
      watching({ reflector: copies, map: toController('ConfigMap') }),
    ],
    async reconcile(request, { signal }) {
      const original = originals.get(request);
      if (!original || original.metadata.deletionTimestamp) return;
      const copy: ConfigMap = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: `${request.name}-copy`, namespace, labels: { copy: 'made' } },
        data: { ...original.data, by: identity },
      };
      await applier.apply(ownedBy(copy, original), { signal });
    },
  });
  const health = new Health();
  const manager = new Manager({
    reflectors: [originals, copies],
    controllers: [controller],
    ...(leaderElection ? { elector } : {}),
    health,
    log,
  });
  const stop = new AbortController();
  const done = manager.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await done;
  });
  return { stop, done, health, metrics, elector };
}

async function create(namespace: string, name: string): Promise<ConfigMap> {
  return api.client.create<ConfigMap>({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace, labels: { copy: 'yes' } },
    data: { x: '1' },
  });
}

function copyBy(namespace: string, name: string, identity: string): Promise<ConfigMap> {
  return eventually(async () => {
    const { items } = await api.client.list(ConfigMaps, {
      namespace,
      fieldSelector: `metadata.name=${name}-copy`,
    });
    return items.find(({ data }) => data?.['by'] === identity);
  });
}

describe('one replica', () => {
  it('makes, repairs and makes again, and is idle when all is well', async () => {
    const namespace = await api.createNamespace();
    const { health, metrics } = replica(namespace, 'only', false);
    const original = await create(namespace, 'a');
    const copy = await copyBy(namespace, 'a', 'only');
    expect(copy.metadata.ownerReferences?.[0]).toMatchObject({
      uid: original.metadata.uid,
      controller: true,
    });

    await api.client.patch(ConfigMaps, copy.metadata, { type: 'merge', body: { data: { by: 'vandal' } } });
    await copyBy(namespace, 'a', 'only');
    await api.client.delete(ConfigMaps, copy.metadata);
    await copyBy(namespace, 'a', 'only');
    expect(health.ready()).toEqual({
      status: 200,
      body: 'ok controller-copier\nok cache-configmaps\n',
    });
    const text = await metrics.registry.metrics();
    expect(text).toContain('shardwright_api_requests_total{verb="apply",resource="configmaps",code="20');
  });
});

describe('two replicas', () => {
  it('hand over when the leader stops, and when its lease is taken from it', async () => {
    const namespace = await api.createNamespace();
    const first = replica(namespace, 'first', true);
    await create(namespace, 'a');
    await copyBy(namespace, 'a', 'first');
    const second = replica(namespace, 'second', true);
    await eventually(() => second.health.ready().status === 200 || undefined);
    expect(second.elector.leading).toBe(false);

    first.stop.abort();
    await first.done;
    // The new leader looks at everything, so it signs what the old one had made.
    await copyBy(namespace, 'a', 'second');

    const lease = await api.client.get(Leases, { namespace, name: 'copier' });
    expect(lease.spec).toMatchObject({ holderIdentity: 'second', leaseTransitions: 1 });
    await eventually(async () => {
      const live = await api.client.get(Leases, { namespace, name: 'copier' });
      const spec = { ...live.spec, holderIdentity: 'intruder', leaseDurationSeconds: 3 };
      return api.client.replace({ ...live, spec }).catch(() => undefined);
    });
    await eventually(() => !second.elector.leading || undefined);
    // The intruder never renews: the lease comes back.
    await create(namespace, 'b');
    await copyBy(namespace, 'b', 'second');
  });
});

describe('events', () => {
  it('are written once for a transition, and counted when they come again', async () => {
    const object = await create(api.namespace, 'subject');
    const recorder = new EventRecorder({
      client: api.client,
      controller: 'shardwright.io/test',
      instance: 'test-0',
      log: silentLog,
    });
    const condition = { type: 'Ready', status: 'False', reason: 'NoNode', message: 'label a node' } as const;
    const first = setConditions([], [condition], new Date());
    recorder.conditionsChanged(object, [], first);
    const bad = setConditions(first, [{ ...condition, type: 'Stalled', status: 'True' }], new Date());
    recorder.conditionsChanged(object, first, bad);
    recorder.conditionsChanged(object, bad, bad);
    const good = setConditions(
      bad,
      [
        { ...condition, status: 'True', reason: 'Ready', message: '' },
        { ...condition, type: 'Stalled', status: 'False' },
      ],
      new Date(),
    );
    recorder.conditionsChanged(object, bad, good);
    await recorder.flush();
    recorder.conditionsChanged(object, first, bad);
    recorder.conditionsChanged(object, first, bad);
    await recorder.flush();

    const { items: events } = await api.client.list(Events, { namespace: api.namespace });
    const told = events.map(({ type, reason, action, note }) => `${type} ${reason} ${action}: ${note}`);
    expect(told.toSorted((a, b) => a.localeCompare(b))).toEqual([
      'Normal Ready Ready: Ready',
      'Warning NoNode Stalled: label a node',
    ]);
    const repeated = events.find(({ reason }) => reason === 'NoNode');
    expect(repeated?.series?.count).toBe(3);
    expect(repeated?.regarding).toMatchObject({ kind: 'ConfigMap', name: 'subject' });
  });

  it('are dropped and counted when there are too many or they cannot be written, and never wait', async () => {
    const metrics = new Metrics();
    const client = api.newClient({
      guardWrite: () => {
        throw new Error('no');
      },
    });
    const recorder = new EventRecorder({ client, controller: 'c/c', instance: 'i', log: silentLog, metrics });
    const regarding = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'x', namespace: api.namespace },
    };
    for (let index = 0; index < 1000; index++) {
      recorder.emit({ regarding, type: 'Normal', reason: 'Much', action: 'Test', note: `number ${index}` });
    }
    await recorder.flush();
    const dropped = Object.fromEntries(
      (await metrics.eventsDropped.get()).values.map(({ labels, value }) => [labels.reason, value]),
    );
    expect((dropped['full'] ?? 0) + (dropped['failed'] ?? 0)).toBe(1000);
    expect(dropped['failed']).toBeLessThan(300);
  });
});
