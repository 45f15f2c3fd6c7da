/**
 * Changes to a map. Each is pure, gives a new map with epoch + 1 and shares what did not change with the old one, so that
 * the pages that must be written are found quickly. Whatever changes an owner gives both shards other generations.
 */
import { type NewShard, newMapShard } from './create-map.ts';
import { InvalidChangeError } from './errors.ts';
import { compareKeys, type Key, normalizeKey } from './key.ts';
import {
  type MapShard,
  type MapTable,
  type ShardMap,
  type ShardState,
  type Side,
  shardByName,
} from './map.ts';
import { ownerOrdinals } from './owners.ts';
import type { Partition } from './partition.ts';
import { missingBounds } from './parts.ts';
import { withOwner } from './take-over.ts';

export function withShardState(map: ShardMap, name: string, state: ShardState): ShardMap {
  return patchShards(map, [shardNamed(map, name).ordinal], shard => ({ ...shard, state }));
}

/** New shards own nothing until a migration gives them something. */
export function addShards(map: ShardMap, added: readonly NewShard[]): ShardMap {
  for (const shard of added) {
    const clash = map.shards.find(other => other.name === shard.name || other.ordinal === shard.ordinal);
    if (clash !== undefined)
      throw new InvalidChangeError(`the map has ${clash.name} already`, 'Take the next ordinal.');
  }
  const used = added.find(shard => shard.ordinal < map.nextOrdinal);
  if (used !== undefined) {
    throw new InvalidChangeError(
      `ordinal ${used.ordinal} was given out before`,
      `Take ordinals from ${map.nextOrdinal} on.`,
    );
  }
  const shards = [...map.shards, ...added.map(newMapShard)].toSorted((a, b) => a.ordinal - b.ordinal);
  const nextOrdinal = Math.max(map.nextOrdinal, ...added.map(shard => shard.ordinal + 1));
  return { ...map, epoch: map.epoch + 1, nextOrdinal, shards };
}

/** Only a shard that owns nothing, for writers and readers, can leave. */
export function removeShard(map: ShardMap, name: string): ShardMap {
  const { ordinal } = shardNamed(map, name);
  if (ownerOrdinals(map, 'write').has(ordinal) || ownerOrdinals(map, 'read').has(ordinal)) {
    throw new InvalidChangeError(`${name} still owns keys`, 'Move or merge them to another shard first.');
  }
  return { ...map, epoch: map.epoch + 1, shards: map.shards.filter(shard => shard.ordinal !== ordinal) };
}

export function withTables(map: ShardMap, tables: readonly MapTable[]): ShardMap {
  return { ...map, epoch: map.epoch + 1, tables };
}

/** Makes every client of the shard fetch the map anew, without moving anything. */
export function bumpGeneration(map: ShardMap, name: string, side: Side): ShardMap {
  return patchShards(map, [shardNamed(map, name).ordinal], shard => raise(shard, side));
}

/** Range maps: gives a key a range of its own to start, with the owners it has. Moving needs ranges that end where it ends. */
export function splitRange(map: ShardMap, at: Key): ShardMap {
  const { ownership } = map;
  if (ownership.algorithm !== 'range')
    throw new InvalidChangeError('this is no range map', 'Split ranges of range maps.');
  const from = normalizeKey(at, map.keyType);
  const index = ownership.ranges.findLastIndex(
    range => range.from === undefined || compareKeys(range.from, from, map.keyType) <= 0,
  );
  const range = ownership.ranges[index];
  if (range === undefined || range.from === from) return map;
  const ranges = ownership.ranges.toSpliced(index + 1, 0, { ...range, from });
  return { ...map, epoch: map.epoch + 1, ownership: { algorithm: 'range', ranges } };
}

/** Range maps: the same wherever one of the partitions begins or ends; the same map when its ranges do so already. */
export function splitRangesFor(map: ShardMap, partitions: readonly Partition[]): ShardMap {
  return missingBounds(map, partitions).reduce(splitRange, map);
}

/** Generations of one side of the two shards, as they are to be. */
export interface MoveGenerations {
  readonly from: number;
  readonly to: number;
}

export interface Move {
  readonly partition: Partition;
  /** Shards by name. */
  readonly from: string;
  readonly to: string;
  readonly side: Side;
  readonly generations: MoveGenerations;
}

/**
 * Makes `to` the owner of a partition, for writers or for readers. What `to` owns already stays its own and the generations
 * are set, not raised, so doing it twice is doing it once. Refuses what a third shard owns - a plan made for an older map then
 * fails instead of taking keys from somebody else - and generations that would go back.
 */
export function settleMove(map: ShardMap, { partition, from, to, side, generations }: Move): ShardMap {
  const [source, target] = [shardNamed(map, from), shardNamed(map, to)];
  if (source === target) throw new InvalidChangeError(`${from} cannot move to itself`, 'Name two shards.');
  const ownership = withOwner(map, partition, { source, target, side });
  const settled = settle(settle(map, source, side, generations.from), target, side, generations.to);
  return { ...settled, epoch: map.epoch + 1, ownership };
}

function settle(map: ShardMap, { name, ordinal }: MapShard, side: Side, generation: number): ShardMap {
  const field = side === 'write' ? 'generation' : 'readerGeneration';
  return patchShards(map, [ordinal], shard => {
    if (generation >= shard[field]) return { ...shard, [field]: generation };
    throw new InvalidChangeError(
      `${name} is at generation ${shard[field]} for ${side}rs already, past ${generation}`,
      'Read the map again and plan anew.',
    );
  });
}

function shardNamed(map: ShardMap, name: string): MapShard {
  const shard = shardByName(map, name);
  if (shard === undefined)
    throw new InvalidChangeError(`the map has no shard ${name}`, 'Name a shard of the map.');
  return shard;
}

function raise(shard: MapShard, side: Side): MapShard {
  return side === 'write'
    ? { ...shard, generation: shard.generation + 1 }
    : { ...shard, readerGeneration: shard.readerGeneration + 1 };
}

function patchShards(
  map: ShardMap,
  ordinals: readonly number[],
  patch: (shard: MapShard) => MapShard,
): ShardMap {
  const shards = map.shards.map(shard => (ordinals.includes(shard.ordinal) ? patch(shard) : shard));
  return { ...map, epoch: map.epoch + 1, shards };
}
