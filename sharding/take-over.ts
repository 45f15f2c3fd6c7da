/** Gives a partition another owner, for each of the four algorithms. Only the one side changes; nothing else moves. */
import { assertNever } from './assert-never.ts';
import { InvalidChangeError } from './errors.ts';
import { normalizeKey } from './key.ts';
import type { MapShard, OwnedRange, Owners, Ownership, ShardMap, Side, SlotOwners } from './map.ts';
import type { KeyRange, Partition, SlotRange } from './partition.ts';

export interface TakeOver {
  readonly source: MapShard;
  readonly target: MapShard;
  readonly side: Side;
}

/** The map's ownership with the target as owner of the partition, all of which one of the two owns. Throws InvalidChangeError. */
export function withOwner(map: ShardMap, partition: Partition, takeOver: TakeOver): Ownership {
  const { ownership } = map;
  const { source, target } = takeOver;
  switch (partition.kind) {
    case 'slots': {
      if (ownership.algorithm !== 'hash') break;
      return {
        algorithm: 'hash',
        owners: takeSlots(ownership.owners, partition.ranges, takeOver),
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
        regions.set(region, takeSlots(owners, ranges, takeOver));
      }
      return { algorithm: 'geo', regions };
    }
    case 'keys': {
      if (ownership.algorithm !== 'range') break;
      const ranges = partition.ranges.reduce<readonly OwnedRange[]>(
        (all, range) => takeKeys(all, range, takeOver),
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
        entries.set(normalizeKey(key, map.keyType), take(owners, `entry ${key}`, takeOver));
      }
      const fallback = partition.fallback
        ? take(ownership.fallback, 'the default', takeOver)
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

function takeSlots(
  owners: SlotOwners,
  ranges: readonly SlotRange[],
  { source, target, side }: TakeOver,
): SlotOwners {
  const array = owners[side].slice();
  for (const { first, last } of ranges) {
    if (!(first >= 0 && first <= last && last < array.length)) {
      throw new InvalidChangeError(`slots ${first}-${last} of ${array.length}`, 'Name slots that there are.');
    }
    for (let slot = first; slot <= last; slot++) {
      if (array[slot] !== source.ordinal && array[slot] !== target.ordinal)
        throw notOwned(source, `slot ${slot}`);
    }
    array.fill(target.ordinal, first, last + 1);
  }
  return { ...owners, [side]: array };
}

function takeKeys(
  all: readonly OwnedRange[],
  { from, to }: KeyRange,
  takeOver: TakeOver,
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
          ...take(range, `the range from ${range.from ?? 'the lowest key'}`, takeOver),
        },
  );
}

function take(owners: Owners, what: string, { source, target, side }: TakeOver): Owners {
  if (owners[side] !== source.ordinal && owners[side] !== target.ordinal) throw notOwned(source, what);
  const { write, read } = owners;
  return { write, read, [side]: target.ordinal };
}

function notOwned(shard: MapShard, what: string): InvalidChangeError {
  return new InvalidChangeError(`${shard.name} does not own ${what}`, 'Read the map again and plan anew.');
}
