/** Shards that are made again from their backups are in maintenance until that is done, whatever the spec says: clients are told so by the map. Pure. */
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';

/** The fleet as it is to be meanwhile; the same object when there is none. */
export function withoutRebuilt(cluster: ShardCluster, shards: readonly Shard[]): ShardCluster {
  const closed = shards
    .filter(({ status }) => status?.rebuild?.state === 'Running' || status?.rebuild?.state === 'Failed')
    .map(({ spec }) => spec.ordinal);
  if (closed.length === 0) return cluster;
  const { shardStates } = cluster.spec;
  return {
    ...cluster,
    spec: {
      ...cluster.spec,
      shardStates: [
        ...shardStates.filter(({ shard }) => !closed.includes(shard)),
        ...closed.map(shard => ({ shard, state: 'maintenance' as const })),
      ],
    },
  };
}
