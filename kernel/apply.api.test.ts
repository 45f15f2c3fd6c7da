import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { apiTest, eventually } from '#hack/api-test.ts';
import type { RequestSample } from '#kernel/api-caller.ts';
import { Applier } from '#kernel/apply.ts';
import { ConflictError } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { silentLog } from '#kernel/log.ts';
import type { KubeObject } from '#kernel/object.ts';
import { managedFieldsOf } from '#kernel/ownership.ts';
import { Reflector } from '#kernel/reflector.ts';
import {
  type ConfigMap,
  ConfigMaps,
  type Secret,
  Secrets,
  type Service,
  type StatefulSet,
  StatefulSets,
} from '#kernel/resources.ts';

const api = await apiTest();
const stop = new AbortController();
const requests: RequestSample[] = [];
let client: KubeClient;
let reflectors: [Reflector<ConfigMap>, Reflector<StatefulSet>];
let applier: Applier;

beforeAll(async () => {
  client = api.client;
  const following = { client, namespaces: [api.namespace], log: silentLog };
  reflectors = [
    new Reflector({ ...following, resource: ConfigMaps }),
    new Reflector({ ...following, resource: StatefulSets }),
  ];
  for (const reflector of reflectors) void reflector.run(stop.signal);
  await Promise.all(reflectors.map(reflector => reflector.whenSynced(AbortSignal.timeout(15_000))));
});

afterAll(() => {
  stop.abort();
  api.client.close();
});

function newApplier(): Applier {
  const counted = api.newClient({ onRequest: sample => requests.push(sample) });
  return new Applier({ client: counted, fieldManager: 'test', caches: reflectors });
}

beforeEach(() => {
  requests.length = 0;
  applier = newApplier();
});

function configMap(name: string, data: Record<string, string>): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: api.namespace }, data };
}

/** The cache has what the server has. */
async function caughtUp(object: KubeObject): Promise<void> {
  const { metadata } = object;
  const cache = object.kind === 'ConfigMap' ? reflectors[0] : reflectors[1];
  const live = await client.get(cache.resource, metadata);
  await eventually(
    () => cache.get(metadata)?.metadata.resourceVersion === live.metadata.resourceVersion || undefined,
  );
}

function statefulSet(name: string, image: string): StatefulSet {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name, namespace: api.namespace, labels },
    spec: {
      replicas: 2,
      serviceName: name,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          containers: [
            {
              name: 'main',
              image,
              args: ['a', 'b'],
              env: [{ name: 'A', value: '1' }],
              ports: [{ name: 'pg', containerPort: 5432 }],
              volumeMounts: [{ name: 'run', mountPath: '/run' }],
              resources: { requests: { memory: '1Gi', cpu: '100m' } },
            },
          ],
          volumes: [{ name: 'run', emptyDir: {} }],
          tolerations: [{ key: 'k', operator: 'Exists' }],
        },
      },
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
      ],
    },
  };
}

async function managers(name: string): Promise<readonly string[]> {
  const live = await client.get(StatefulSets, { namespace: api.namespace, name });
  return managedFieldsOf(live).map(({ manager, operation }) => `${manager} ${operation}`);
}

function withoutTolerations(object: StatefulSet): StatefulSet {
  const copy = structuredClone(object);
  delete copy.spec?.template.spec?.tolerations;
  return copy;
}

function service(port: number): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'addressed', namespace: api.namespace },
    spec: { selector: { app: 'x' }, ports: [{ name: 'pg', port, targetPort: 5432, protocol: 'TCP' }] },
  };
}

