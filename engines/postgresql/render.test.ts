import { expect, test } from 'vitest';
import type { ShardSpec } from '#crds/api/shard.ts';
import { parameters } from './parameters.ts';
import { localSettings, timing } from './patroni-settings.ts';
import { quantityBytes } from './quantity.ts';
import { render } from './render.ts';
import { sampleShard } from './testing/shard.ts';

const context = {
  image: 'image',
  imagePullPolicy: 'Always',
  operator: { namespace: 'shardwright', labels: { app: 'operator' } },
} as const;
const object = (kind: string, name: string, spec: Partial<ShardSpec> = {}) =>
  render(sampleShard(spec), context).find(one => one.kind === kind && one.metadata.name === name);
const settings = (spec: Partial<ShardSpec> = {}): Record<string, unknown> =>
  JSON.parse(object('Endpoints', 'social-0-config', spec)?.metadata.annotations?.['config'] ?? '');

const parametersOf = (size: string) =>
  parameters(sampleShard({ storage: { size, accessModes: ['ReadWriteOnce'] } }).spec);
const constraintsOf = (spec: Partial<ShardSpec>) => JSON.stringify(object('StatefulSet', 'social-0', spec));
const namespace = (name: string) => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
});
const tcp = (...ports: number[]) => ports.map(port => ({ protocol: 'TCP', port }));

test('Patroni keeps to its own rule of times', () => {
  expect(timing.loopSeconds + 2 * timing.retrySeconds).toBeLessThanOrEqual(timing.ttlSeconds);
});

test('strong consistency is synchronous replication, where there is somebody to replicate to', () => {
  expect(settings()).toMatchObject({ synchronous_mode: true, failsafe_mode: true });
  expect(settings({ consistency: 'eventual' })).toMatchObject({ synchronous_mode: false });
  expect(settings({ members: 1 })).toMatchObject({ synchronous_mode: false });
});

test('logical slots are not Patroni’s to drop', () => {
  expect(settings()).toMatchObject({ ignore_slots: [{ type: 'logical' }] });
});

test('a person tunes parameters, but not those that keep a promise', () => {
  const { engine } = sampleShard().spec;
  const mine = { work_mem: '64MB', max_connections: '300', fsync: 'off', ssl: 'off', archive_mode: 'off' };
  expect(parameters({ ...sampleShard().spec, engine: { ...engine, parameters: mine } })).toMatchObject({
    work_mem: '64MB',
    max_connections: '300',
    fsync: 'on',
    ssl: 'on',
    archive_mode: 'on',
    archive_timeout: '0',
  });
});

test('write-ahead log stays a part of a small volume', () => {
  expect(parametersOf('1Gi')).toMatchObject({ max_wal_size: '256MB', max_slot_wal_keep_size: '512MB' });
  expect(parametersOf('1Ti')).toMatchObject({ max_wal_size: '4096MB' });
});

test('a new fleet has small segments of log; what it takes to start one with larger ones stays', () => {
  const { bootstrap } = localSettings(sampleShard(), 'fleet');
  expect(bootstrap).toMatchObject({ initdb: expect.arrayContaining([{ 'wal-segsize': '4' }]) });
  expect(parametersOf('128Mi')).toMatchObject({ max_wal_size: '64MB', min_wal_size: '32MB' });
});

test('the store’s objects survive the clean-up of Endpoints, the leader’s reach the proxies', () => {
  const mark = 'control-plane.alpha.kubernetes.io/leader';
  for (const name of ['social-0-config', 'social-0-sync', 'social-0-failover'])
    expect(object('Endpoints', name)?.metadata.annotations).toHaveProperty([mark]);
  expect(object('Endpoints', 'social-0')?.metadata.annotations).toBeUndefined();
});

test('a member may change the objects and pods of its own shard only', () => {
  expect(object('Role', 'social-0')?.['rules']).toEqual([
    { apiGroups: [''], resources: ['endpoints', 'pods'], verbs: ['list', 'watch'] },
    {
      apiGroups: [''],
      resources: ['endpoints'],
      resourceNames: ['social-0', 'social-0-config', 'social-0-sync', 'social-0-failover'],
      verbs: ['get', 'patch'],
    },
    {
      apiGroups: [''],
      resources: ['pods'],
      resourceNames: ['social-0-0', 'social-0-1'],
      verbs: ['get', 'patch'],
    },
    {
      apiGroups: ['batch'],
      resources: ['jobs'],
      resourceNames: ['social-0-backup', 'social-0-drill', 'social-0-recover'],
      verbs: ['get', 'patch'],
    },
  ]);
});

test('the policy lets in members, the operator and clients, each where they have business', () => {
  const spec = { access: { stableLogin: false, namespaces: ['web'] } };
  expect(object('NetworkPolicy', 'social-0', spec)).toMatchObject({
    spec: {
      policyTypes: ['Ingress'],
      ingress: [
        {
          from: [
            { podSelector: { matchLabels: { 'shardwright.io/shard': 'social-0' } } },
            { ...namespace('shardwright'), podSelector: { matchLabels: { app: 'operator' } } },
          ],
          ports: tcp(5432, 8008),
        },
        {
          from: [{ podSelector: { matchLabels: { 'shardwright.io/task-of': 'social-0' } } }],
          ports: tcp(8432),
        },
        { from: [namespace('fleet'), namespace('web')], ports: tcp(6432, 5432) },
      ],
    },
  });
});

test.each([
  ['Delete', 'Delete'],
  ['Retain', 'Retain'],
  ['Forbid', 'Retain'],
] as const)('deletionPolicy %s: volumes %s', (deletionPolicy, kept) => {
  expect(object('StatefulSet', 'social-0', { deletionPolicy })).toMatchObject({
    spec: { persistentVolumeClaimRetentionPolicy: { whenDeleted: kept, whenScaled: kept } },
  });
});

test('members start without a repository, and get to see one that comes later', () => {
  const text = JSON.stringify(object('StatefulSet', 'social-0'));
  expect(text).toContain(
    '{"name":"backup","secret":{"secretName":"social-0-backup","optional":true,"defaultMode":288}}',
  );
  expect(text).toContain('{"name":"backup","mountPath":"/etc/shardwright/backup","readOnly":true}');
});

test('members spread over regions only where that is asked for', () => {
  expect(constraintsOf({ spreadRegions: ['a', 'b'] })).toContain(
    '"topologyKey":"topology.kubernetes.io/region"',
  );
  expect(constraintsOf({ region: 'a' })).not.toContain('"topologyKey":"topology.kubernetes.io/region"');
});

test('no secret’s value can be in a container’s environment', () => {
  expect(JSON.stringify(object('StatefulSet', 'social-0'))).not.toContain('secretKeyRef');
});

test.each([
  ['1Gi', 2 ** 30],
  ['500M', 5e8],
  ['1e9', 1e9],
  ['much', undefined],
])('%s is %s bytes', (quantity, bytes) => {
  expect(quantityBytes(quantity)).toBe(bytes);
});
