import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { apiTest } from '#hack/api-test.ts';
import { accessAuth } from '#hack/local-apiserver.ts';
import type { RequestSample } from '#kernel/api-caller.ts';
import { kubeConfigFileAuth } from '#kernel/auth.ts';
import {
  AbortedError,
  AlreadyExistsError,
  ConflictError,
  ConnectionError,
  DeadlineError,
  ForbiddenError,
  InvalidError,
  NotFoundError,
  UnauthorizedError,
} from '#kernel/errors.ts';
import { KubeClient } from '#kernel/kube-client.ts';
import type { WatchEvent } from '#kernel/kube-options.ts';
import type { KubeObject } from '#kernel/object.ts';
import { UnknownKindError } from '#kernel/resource-catalog.ts';
import { type ConfigMap, ConfigMaps, Pods, StatefulSets } from '#kernel/resources.ts';

const api = await apiTest();
afterAll(() => api.client.close());

function configMap(name: string, data: Record<string, string> = { x: '1' }): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: api.namespace }, data };
}

function key(name: string) {
  return { namespace: api.namespace, name };
}

describe('verbs', () => {
  it('creates, reads, replaces by compare-and-swap, patches, deletes', async () => {
    const created = await api.client.create(configMap('verbs'));
    expect((await api.client.get(ConfigMaps, key('verbs'))).data).toEqual({ x: '1' });

    const replaced = await api.client.replace({ ...created, data: { x: '2' } });
    expect(replaced.data).toEqual({ x: '2' });
    await expect(api.client.replace({ ...created, data: { x: '3' } })).rejects.toBeInstanceOf(ConflictError);

    const merged = await api.client.patch(ConfigMaps, key('verbs'), {
      type: 'merge',
      body: { data: { y: '1', x: null } },
    });
    expect(merged.data).toEqual({ y: '1' });
    const patched = await api.client.patch(ConfigMaps, key('verbs'), {
      type: 'json',
      body: [{ op: 'add', path: '/data/z', value: '1' }],
    });
    expect(patched.data).toEqual({ y: '1', z: '1' });

    const wrong = { preconditions: { uid: 'another' } };
    await expect(api.client.delete(ConfigMaps, key('verbs'), wrong)).rejects.toBeInstanceOf(ConflictError);
    await api.client.delete(ConfigMaps, key('verbs'));
    await expect(api.client.get(ConfigMaps, key('verbs'))).rejects.toBeInstanceOf(NotFoundError);
  });

  it('applies any text: what YAML does not take as it is arrives all the same', async () => {
    // All but halves of pairs, in which no text that a program was given can be.
    const every = Array.from({ length: 0x1_00_00 }, (_, code) => code).filter(
      code => code < 0xd8_00 || code > 0xdf_ff,
    );
    const text = String.fromCharCode(...every.slice(0, 0x4000), ...every.slice(-0x800)) + '😀';
    const applied = await api.client.apply(configMap('any-text', { text }), { fieldManager: 'mine' });
    expect(applied.data?.['text'] === text).toBe(true);
  });

  it('applies: what is left out goes, what others own stays or is fought over', async () => {
    const mine = { fieldManager: 'mine' };
    await api.client.apply(configMap('applied', { x: '1', y: '1' }), mine);
    await api.client.apply(configMap('applied', { z: '1' }), { fieldManager: 'theirs' });
    const second = await api.client.apply(configMap('applied', { x: '1' }), mine);
    expect(second.data).toEqual({ x: '1', z: '1' });

    const stolen = configMap('applied', { x: '1', z: '2' });
    const conflict = await api.client.apply(stolen, mine).catch((error: unknown) => error);
    expect(conflict).toBeInstanceOf(ConflictError);
    expect(conflict instanceof ConflictError && conflict.causes[0]?.field).toBe('.data.z');
    expect((await api.client.apply(stolen, { ...mine, force: true })).data).toEqual({ x: '1', z: '2' });

    const tried = await api.client.apply(configMap('applied', { x: '9' }), {
      ...mine,
      force: true,
      dryRun: true,
    });
    expect(tried.data?.['x']).toBe('9');
    expect((await api.client.get(ConfigMaps, key('applied'))).data?.['x']).toBe('1');
  });

  it('applies the status alone', async () => {
    const metadata = { name: 'status', namespace: api.namespace };
    const labels = { app: 'a' };
    await api.client.create({
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata,
      spec: {
        serviceName: 'a',
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'a', image: 'a' }] } },
      },
    });
    const status = { replicas: 3, readyReplicas: 2 };
    await api.client.applyStatus(
      { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata, spec: { serviceName: 'ignored' }, status },
      { fieldManager: 'mine' },
    );
    const live = await api.client.get(StatefulSets, metadata);
    expect(live.status).toMatchObject(status);
    expect(live.spec?.serviceName).toBe('a');
  });

  it('lists in pages, with types filled in, and deletes a collection', async () => {
    const namespace = await api.createNamespace();
    const names = Array.from({ length: 7 }, (_, index) => `paged-${index}`);
    await Promise.all(
      names.map(name =>
        api.client.create({ ...configMap(name), metadata: { name, namespace, labels: { set: 'paged' } } }),
      ),
    );
    const scope = { namespace, labelSelector: 'set=paged' };
    const pages: number[] = [];
    for await (const page of api.client.listPages(ConfigMaps, scope, { limit: 3 }))
      pages.push(page.items.length);
    expect(pages).toEqual([3, 3, 1]);
    const { items } = await api.client.list(ConfigMaps, scope);
    expect(items.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual(
      names.map(name => `ConfigMap ${name}`),
    );
    const one = await api.client.list(ConfigMaps, { namespace, fieldSelector: 'metadata.name=paged-3' });
    expect(one.items).toHaveLength(1);
    await api.client.deleteCollection(ConfigMaps, scope);
    expect((await api.client.list(ConfigMaps, scope)).items).toEqual([]);
  });

  it('watches from where a list ended, and can leave the stream', async () => {
    const namespace = await api.createNamespace();
    const { resourceVersion } = await api.client.list(ConfigMaps, { namespace });
    const events = await api.client.watch(ConfigMaps, { namespace, resourceVersion, timeoutSeconds: 30 });
    const metadata = { name: 'watched', namespace };
    await api.client.create({ ...configMap('watched'), metadata });
    await api.client.patch(ConfigMaps, metadata, { type: 'merge', body: { data: { x: '2' } } });
    await api.client.delete(ConfigMaps, metadata);
    const seen: WatchEvent<ConfigMap>['type'][] = [];
    for await (const event of events) {
      seen.push(event.type);
      if (event.type === 'DELETED') break;
    }
    expect(seen).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
  });
});

