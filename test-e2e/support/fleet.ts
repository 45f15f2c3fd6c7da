/** Manifests of fleets that are small enough for two cores, whatever the test is about. */
import { apiVersion } from '#crds/api/names.ts';
import type { ShardClusterSpec } from '#crds/api/shard-cluster.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { DeepPartial } from './deep-partial.ts';

export interface FleetOptions extends DeepPartial<ShardClusterSpec> {
  readonly name?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface FleetManifest extends KubeObject {
  spec: DeepPartial<ShardClusterSpec>;
}

/** One shard of two members, hash-sharded `users(id)`, strong, deleted with its volumes; anything given wins. */
export function fleet({ name = 'fleet', annotations, ...spec }: FleetOptions = {}): FleetManifest {
  return {
    apiVersion,
    kind: 'ShardCluster',
    metadata: { name, ...(annotations ? { annotations: { ...annotations } } : {}) },
    spec: {
      shards: 1,
      members: 2,
      deletionPolicy: 'Delete',
      ...spec,
      engine: { type: 'postgresql', database: 'app', parameters: { shared_buffers: '32MB' }, ...spec.engine },
      sharding: {
        algorithm: 'hash',
        tables: [{ name: 'users', key: 'id' }],
        ...spec.sharding,
      },
      storage: { size: '256Mi', ...spec.storage },
      resources: { requests: { cpu: '25m', memory: '96Mi' }, ...spec.resources },
      pooler: { poolSize: 5, resources: { requests: { cpu: '5m', memory: '16Mi' } }, ...spec.pooler },
    },
  };
}

/** A ConfigMap of schema files. */
export function schema(name: string, files: Readonly<Record<string, string>>): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: files };
}

/** What most fleets of the tests have: a sharded table, a reference table, and one that the probe writes to. */
export const usualSchema = schema('schema', {
  '01-tables.sql': `
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);
    CREATE TABLE probe_writes (id bigint, run text, PRIMARY KEY (id, run));
  `,
});

export const usualTables = [
  { name: 'users', key: 'id' },
  { name: 'probe_writes', key: 'id' },
  { name: 'countries', reference: true },
];

/** For {@link fleet}: the usual tables, and the schema that makes them (apply it first). */
export const usual = {
  schema: { configMaps: [{ name: 'schema' }] },
  sharding: { algorithm: 'hash', tables: usualTables },
} as const satisfies FleetOptions;

/** One member and no synchronous copy: for tests that are about rows, not about members. */
export const single = { members: 1, consistency: 'eventual' } as const satisfies FleetOptions;
