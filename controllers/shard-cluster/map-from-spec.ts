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
import type { MapShard, MapTable, ShardMap, ShardState } from '#sharding/map.ts';
import { placeShards } from '#sharding/placement.ts';
import { withoutShards } from './retire.ts';

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
 * The map as the spec wants it, less the shards that go: the same object when there is nothing to change. Comes to the same
 * from a map that has a part of the change already.
 */
export function nextMap(map: ShardMap, cluster: ShardCluster, retire: readonly string[]): ShardMap {
  const missing = cluster.spec.shards - map.shards.length;
  const grown = missing > 0 ? addShards(map, newShards(cluster, map.nextOrdinal, map.shards)) : map;
  const stated = withWantedStates(withoutShards(grown, retire), cluster);
  const tables = wantedTables(cluster);
  const next = JSON.stringify(map.tables) === JSON.stringify(tables) ? stated : withTables(stated, tables);
  return next === map ? map : { ...next, epoch: map.epoch + 1 };
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

/** What is missing to spec.shards, with ordinals from `first` on. */
function newShards(cluster: ShardCluster, first: number, present: readonly MapShard[]): readonly NewShard[] {
  const { spec, metadata } = cluster;
  const count = spec.shards;
  const spread = spec.placement.spread === 'region' || spec.placement.regions.length === 0;
  const placed = present.map(shard => shard.region ?? '');
  const homes = spread ? [] : placeShards({ shards: count, regions: spec.placement.regions, placed });
  return Array.from({ length: count - present.length }, (_, i) => {
    const ordinal = first + i;
    const region = homes[present.length + i];
    return { name: clusterChildren.shard(metadata.name, ordinal), ordinal, ...(region ? { region } : {}) };
  });
}

export function wantedTables(cluster: ShardCluster): readonly MapTable[] {
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