describe('when nothing differs', () => {
  it('makes no request, however large the object and whatever the server added to it', async () => {
    const desired = statefulSet('quiet', 'i:1');
    expect((await applier.apply(desired)).changed).toBe(true);
    await caughtUp(desired);
    requests.length = 0;
    for (let round = 0; round < 5; round++) {
      expect((await applier.apply(statefulSet('quiet', 'i:1'))).changed).toBe(false);
    }
    expect(requests).toEqual([]);
  });

  it('makes none after a restart either', async () => {
    const desired = statefulSet('restarted', 'i:1');
    await applier.apply(desired);
    await caughtUp(desired);
    requests.length = 0;
    expect((await newApplier().apply(desired)).changed).toBe(false);
    expect(requests).toEqual([]);
  });

  it('believes its own write before the watch brings it back', async () => {
    const desired = configMap('believed', { x: '1' });
    const { object } = await applier.apply(desired);
    // The event may have come already: both ways there is nothing to do.
    const second = await applier.apply(desired);
    expect(second.changed).toBe(false);
    expect(second.object.metadata.resourceVersion).toBe(object.metadata.resourceVersion);
    expect(requests).toHaveLength(1);
  });

  it('learns how the server writes a value', async () => {
    const desired = statefulSet('normalised', 'i:1');
    const [container] = desired.spec?.template.spec?.containers ?? [];
    if (container) container.resources = { requests: { memory: '1024Mi', cpu: '0.5' } };
    await applier.apply(desired);
    await caughtUp(desired);
    requests.length = 0;
    expect((await applier.apply(desired)).changed).toBe(false);
    expect(requests).toEqual([]);
    await client.patch(StatefulSets, desired.metadata, {
      type: 'json',
      body: [
        { op: 'replace', path: '/spec/template/spec/containers/0/resources/requests/memory', value: '3Gi' },
      ],
    });
    await caughtUp(desired);
    const repaired = await applier.apply(desired);
    expect(repaired.object.spec?.template.spec?.containers[0]?.resources?.requests?.['memory']).toBe('1Gi');
  });

  it('reads kinds that nobody caches, and compares stringData as data', async () => {
    const secret: Secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'password', namespace: api.namespace },
      stringData: { password: 'x' },
    };
    await applier.apply(secret);
    requests.length = 0;
    expect((await applier.apply(secret)).changed).toBe(false);
    expect(requests.map(({ verb }) => verb)).toEqual(['get']);
    const live = await client.get(Secrets, secret.metadata);
    expect(live.data).toEqual({ password: Buffer.from('x').toString('base64') });
    requests.length = 0;
    expect((await applier.apply(secret, { live })).changed).toBe(false);
    expect(requests).toEqual([]);
  });
});

describe('what differs is repaired', () => {
  it.each([
    ['a changed field', [{ op: 'replace', path: '/spec/replicas', value: 5 }]],
    ['a removed label', [{ op: 'remove', path: '/metadata/labels/app' }]],
    [
      'an argument that someone added',
      [{ op: 'add', path: '/spec/template/spec/containers/0/args/-', value: 'c' }],
    ],
    ['a removed environment variable', [{ op: 'remove', path: '/spec/template/spec/containers/0/env/0' }]],
    [
      'a toleration that someone added',
      [{ op: 'add', path: '/spec/template/spec/tolerations/-', value: { key: 'x', operator: 'Exists' } }],
    ],
  ])('%s', async (what, body) => {
    const desired = statefulSet(what.replaceAll(' ', '-').toLowerCase(), 'i:1');
    await applier.apply(desired);
    const tampered = await client.patch(StatefulSets, desired.metadata, { type: 'json', body });
    await caughtUp(desired);
    const { changed, object } = await applier.apply(desired);
    expect(changed).toBe(true);
    expect(object.metadata.generation).not.toBe(undefined);
    expect(object.metadata.resourceVersion).not.toBe(tampered.metadata.resourceVersion);
    await caughtUp(desired);
    requests.length = 0;
    expect((await applier.apply(desired)).changed).toBe(false);
    expect(requests).toEqual([]);
  });

  it('an object that someone deleted, also right after it was made', async () => {
    const desired = configMap('deleted', { x: '1' });
    await applier.apply(desired);
    await client.delete(ConfigMaps, desired.metadata);
    await eventually(async () => {
      const { changed } = await applier.apply(desired);
      return changed || undefined;
    });
    expect((await client.get(ConfigMaps, desired.metadata)).data).toEqual({ x: '1' });
  });

  it('a field that we leave out goes, one of another manager stays', async () => {
    await applier.apply(configMap('shrunk', { x: '1', y: '1' }));
    const theirs = configMap('shrunk', { z: '1' });
    await client.apply(theirs, { fieldManager: 'theirs' });
    await caughtUp(theirs);
    const { object } = await applier.apply(configMap('shrunk', { x: '1' }));
    expect(object.data).toEqual({ x: '1', z: '1' });
  });
});

