/** What the API server accepts: every sample, with the defaults that parsing gives, and changes of what may change. */
import { describe, expect, it } from 'vitest';
import { apiTest } from '#hack/api-test.ts';
import type { KubeObject } from '#kernel/object.ts';
import { defineResource } from '#kernel/resource.ts';
import { apiVersion, resources } from './api/names.ts';
import { parseShard } from './api/shard.ts';
import { parseShardCluster, type ShardCluster } from './api/shard-cluster.ts';
import { type Manifest, manifestIn, manifestsIn, samplePaths } from './testdata/cases.ts';
import { parsers } from './testdata/parsers.ts';

const api = await apiTest({ resources: Object.values(resources).map(resource => defineResource(resource)) });
await api.installCrds();

const ShardClusters = defineResource<ShardCluster>(resources.shardCluster);
const Shards = defineResource(resources.shard);
const strict = { fieldValidation: 'Strict' } as const;

function placed(manifest: Manifest, namespace: string): KubeObject {
  return { ...manifest, metadata: { ...manifest.metadata, namespace } };
}

/** Paths of all leaves. */
function fieldsOf(value: unknown, path = 'spec'): readonly string[] {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) return [path];
  return Object.entries(value)
    .flatMap(([name, child]) => fieldsOf(child, `${path}.${name}`))
    .toSorted();
}

async function social() {
  const namespace = await api.createNamespace();
  return api.client.create(placed(await manifestIn('manifests/samples/social.yaml'), namespace), strict);
}

it.each(await samplePaths())('%s is accepted, and defaulted as parsing does', async path => {
  const namespace = await api.createNamespace();
  for (const manifest of await manifestsIn(path)) {
    const created = await api.client.create(placed(manifest, namespace), strict);
    const parse = parsers[manifest.kind];
    const parsed = parse?.(manifest).spec;
    expect(parse?.(created).spec).toEqual(parsed);
    // The server has filled in every default itself: nothing is left for a client without our parser to guess.
    expect(fieldsOf(created['spec'])).toEqual(fieldsOf(parsed));
  }
});

it('the smallest ShardCluster is accepted', async () => {
  const created = await api.client.create(
    {
      apiVersion,
      kind: 'ShardCluster',
      metadata: { name: 'small', namespace: api.namespace },
      spec: { engine: { type: 'postgresql' }, sharding: { algorithm: 'hash' }, storage: { size: '1Gi' } },
    },
    strict,
  );
  expect(parseShardCluster(created).spec).toMatchObject({
    shards: 1,
    members: 2,
    consistency: 'strong',
    deletionPolicy: 'Retain',
    sharding: { slots: 16_384, keyType: 'bigint' },
    engine: { version: '17', initdb: { dataChecksums: true, encoding: 'UTF8', locale: 'C.UTF-8' } },
  });
});

/** Distinct and ascending. */
function numbers(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => String(1_000_000 + i));
}

describe('the largest that the bounds allow is within the cost that the API server grants', () => {
  const tables = numbers(512).map(name => ({ name: `sales_${name}.orders_of_${name}`, key: 'customer' }));

  it.each([
    ['split points', 4097, { algorithm: 'range', range: { splitPoints: numbers(4096) }, tables }],
    [
      'text as split points',
      4097,
      {
        algorithm: 'range',
        keyType: 'text',
        range: { splitPoints: numbers(4096).map(n => `${n}${'x'.repeat(200)}`) },
        tables,
      },
    ],
    [
      'directory entries',
      100,
      {
        algorithm: 'directory',
        directory: { defaultShard: 0, entries: numbers(4096).map((key, i) => ({ key, shard: i % 100 })) },
        tables,
      },
    ],
    ['regions', 100_000, { algorithm: 'geo', slots: 1_048_576, geo: { column: 'region' }, tables }],
  ])('%s', async (what, shards, sharding) => {
    const created = await api.client.create(
      {
        apiVersion,
        kind: 'ShardCluster',
        metadata: { name: what.replaceAll(' ', '-'), namespace: api.namespace },
        spec: {
          engine: {
            type: 'postgresql',
            parameters: Object.fromEntries(
              numbers(128).map(n => [`my_extension.setting_${n}`, 'x'.repeat(1024)]),
            ),
          },
          sharding,
          shards,
          placement: { regions: numbers(32).map(n => ({ name: `region-${n}` })) },
          storage: { size: '64Ti' },
          shardStates: numbers(Math.min(4096, shards)).map((_, shard) => ({ shard, state: 'readonly' })),
        },
      },
      strict,
    );
    // Rules that compare with the old object count as well.
    const body = { spec: { members: 3 } };
    const key = { name: created.metadata.name, namespace: api.namespace };
    expect((await api.client.patch(ShardClusters, key, { type: 'merge', body }, strict)).spec.members).toBe(
      3,
    );
  });
});

describe('scale subresource', () => {
  it('reads and writes the number of shards', async () => {
    const { metadata } = await social();
    const body = { spec: { replicas: 6 } };
    await api.client.patch(ShardClusters, metadata, { type: 'merge', body }, { subresource: 'scale' });
    expect((await api.client.get(ShardClusters, metadata)).spec.shards).toBe(6);
  });

  it('shows what the status says', async () => {
    const { metadata } = await social();
    const status = { shards: 4, selector: 'shardwright.io/cluster=social' };
    await api.client.patch(
      ShardClusters,
      metadata,
      { type: 'merge', body: { status } },
      { subresource: 'status' },
    );
    const path = `/apis/${apiVersion}/namespaces/${metadata.namespace}/shardclusters/social/scale`;
    expect(JSON.parse(await api.client.raw(path)).status).toEqual({ replicas: 4, selector: status.selector });
  });
});

