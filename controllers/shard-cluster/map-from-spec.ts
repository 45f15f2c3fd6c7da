/**
 * What a spec asks of the shard map: its first content, and the changes that a spec may still make to it - shards that are
 * added (owning nothing), states, tables. Who owns what is never derived from a spec again. Pure.
 */

import { clusterChildren } from '#crds/api/names.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { defaultAssignment } from '#crds/api/sharding-spec.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { addShards, withShardState, withTables } from '#sharding/change.ts';
import { createMap, type Layout, type NewShard } from '#sharding/create-map.ts';
import type { MapTable, ShardMap, ShardState } from '#sharding/map.ts';
import { placeShards } from '#sharding/placement.ts';

/** Throws ShardingError when the spec contradicts itself in a way that the CRD's rules cannot see. */
export function firstMap(cluster: ShardCluster): ShardMap {
  const { sharding } = cluster.spec;
  const map = createMap({
    namespace: cluster.metadata.namespace ?? '',
    cluster: cluster.metadata.name,
    keyType: sharding.keyType,
    slots: sharding.slots,
    tables: wantedTables(cluster),
    shards: newShards(cluster, 0, []),
    layout: layoutOf(cluster),
  });
  // States are part of the first map: its epoch stays 1.
  return { ...withWantedStates(map, cluster), epoch: 1 };
}

/**
 * The next step from `map` towards what the spec wants: the same object when there is nothing to change. One kind of change at
 * a time, as each lives in pages of its own: whoever reads between two page writes never sees half of an epoch.
 */
export function nextMap(map: ShardMap, cluster: ShardCluster): ShardMap {
  const count = nextOrdinal(map);
  if (cluster.spec.shards > count) {
    const placed = map.shards.map(shard => shard.region ?? '');
    return addShards(map, newShards(cluster, count, placed));
  }
  const stated = withWantedStates(map, cluster);
  if (stated !== map) return { ...stated, epoch: map.epoch + 1 };
  const tables = wantedTables(cluster);
  return JSON.stringify(map.tables) === JSON.stringify(tables) ? map : withTables(map, tables);
}

/** Ordinal that the next shard gets. */
export function nextOrdinal(map: ShardMap): number {
  return (map.shards.at(-1)?.ordinal ?? -1) + 1;
}

function withWantedStates(map: ShardMap, cluster: ShardCluster): ShardMap {
  const wanted = new Map<number, ShardState>(
    cluster.spec.shardStates.map(({ shard, state }) => [shard, state]),
  );
  return map.shards
    .filter(shard => shard.state !== (wanted.get(shard.ordinal) ?? 'active'))
    .reduce(
      (changed, shard) => withShardState(changed, shard.name, wanted.get(shard.ordinal) ?? 'active'),
      map,
    );
}

function newShards(cluster: ShardCluster, from: number, placed: readonly string[]): readonly NewShard[] {
  const { spec, metadata } = cluster;
  const count = spec.shards;
  const spread = spec.placement.spread === 'region' || spec.placement.regions.length === 0;
  const homes = spread ? [] : placeShards({ shards: count, regions: spec.placement.regions, placed });
  return Array.from({ length: count - from }, (_, i) => {
    const ordinal = from + i;
    const region = homes[ordinal];
    return { name: clusterChildren.shard(metadata.name, ordinal), ordinal, ...(region ? { region } : {}) };
  });
}

function wantedTables(cluster: ShardCluster): readonly MapTable[] {
  const { tables, geo } = cluster.spec.sharding;
  return tables.map(({ name, key, reference }) => ({
    name,
    ...(key === undefined ? {} : { key }),
    ...(geo && !reference ? { region: geo.column } : {}),
    ...(reference ? { reference } : {}),
  }));
}

function layoutOf(cluster: ShardCluster): Layout {
  const { sharding } = cluster.spec;
  switch (sharding.algorithm) {
    case 'hash':
    case 'geo':
      return { algorithm: sharding.algorithm, assignment: sharding.assignment ?? defaultAssignment };
    case 'range':
      return { algorithm: 'range', splitPoints: sharding.range?.splitPoints ?? [] };
    case 'directory':
      return {
        algorithm: 'directory',
        defaultShard: sharding.directory?.defaultShard ?? 0,
        entries: sharding.directory?.entries ?? [],
      };
    default:
      return assertNever(sharding.algorithm);
  }
}
