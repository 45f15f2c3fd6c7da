/** What every shard of a map owns, in one pass over the map: asking shard by shard would be quadratic in a large fleet. */
import { assertNever } from '#kernel/assert-never.ts';
import type { Algorithm, ShardMap } from '#sharding/map.ts';
import { partitionOf } from '#sharding/owners.ts';
import type { Partition, SlotRange } from '#sharding/partition.ts';

const known = new WeakMap<ShardMap, ReadonlyMap<number, Partition>>();

/** By ordinal; a shard that owns nothing is missing. Computed once per map. */
export function partitionsOf(map: ShardMap): ReadonlyMap<number, Partition> {
  const old = known.get(map);
  if (old) return old;
  const partitions = compute(map);
  known.set(map, partitions);
  return partitions;
}

export function emptyPartition({ ownership, slots }: ShardMap): Partition {
  return nothingOf(ownership.algorithm, slots);
}

export function nothingOf(algorithm: Algorithm, slots: number): Partition {
  switch (algorithm) {
    case 'hash':
      return { kind: 'slots', slots, ranges: [] };
    case 'geo':
      return { kind: 'regions', slots, regions: [] };
    case 'range':
      return { kind: 'keys', ranges: [] };
    case 'directory':
      return { kind: 'directory', entries: [], fallback: false };
    default:
      return assertNever(algorithm);
  }
}

export function slotsIn(partition: Partition): number {
  switch (partition.kind) {
    case 'slots':
      return countSlots(partition.ranges);
    case 'regions':
      return partition.regions.reduce((sum, region) => sum + countSlots(region.ranges), 0);
    case 'keys':
    case 'directory':
      return 0;
    default:
      return assertNever(partition);
  }
}

function compute(map: ShardMap): ReadonlyMap<number, Partition> {
  const { ownership, slots } = map;
  switch (ownership.algorithm) {
    case 'hash':
      return new Map(
        rangesByOwner(ownership.owners.write)
          .entries()
          .map(([ordinal, ranges]) => [ordinal, { kind: 'slots', slots, ranges }]),
      );
    case 'geo': {
      const all = new Map<number, { region: string; ranges: readonly SlotRange[] }[]>();
      for (const [region, owners] of ownership.regions) {
        for (const [ordinal, ranges] of rangesByOwner(owners.write)) {
          const own = all.get(ordinal) ?? [];
          own.push({ region, ranges });
          all.set(ordinal, own);
        }
      }
      return new Map(
        all.entries().map(([ordinal, regions]) => [ordinal, { kind: 'regions', slots, regions }]),
      );
    }
    case 'range': {
      const owners = new Set(ownership.ranges.map(range => range.write));
      return new Map(owners.values().map(ordinal => [ordinal, partitionOf(map, ordinal)]));
    }
    case 'directory': {
      const entries = new Map<number, string[]>([[ownership.fallback.write, []]]);
      for (const [key, { write }] of ownership.entries) {
        const own = entries.get(write) ?? [];
        own.push(key);
        entries.set(write, own);
      }
      return new Map(
        entries
          .entries()
          .map(([ordinal, keys]) => [
            ordinal,
            { kind: 'directory', entries: keys, fallback: ordinal === ownership.fallback.write },
          ]),
      );
    }
    default:
      return assertNever(ownership);
  }
}

function rangesByOwner(owners: Uint32Array): Map<number, SlotRange[]> {
  const all = new Map<number, SlotRange[]>();
  let first = 0;
  for (let slot = 1; slot <= owners.length; slot++) {
    const owner = owners[first] ?? 0;
    if (slot < owners.length && owners[slot] === owner) continue;
    const ranges = all.get(owner) ?? [];
    ranges.push({ first, last: slot - 1 });
    all.set(owner, ranges);
    first = slot;
  }
  return all;
}

function countSlots(ranges: readonly SlotRange[]): number {
  return ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}
