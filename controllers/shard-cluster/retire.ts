/**
 * Which shards go when a fleet is to have fewer. Only one that owns nothing can: its rows are elsewhere, and its database knows
 * that too. It first leaves the map, then its Shard is deleted; what becomes of its volumes is the deletionPolicy's matter.
 * Shard 0 never goes: it is the home of reference tables. Pure.
 */
import type { Shard } from '#crds/api/shard.ts';
import { removeShard } from '#sharding/change.ts';
import type { MapShard, ShardMap } from '#sharding/map.ts';
import { ownerOrdinals } from '#sharding/owners.ts';
import { isEmptyPartition } from '#sharding/parts.ts';

export interface RetireInput {
  readonly map: ShardMap;
  readonly wantedShards: number;
  readonly shards: readonly Shard[];
  /** Shards by name that a migration counts on. */
  readonly inUse: ReadonlySet<string>;
}

/** Shards beyond those that are wanted. */
export function surplus(map: ShardMap, wantedShards: number): number {
  return Math.max(0, map.shards.length - wantedShards);
}

/** As many as are too many, if so many are empty: first those that migrations have emptied, then the newest. */
export function retiring({ map, wantedShards, shards, inUse }: RetireInput): readonly string[] {
  const count = surplus(map, wantedShards);
  if (count === 0) return [];
  const [writers, readers] = [ownerOrdinals(map, 'write'), ownerOrdinals(map, 'read')];
  const told = new Map(shards.map(shard => [shard.metadata.name, shard]));
  return map.shards
    .filter(({ name, ordinal }) => {
      const shard = told.get(name);
      return (
        ordinal !== 0 &&
        !writers.has(ordinal) &&
        !readers.has(ordinal) &&
        !inUse.has(name) &&
        (shard === undefined || isEmptyPartition(shard.spec.sharding.partition))
      );
    })
    .toSorted((a, b) => Number(wasEmptied(b)) - Number(wasEmptied(a)) || b.ordinal - a.ordinal)
    .slice(0, count)
    .map(({ name }) => name);
}

/** The map without them; those that are gone already are no matter. */
export function withoutShards(map: ShardMap, names: readonly string[]): ShardMap {
  return map.shards
    .filter(({ name }) => names.includes(name))
    .reduce((rest, { name }) => removeShard(rest, name), map);
}

/**
 * Shards that have left the map. One whose ordinal the map never gave out is unknown to it instead - an old map was restored -
 * and one that was told to own something has rows: neither is ever deleted.
 */
export function retired({ map, shards, inUse }: Omit<RetireInput, 'wantedShards'>): readonly Shard[] {
  const known = new Set(map.shards.map(({ name }) => name));
  return shards.filter(
    ({ metadata, spec }) =>
      !known.has(metadata.name) &&
      metadata.deletionTimestamp === undefined &&
      spec.ordinal < map.nextOrdinal &&
      !inUse.has(metadata.name) &&
      isEmptyPartition(spec.sharding.partition),
  );
}

function wasEmptied({ generation, readerGeneration }: MapShard): boolean {
  return generation > 1 || readerGeneration > 1;
}