describe('failures', () => {
  it('names the fields of an invalid object', async () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'Bad_Name', namespace: api.namespace },
      spec: {},
    };
    const error = await api.client.create(pod).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidError);
    expect(error instanceof InvalidError && error.causes.map(({ field }) => field)).toContain(
      'metadata.name',
    );
  });

  it('tells an existing object from a conflict', async () => {
    await api.client.create(configMap('twice'));
    await expect(api.client.create(configMap('twice'))).rejects.toBeInstanceOf(AlreadyExistsError);
  });

  it('says who may not what', async () => {
    const stranger = api.newClient({ auth: accessAuth(api.access, 'wrong') });
    await expect(stranger.list(Pods)).rejects.toBeInstanceOf(UnauthorizedError);
    const anonymous = api.newClient({
      auth: {
        ...accessAuth(api.access),
        credentials: () => Promise.resolve({ tls: { ca: api.access.ca }, headers: {} }),
      },
    });
    await expect(anonymous.list(Pods)).rejects.toBeInstanceOf(ForbiddenError);
  });

  it('ends at its deadline and with its signal', async () => {
    const mute = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void mute.close());
    await once(mute, 'listening');
    const address = mute.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const server = new URL(`https://127.0.0.1:${port}`);
    const client = api.newClient({ auth: { ...accessAuth(api.access), server } });
    await expect(client.list(Pods, {}, { deadlineMs: 50 })).rejects.toBeInstanceOf(DeadlineError);
    const before = api.client.list(Pods, {}, { signal: AbortSignal.abort() });
    await expect(before).rejects.toBeInstanceOf(AbortedError);
    const abort = new AbortController();
    const during = api.client.list(Pods, {}, { signal: abort.signal });
    abort.abort();
    await expect(during).rejects.toBeInstanceOf(AbortedError);
  });

  it('refuses a server it does not trust, and a port where nobody listens', async () => {
    const untrusting = api.newClient({
      auth: {
        ...accessAuth(api.access),
        credentials: () => Promise.resolve({ tls: {}, headers: {} }),
      },
    });
    await expect(untrusting.list(Pods)).rejects.toBeInstanceOf(ConnectionError);
    const nobody = api.newClient({
      auth: { ...accessAuth(api.access), server: new URL('https://127.0.0.1:1') },
    });
    await expect(nobody.list(Pods)).rejects.toBeInstanceOf(ConnectionError);
  });

  it('knows only the kinds that it was told of', async () => {
    const unknown: KubeObject = { apiVersion: 'x/v1', kind: 'Y', metadata: { name: 'y' } };
    expect(() => api.client.create(unknown)).toThrow(UnknownKindError);
  });
});

