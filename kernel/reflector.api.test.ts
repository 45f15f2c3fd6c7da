/** A server of its own: it is killed and started again. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '#hack/api-test.ts';
import { accessAuth, LocalApiServer } from '#hack/local-apiserver.ts';
import type { RequestSample } from '#kernel/api-caller.ts';
import { KubeClient } from '#kernel/kube-client.ts';
import { Metrics } from '#kernel/metrics.ts';
import { Reflector, type ReflectorOptions, type StoreEvent } from '#kernel/reflector.ts';
import { type ConfigMap, ConfigMaps } from '#kernel/resources.ts';
import { RecordingLog } from '#kernel/testing/recording-log.ts';
import { TcpProxy } from '#kernel/testing/tcp-proxy.ts';

let server: LocalApiServer;
let direct: KubeClient;

beforeAll(async () => {
  server = await LocalApiServer.start();
  direct = new KubeClient({ auth: accessAuth(server.access) });
});

afterAll(async () => {
  direct.close();
  await server.stop();
});

let count = 0;

async function newNamespace(): Promise<string> {
  const name = `reflector-${++count}`;
  await direct.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  return name;
}

function write(namespace: string, name: string, value: string): Promise<ConfigMap> {
  return direct.apply<ConfigMap>(
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace, labels: { set: 'test' } },
      data: { value },
    },
    { fieldManager: 'test' },
  );
}

interface Following {
  readonly reflector: Reflector<ConfigMap>;
  readonly events: StoreEvent<ConfigMap>[];
  readonly metrics: Metrics;
  readonly log: RecordingLog;
  readonly requests: RequestSample[];
  readonly proxy: TcpProxy;
  /** Values by name, in the order of their names. */
  readonly values: () => Record<string, string | undefined>;
}

async function follow(options: Partial<ReflectorOptions<ConfigMap>>): Promise<Following> {
  const url = new URL(server.access.url);
  const proxy = await TcpProxy.to(url);
  url.port = String(proxy.port);
  const requests: RequestSample[] = [];
  const client = new KubeClient({
    auth: { ...accessAuth(server.access), server: url },
    onRequest: sample => requests.push(sample),
  });
  const metrics = new Metrics();
  const log = new RecordingLog();
  const reflector = new Reflector({
    client,
    resource: ConfigMaps,
    labelSelector: 'set=test',
    log,
    metrics,
    timing: { backoffBaseMs: 10, backoffMaxMs: 100 },
    ...options,
  });
  const events: StoreEvent<ConfigMap>[] = [];
  reflector.subscribe(event => events.push(event));
  const stop = new AbortController();
  const done = reflector.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await done;
    client.close();
    await proxy[Symbol.asyncDispose]();
  });
  await reflector.whenSynced(AbortSignal.timeout(15_000));
  const values = () =>
    Object.fromEntries(
      [...reflector.values()]
        .map(({ metadata, data }) => [metadata.name, data?.['value']] as const)
        .toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
  return { reflector, events, metrics, log, requests, proxy, values };
}

async function restarts(metrics: Metrics): Promise<Record<string, number>> {
  const { values } = await metrics.watchRestarts.get();
  return Object.fromEntries(values.map(({ labels, value }) => [labels.reason, value]));
}

function becomes(read: () => unknown, expected: unknown): Promise<true> {
  return eventually(() => (JSON.stringify(read()) === JSON.stringify(expected) ? true : undefined));
}

describe('following', () => {
  it('lists what is there, then tells of each change', async () => {
    const namespace = await newNamespace();
    await write(namespace, 'a', '1');
    const { reflector, events, values } = await follow({ namespaces: [namespace] });
    expect(values()).toEqual({ a: '1' });
    await write(namespace, 'a', '2');
    await write(namespace, 'b', '1');
    await direct.delete(ConfigMaps, { namespace, name: 'a' });
    await becomes(values, { b: '1' });
    expect(
      events.map(({ type, object, old, initial }) => [
        type,
        object.metadata.name,
        old?.data?.['value'],
        initial,
      ]),
    ).toEqual([
      ['added', 'a', undefined, true],
      ['modified', 'a', '1', false],
      ['added', 'b', undefined, false],
      ['deleted', 'a', undefined, false],
    ]);
    expect(reflector.get({ namespace, name: 'b' })?.metadata).not.toHaveProperty('managedFields');
  });

  it('keeps to its namespaces and selectors, and finds by index', async () => {
    const [one, two, other] = await Promise.all([newNamespace(), newNamespace(), newNamespace()]);
    await Promise.all([write(one, 'a', 'red'), write(two, 'b', 'red'), write(other, 'c', 'red')]);
    await direct.create({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'unlabelled', namespace: one },
    });
    const { reflector, values } = await follow({
      namespaces: [one, two],
      indexes: { value: ({ data }) => Object.values(data ?? {}) },
    });
    expect(values()).toEqual({ a: 'red', b: 'red' });
    await write(two, 'b', 'blue');
    await becomes(values, { a: 'red', b: 'blue' });
    expect(reflector.byIndex('value', 'red').map(({ metadata }) => metadata.name)).toEqual(['a']);
    expect(reflector.byIndex('value', 'blue').map(({ metadata }) => metadata.name)).toEqual(['b']);
    expect(() => reflector.byIndex('colour', 'red')).toThrow('no index colour');
  });

  it('replays to a late subscriber', async () => {
    const namespace = await newNamespace();
    await write(namespace, 'a', '1');
    const { reflector } = await follow({ namespaces: [namespace] });
    const seen: string[] = [];
    using subscription = reflector.subscribe(({ type, initial }) => seen.push(`${type} ${initial}`));
    expect(seen).toEqual(['added true']);
    subscription[Symbol.dispose]();
    await write(namespace, 'a', '2');
    await becomes(() => reflector.get({ namespace, name: 'a' })?.data?.['value'], '2');
    expect(seen).toHaveLength(1);
  });

  it('reports how stale it is and how much it holds', async () => {
    const namespace = await newNamespace();
    await write(namespace, 'a', '1');
    const { metrics } = await follow({ namespaces: [namespace] });
    const text = await metrics.registry.metrics();
    expect(text).toMatch(/shardwright_watch_staleness_seconds\{resource="configmaps"\} \d/);
    expect(text).toContain('shardwright_cached_objects{resource="configmaps"} 1');
  });
});

