/** Objects for unit tests: whole and valid, with what a test cares about put over them. */
import { apiVersion } from '#crds/api/names.ts';
import { parseShard, type Shard } from '#crds/api/shard.ts';
import { parseShardCluster, type ShardCluster } from '#crds/api/shard-cluster.ts';
import type { MemberFacts } from '#engines/engine.ts';

export function clusterWith(spec: object = {}, metadata: object = {}, status: object = {}): ShardCluster {
  return parseShardCluster({
    apiVersion,
    kind: 'ShardCluster',
    metadata: { name: 'social', namespace: 'default', uid: 'uid-social', generation: 1, ...metadata },
    spec: {
      engine: { type: 'postgresql', version: '17', database: 'social' },
      sharding: { algorithm: 'hash', slots: 1024, tables: [{ name: 'users', key: 'id' }] },
      shards: 4,
      members: 2,
      storage: { size: '1Gi' },
      ...spec,
    },
    status,
  });
}

export function shardWith(spec: object = {}, metadata: object = {}, status: object = {}): Shard {
  return parseShard({
    apiVersion,
    kind: 'Shard',
    metadata: { name: 'social-0', namespace: 'default', uid: 'uid-social-0', generation: 1, ...metadata },
    spec: {
      cluster: { name: 'social' },
      ordinal: 0,
      members: 2,
      engine: { type: 'postgresql', version: '17', database: 'social' },
      storage: { size: '1Gi' },
      secrets: {
        ca: 'social-ca',
        internal: 'social-internal',
        app: 'social-app',
        tls: 'social-0-tls',
        version: 'v1',
      },
      sharding: {
        algorithm: 'hash',
        keyType: 'bigint',
        slots: 1024,
        partition: { kind: 'slots', slots: 1024, ranges: [{ first: 0, last: 255 }] },
      },
      ...spec,
    },
    status,
  });
}

export function condition(type: string, status: 'True' | 'False', rest: object = {}): object {
  return { type, status, reason: 'Test', message: '', lastTransitionTime: '2026-01-01T00:00:00Z', ...rest };
}

/** Says of itself that it is Ready, at its newest spec. */
export const settled = {
  observedGeneration: 1,
  conditions: [condition('Ready', 'True'), condition('Reconciling', 'False')],
};

export function member(name: string, over: Partial<MemberFacts> = {}): MemberFacts {
  return {
    name,
    role: 'replica',
    ready: true,
    synchronous: false,
    outdated: false,
    pendingRestart: false,
    podIP: '10.0.0.1',
    ...over,
  };
}
