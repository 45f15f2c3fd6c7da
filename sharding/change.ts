/**
 * Changes to a map. Each is pure, gives a new map with epoch + 1 and shares what did not change with the old one, so that
 * the pages that must be written are found quickly. Whatever changes an owner raises the generation of both shards.
 */
import { assertNever } from './assert-never.ts';
import { type NewShard, newMapShard } from './create-map.ts';
import { InvalidChangeError } from './errors.ts';
import { compareKeys, type Key, normalizeKey } from './key.ts';
import {
  type MapShard,
  type MapTable,
  type OwnedRange,
  type Owners,
  type Ownership,
  type ShardMap,
  type ShardState,
  type Side,
  type SlotOwners,
  shardByName,
} from './map.ts';
import { ownerOrdinals } from './owners.ts';
import type { KeyRange, Partition, SlotRange } from './partition.ts';

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
  const shards = [...map.shards, ...added.map(newMapShard)].toSorted((a, b) => a.ordinal - b.ordinal);
  return { ...map, epoch: map.epoch + 1, shards };
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

export interface Move {
  readonly partition: Partition;
  /** Shards by name. */
  readonly from: string;
  readonly to: string;
  readonly side: Side;
}

/**
 * Moves a partition from its owner to another shard, for writers or for readers. Refuses to move what `from` does not own
 * entirely: a plan made for an older map then fails instead of taking keys from somebody else.
 */
export function movePartition(map: ShardMap, { partition, from, to, side }: Move): ShardMap {
  const source = shardNamed(map, from);
  const target = shardNamed(map, to);
  if (source === target) throw new InvalidChangeError(`${from} cannot move to itself`, 'Name two shards.');
  const ownership = moved(map, partition, source, target, side);
  return { ...patchShards(map, [source.ordinal, target.ordinal], shard => raise(shard, side)), ownership };
}

/** {@link movePartition} for the slots of a hash map. */
export function moveSlots(
  map: ShardMap,
  move: Omit<Move, 'partition'> & { readonly ranges: readonly SlotRange[] },
): ShardMap {
  const { ranges, ...rest } = move;
  return movePartition(map, { ...rest, partition: { kind: 'slots', slots: map.slots, ranges } });
}

function moved(
  map: ShardMap,
  partition: Partition,
  source: MapShard,
  target: MapShard,
  side: Side,
): Ownership {
  const { ownership } = map;
  switch (partition.kind) {
    case 'slots': {
      if (ownership.algorithm !== 'hash') break;
      return {
        algorithm: 'hash',
        owners: moveRanges(ownership.owners, partition.ranges, source, target, side),
      };
    }
    case 'regions': {
      if (ownership.algorithm !== 'geo') break;
      if (source.region !== target.region) {
        throw new InvalidChangeError(
          `${source.name} and ${target.name} are in different regions`,
          'Rows of a geo map never leave their region.',
        );
      }
      const regions = new Map(ownership.regions);
      for (const { region, ranges } of partition.regions) {
        const owners = regions.get(region);
        if (owners === undefined) throw notOwned(source, `region ${region}`);
        regions.set(region, moveRanges(owners, ranges, source, target, side));
      }
      return { algorithm: 'geo', regions };
    }
    case 'keys': {
      if (ownership.algorithm !== 'range') break;
      const ranges = partition.ranges.reduce<readonly OwnedRange[]>(
        (all, range) => moveKeys(all, range, source, target, side),
        ownership.ranges,
      );
      return { algorithm: 'range', ranges };
    }
    case 'directory': {
      if (ownership.algorithm !== 'directory') break;
      const entries = new Map(ownership.entries);
      for (const key of partition.entries) {
        // A key without an entry belongs to the default shard; moving it makes its entry.
        const owners = entries.get(key) ?? ownership.fallback;
        entries.set(normalizeKey(key, map.keyType), takeOver(owners, `entry ${key}`, source, target, side));
      }
      const fallback = partition.fallback
        ? takeOver(ownership.fallback, 'the default', source, target, side)
        : ownership.fallback;
      return { algorithm: 'directory', fallback, entries };
    }
    default:
      return assertNever(partition);
  }
  throw new InvalidChangeError(
    `a ${ownership.algorithm} map has no ${partition.kind} to move`,
    'Plan for this map.',
  );
}

function moveRanges(
  owners: SlotOwners,
  ranges: readonly SlotRange[],
  source: MapShard,
  target: MapShard,
  side: Side,
): SlotOwners {
  const array = owners[side].slice();
  for (const { first, last } of ranges) {
    if (!(first >= 0 && first <= last && last < array.length)) {
      throw new InvalidChangeError(`slots ${first}-${last} of ${array.length}`, 'Name slots that there are.');
    }
    for (let slot = first; slot <= last; slot++) {
      if (array[slot] !== source.ordinal) throw notOwned(source, `slot ${slot}`);
    }
    array.fill(target.ordinal, first, last + 1);
  }
  return { ...owners, [side]: array };
}

function moveKeys(
  all: readonly OwnedRange[],
  { from, to }: KeyRange,
  source: MapShard,
  target: MapShard,
  side: Side,
): readonly OwnedRange[] {
  const bound = (key: string | undefined): number => {
    const index = all.findIndex(range => range.from === key);
    if (index >= 0) return index;
    throw new InvalidChangeError(`no range starts at ${key}`, 'Split the range there first.');
  };
  const [first, end] = [bound(from), to === undefined ? all.length : bound(to)];
  if (first >= end) throw new InvalidChangeError('a range that ends before it starts', 'Swap its ends.');
  return all.map((range, i) =>
    i < first || i >= end
      ? range
      : {
          ...range,
          ...takeOver(range, `the range from ${range.from ?? 'the lowest key'}`, source, target, side),
        },
  );
}

function takeOver(owners: Owners, what: string, source: MapShard, target: MapShard, side: Side): Owners {
  if (owners[side] !== source.ordinal) throw notOwned(source, what);
  const { write, read } = owners;
  return { write, read, [side]: target.ordinal };
}

function notOwned(shard: MapShard, what: string): InvalidChangeError {
  return new InvalidChangeError(`${shard.name} does not own ${what}`, 'Read the map again and plan anew.');
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