describe('status subresource', () => {
  it('keeps spec and status apart, and counts generations by spec alone', async () => {
    const { metadata } = await social();
    const body = { spec: { shards: 9 }, status: { phase: 'Ready', map: { epoch: 3, pages: 1 } } };
    const written = await api.client.patch(
      ShardClusters,
      metadata,
      { type: 'merge', body },
      { subresource: 'status' },
    );
    expect(written.spec.shards).toBe(4);
    expect(written.status).toEqual(body.status);
    expect(written.metadata.generation).toBe(1);
    const ignored = { type: 'merge', body: { status: { phase: 'Broken' } } } as const;
    expect((await api.client.patch(ShardClusters, metadata, ignored)).status?.phase).toBe('Ready');
  });

  it('holds conditions by type, each writer its own', async () => {
    const { metadata } = await social();
    const identity = {
      name: metadata.name,
      ...(metadata.namespace !== undefined && { namespace: metadata.namespace }),
    };
    const apply = (type: string) =>
      api.client.applyStatus(
        {
          apiVersion,
          kind: 'ShardCluster',
          metadata: identity,
          status: {
            conditions: [
              {
                type,
                status: 'True',
                reason: 'Test',
                message: '',
                lastTransitionTime: '2026-11-21T10:00:00Z',
              },
            ],
          },
        },
        { fieldManager: `test-${type.toLowerCase()}` },
      );
    await apply('Ready');
    await apply('SchemaApplied');
    const { status } = await api.client.get(ShardClusters, metadata);
    expect(status?.conditions?.map(({ type }) => type).toSorted()).toEqual(['Ready', 'SchemaApplied']);
  });
});

describe('changes that may be made', () => {
  it.each([
    ['more shards', { shards: 8 }],
    ['fewer shards', { shards: 2 }],
    ['more members', { members: 3 }],
    ['one member, eventually consistent', { members: 1, consistency: 'eventual' }],
    ['larger volumes', { storage: { size: '2Gi' } }],
    ['another storage class for shards to come', { storage: { storageClassName: 'fast' } }],
    ['other parameters', { engine: { parameters: { work_mem: '8MB' } } }],
    ['another image', { engine: { image: 'registry.example/postgres:17.7' } }],
    [
      'another table',
      {
        sharding: {
          tables: [
            { name: 'cities', key: 'id' },
            { name: 'visits', key: 'city' },
          ],
        },
      },
    ],
    ['a shard that takes no writes', { shardStates: [{ shard: 3, state: 'readonly' }] }],
    ['another deletion policy', { deletionPolicy: 'Forbid' }],
    ['an issuer of certificates', { tls: { issuerRef: { name: 'company', kind: 'ClusterIssuer' } } }],
  ])('%s', async (_, spec) => {
    const { metadata } = await social();
    const written = await api.client.patch(
      ShardClusters,
      metadata,
      { type: 'merge', body: { spec } },
      strict,
    );
    expect(written.spec).toMatchObject(spec);
  });

  it('a range fleet may grow past its first split points', async () => {
    const namespace = await api.createNamespace();
    const { metadata } = await api.client.create(
      placed(await manifestIn('manifests/samples/algorithms/range.yaml'), namespace),
      strict,
    );
    const body = { spec: { shards: 5 } };
    expect((await api.client.patch(ShardClusters, metadata, { type: 'merge', body })).spec.shards).toBe(5);
  });
});

describe('Shard', () => {
  const secrets = { ca: 'a-ca', internal: 'a-internal', app: 'a-app', tls: 'a-0-tls' };
  const shard = (name: string, partition: unknown) => ({
    apiVersion,
    kind: 'Shard',
    metadata: { name, namespace: api.namespace },
    spec: {
      cluster: { name: 'a' },
      ordinal: Number(name.split('-')[1]),
      members: 2,
      engine: { type: 'postgresql' },
      storage: { size: '1Gi' },
      secrets,
      sharding: { algorithm: 'hash', keyType: 'bigint', slots: 16_384, partition },
    },
  });

  it.each([
    { kind: 'slots', slots: 16_384, ranges: [{ first: 0, last: 4095 }] },
    { kind: 'keys', ranges: [{ to: 'm' }, { from: 'q' }] },
    { kind: 'directory', entries: ['7'], fallback: false },
    {
      kind: 'regions',
      slots: 16_384,
      regions: [{ region: 'eu-west', ranges: [{ first: 0, last: 16_383 }] }],
    },
  ])('holds a partition of $kind', async partition => {
    const ordinal = ['slots', 'keys', 'directory', 'regions'].indexOf(partition.kind);
    const created = await api.client.create(shard(`a-${ordinal}`, partition), strict);
    expect(parseShard(created).spec.sharding.partition).toEqual(partition);
  });

  it('keeps its storage class: volumes cannot change theirs', async () => {
    const own = shard('a-5', { kind: 'keys', ranges: [] });
    const spec = { ...own.spec, storage: { size: '1Gi', storageClassName: 'fast' } };
    const { metadata } = await api.client.create({ ...own, spec }, strict);
    for (const storageClassName of ['slow', null]) {
      const patch = { type: 'merge', body: { spec: { storage: { storageClassName } } } } as const;
      await expect(api.client.patch(Shards, metadata, patch)).rejects.toThrow(
        'move it with a ShardMigration',
      );
    }
  });

  it.each([
    ['b-9', { kind: 'keys', ranges: [] }, 'a Shard is named <cluster>-<ordinal>'],
    ['a-9', { kind: 'directory', entries: [] }, 'directory needs entries and fallback'],
    ['a-9', { kind: 'slots', ranges: [] }, 'slots needs slots and ranges'],
  ])('refuses %s with %j', async (name, partition, says) => {
    await expect(api.client.create(shard(name, partition), strict)).rejects.toThrow(says);
  });
});