describe('handlers', () => {
  it('that throw disturb nobody', async () => {
    const namespace = await newNamespace();
    const { reflector, events, values, metrics, log } = await follow({ namespaces: [namespace] });
    reflector.subscribe(() => {
      throw new Error('handler');
    });
    const after: string[] = [];
    reflector.subscribe(({ object }) => after.push(object.metadata.name));
    await write(namespace, 'a', '1');
    await write(namespace, 'b', '1');
    await becomes(values, { a: '1', b: '1' });
    expect(events).toHaveLength(2);
    expect(after).toEqual(['a', 'b']);
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(2);
    expect((await metrics.handlerErrors.get()).values[0]?.value).toBe(2);
  });

  it('that are slow miss nothing and see the order kept', async () => {
    const namespace = await newNamespace();
    const { reflector, values } = await follow({ namespaces: [namespace] });
    const seen: string[] = [];
    reflector.subscribe(({ object }) => {
      const until = performance.now() + 20;
      while (performance.now() < until);
      seen.push(object.metadata.name);
    });
    const names = Array.from({ length: 30 }, (_, index) => `slow-${String(index).padStart(2, '0')}`);
    for (const name of names) await write(namespace, name, '1');
    await becomes(() => Object.keys(values()), names);
    expect(seen).toEqual(names);
  });
});

describe('trouble', () => {
  it('goes on where it was after a broken connection, without listing again', async () => {
    const namespace = await newNamespace();
    await write(namespace, 'a', '1');
    const { proxy, values, requests, metrics } = await follow({ namespaces: [namespace] });
    proxy.cut();
    await write(namespace, 'a', '2');
    await direct.delete(ConfigMaps, { namespace, name: 'a' });
    await write(namespace, 'b', '1');
    expect(values()).toEqual({ a: '1' });
    proxy.open();
    await becomes(values, { b: '1' });
    expect(requests.filter(({ verb }) => verb === 'list')).toHaveLength(1);
    expect((await restarts(metrics))['broken']).toBeGreaterThan(0);
  });

  it('goes on when the server ends a watch, and opens it again at once', async () => {
    const namespace = await newNamespace();
    const { metrics, values, requests } = await follow({
      namespaces: [namespace],
      timing: { watchSeconds: 1 },
    });
    await eventually(async () => ((await restarts(metrics))['ended'] ?? 0) >= 2 || undefined);
    await write(namespace, 'a', '1');
    await becomes(values, { a: '1' });
    expect(requests.filter(({ verb }) => verb === 'list')).toHaveLength(1);
  });

  it('survives kill -9 of the API server in the middle of a watch', async () => {
    const namespace = await newNamespace();
    await write(namespace, 'a', '1');
    const { values, events } = await follow({ namespaces: [namespace] });
    await server.kill();
    expect(values()).toEqual({ a: '1' });
    await server.startAgain();
    await write(namespace, 'b', '1');
    await becomes(values, { a: '1', b: '1' });
    // Nothing is told twice.
    expect(events.map(({ type, object }) => `${type} ${object.metadata.name}`)).toEqual([
      'added a',
      'added b',
    ]);
  });

  it('lists again when its version is too old, and notices what was deleted meanwhile', async () => {
    const namespace = await newNamespace();
    await Promise.all(['kept', 'changed', 'deleted'].map(name => write(namespace, name, '1')));
    const { values, events, metrics, proxy } = await follow({ namespaces: [namespace] });
    events.length = 0;
    proxy.cut();
    await write(namespace, 'changed', '2');
    await direct.delete(ConfigMaps, { namespace, name: 'deleted' });
    await write(namespace, 'new', '1');
    // A server that has just started knows no history.
    await server.kill();
    await server.startAgain();
    proxy.open();
    await becomes(values, { changed: '2', kept: '1', new: '1' });
    expect((await restarts(metrics))['expired']).toBe(1);
    expect(events.map(({ type, object }) => `${type} ${object.metadata.name}`).toSorted()).toEqual([
      'added new',
      'deleted deleted',
      'modified changed',
    ]);
  });

  it('notices a connection that is open but dead by the end that the server had promised', async () => {
    const namespace = await newNamespace();
    const { values, metrics, proxy } = await follow({
      namespaces: [namespace],
      timing: { watchSeconds: 1, endGraceMs: 200 },
    });
    await eventually(async () => ((await restarts(metrics))['ended'] ?? 0) >= 1 || undefined);
    proxy.silence();
    await write(namespace, 'a', '1');
    await becomes(values, { a: '1' });
    expect((await restarts(metrics))['silent']).toBeGreaterThan(0);
  });
});