describe('an object that we created', () => {
  it('loses what we leave out, as if it had been applied from the beginning', async () => {
    const before = statefulSet('created', 'i:1');
    const after = withoutTolerations(before);
    await applier.apply(before);
    expect(requests.map(({ verb }) => verb)).toEqual(['create']);
    expect(await managers('created')).toEqual(['test Update']);
    const created = await client.get(StatefulSets, before.metadata);
    await caughtUp(before);
    const { object } = await applier.apply(after);
    expect(await managers('created')).toEqual(['test Apply']);
    expect(object.spec?.template.spec?.tolerations).toBeUndefined();
    // What the server had filled in is what it fills in again.
    expect(object.spec).toEqual(withoutTolerations(created).spec);
    await caughtUp(after);
    requests.length = 0;
    await applier.apply(before);
    expect(requests.map(({ verb }) => verb)).toEqual(['apply']);
  });

  it('keeps what somebody else has set since', async () => {
    await applier.apply(statefulSet('shared', 'i:1'));
    const body = [{ op: 'replace', path: '/spec/revisionHistoryLimit', value: 3 }];
    await client.patch(StatefulSets, { namespace: api.namespace, name: 'shared' }, { type: 'json', body });
    await caughtUp(statefulSet('shared', 'i:1'));
    const { object } = await applier.apply(statefulSet('shared', 'i:2'));
    expect(object.spec?.revisionHistoryLimit).toBe(3);
    expect(await managers('shared')).toContain('test Apply');
  });

  it('keeps the address that its Service was given', async () => {
    const { object: made } = await applier.apply(service(5432));
    const { object } = await applier.apply(service(6432));
    expect(object.spec?.ports?.map(({ port }) => port)).toEqual([6432]);
    expect(object.spec?.clusterIP).toBe(made.spec?.clusterIP);
    expect(object.metadata.uid).toBe(made.metadata.uid);
  });

  it('is applied to when it exists against what the cache says', async () => {
    const theirs = configMap('there-already', { theirs: '1' });
    await client.create(theirs, { fieldManager: 'theirs' });
    const { object, changed } = await applier.apply(configMap('there-already', { x: '1' }), { live: null });
    expect(changed).toBe(true);
    expect(object.data).toEqual({ theirs: '1', x: '1' });
  });

  it('is refused with a field that the server does not know', async () => {
    const { spec } = statefulSet('unknown-field', 'i:1');
    const wrong: KubeObject = { ...statefulSet('unknown-field', 'i:1'), spec: { ...spec, unknown: 1 } };
    await expect(applier.apply(wrong)).rejects.toThrow(/unknown/);
  });
});

describe('status', () => {
  it('is written when it differs, and only then', async () => {
    const desired = statefulSet('with-status', 'i:1');
    const { object } = await applier.apply(desired);
    requests.length = 0;
    const first = await applier.applyStatus(object, { replicas: 2, readyReplicas: 1 });
    expect(first.changed).toBe(true);
    const second = await applier.applyStatus(first.object, { replicas: 2, readyReplicas: 1 });
    expect(second.changed).toBe(false);
    const third = await applier.applyStatus(first.object, { replicas: 2 });
    expect(third.changed).toBe(true);
    expect(third.object.status?.readyReplicas).toBeUndefined();
    expect(requests).toHaveLength(2);
  });

  it('never lands on another object of the same name', async () => {
    const { object } = await applier.apply(statefulSet('reborn', 'i:1'));
    await client.delete(StatefulSets, object.metadata, { propagationPolicy: 'Background' });
    await client.create(statefulSet('reborn', 'i:2'));
    await expect(applier.applyStatus(object, { replicas: 2 })).rejects.toBeInstanceOf(ConflictError);
  });
});