describe('connections', () => {
  it('are used again: a thousand requests go over no more than the pool has', async () => {
    const samples: RequestSample[] = [];
    const client = api.newClient({ maxConnections: 4, onRequest: sample => samples.push(sample) });
    for (let batch = 0; batch < 10; batch++) {
      await Promise.all(
        Array.from({ length: 100 }, () => client.list(ConfigMaps, { namespace: api.namespace })),
      );
    }
    expect(samples).toHaveLength(1000);
    expect(samples.filter(({ reused }) => !reused)).toHaveLength(4);
    expect(samples[0]).toMatchObject({ verb: 'list', resource: 'configmaps', code: '200' });
  });

  it('do not run out through watches', async () => {
    const client = api.newClient({ maxConnections: 1 });
    const { resourceVersion } = await client.list(ConfigMaps, { namespace: api.namespace });
    const stop = new AbortController();
    const options = { resourceVersion, namespace: api.namespace, signal: stop.signal };
    await Promise.all([1, 2, 3].map(() => client.watch(ConfigMaps, options)));
    const listed = client.list(ConfigMaps, { namespace: api.namespace }, { deadlineMs: 10_000 });
    await expect(listed).resolves.toHaveProperty('items');
    stop.abort();
  });
});

describe('credentials', () => {
  it('are asked for again after a 401, and the request repeated', async () => {
    let token = 'expired';
    const asked: boolean[] = [];
    const client = api.newClient({
      auth: {
        ...accessAuth(api.access),
        credentials: ({ fresh }) => {
          asked.push(fresh);
          const sent = token;
          token = api.access.token;
          return Promise.resolve({
            tls: { ca: api.access.ca },
            headers: { authorization: `Bearer ${sent}` },
          });
        },
      },
    });
    await client.create(configMap('with-fresh-token'));
    expect(asked).toEqual([false, true]);
  });

  it('come from a kubeconfig', async () => {
    const client = new KubeClient({ auth: await kubeConfigFileAuth(api.access.kubeconfigPath) });
    try {
      expect(client.defaultNamespace).toBe('default');
      await client.list(Pods);
    } finally {
      client.close();
    }
  });
});

it('asks its guard before each write, and only then', async () => {
  const client = api.newClient({
    guardWrite: () => {
      throw new Error('not leading');
    },
  });
  await client.list(Pods);
  await expect(client.create(configMap('guarded'))).rejects.toThrow('not leading');
  await expect(client.delete(ConfigMaps, key('guarded'))).rejects.toThrow('not leading');
});
