/** Fleets as the operator leaves them, for commands to look at. */

import { newPages } from '#controllers/shard-map/config-maps.ts';
import { clusterLabels, shardLabels } from '#crds/api/names.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { ShardMap } from '#sharding/map.ts';
import { partitionOf, slotCounts } from '#sharding/owners.ts';

export function clusterOf(map: ShardMap, over: Partial<KubeObject> = {}): KubeObject {
  const { namespace, cluster: name, ownership, shards, keyType, slots } = map;
  return {
    apiVersion: 'shardwright.io/v1alpha1',
    kind: 'ShardCluster',
    metadata: { name, namespace, creationTimestamp: '2026-01-01T21:00:00Z' },
    spec: {
      engine: { type: 'postgresql', version: '17', database: 'app' },
      sharding: { algorithm: ownership.algorithm, keyType, slots },
      shards: shards.length,
      storage: { size: '1Gi' },
    },
    status: {
      phase: 'Ready',
      shards: shards.length,
      readyShards: shards.length,
      map: { epoch: map.epoch, pages: 1 },
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'AllShardsReady',
          message: 'all shards are ready',
          lastTransitionTime: '2026-01-01T22:00:00Z',
        },
      ],
    },
    ...over,
  };
}

export function shardsOf(map: ShardMap): readonly KubeObject[] {
  const { namespace, cluster } = map;
  return map.shards.map(({ name, ordinal, region, generation, readerGeneration, state }) => ({
    apiVersion: 'shardwright.io/v1alpha1',
    kind: 'Shard',
    metadata: { name, namespace, labels: shardLabels(cluster, name) },
    spec: {
      cluster: { name: cluster },
      ordinal,
      ...(region === undefined ? {} : { region }),
      generation,
      readerGeneration,
      state,
      members: 2,
      engine: { type: 'postgresql', version: '17', database: 'app' },
      storage: { size: '1Gi' },
      secrets: { ca: 'ca', internal: 'internal', app: 'app', tls: 'tls' },
      sharding: {
        algorithm: map.ownership.algorithm,
        keyType: map.keyType,
        slots: map.slots,
        partition: partitionOf(map, ordinal),
        slotCount: slotCounts(map).get(ordinal) ?? 0,
      },
    },
    status: { phase: 'Ready', primary: `${name}-0`, readyMembers: 2, lagBytes: 1536, sizeBytes: 8_000_000 },
  }));
}

export function pagesOf(map: ShardMap): readonly KubeObject[] {
  const owner = { apiVersion: 'shardwright.io/v1alpha1', kind: 'ShardCluster', name: map.cluster, uid: 'u' };
  return newPages(map, owner);
}

export function primaryOf(map: ShardMap, shard: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${shard}-1`,
      namespace: map.namespace,
      labels: {
        ...clusterLabels(map.cluster),
        ...shardLabels(map.cluster, shard),
        'shardwright.io/role': 'primary',
      },
    },
  };
}
