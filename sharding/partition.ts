/**
 * What a shard owns, as one tagged type for all four algorithms: in the map, in migrations and in the row that the
 * database keeps about itself. It is plain JSON. Two partitions of one kind can be tested for a key with
 * {@link partitionContains}.
 */
import { assertNever } from './assert-never.ts';
import { compareKeys, type Key, type KeyType, normalizeKey } from './key.ts';
import { slotOf } from './slot.ts';

/** Slots `first` to `last`, both included. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
}

/** Keys from `from` (included; without it, from the lowest) to `to` (excluded; without it, to the highest). */
export interface KeyRange {
  readonly from?: string;
  readonly to?: string;
}

/** Slots of one region: a geo map divides all slots anew among each region's shards. */
export interface RegionSlots {
  readonly region: string;
  readonly ranges: readonly SlotRange[];
}

export type Partition =
  | { readonly kind: 'slots'; readonly slots: number; readonly ranges: readonly SlotRange[] }
  | { readonly kind: 'keys'; readonly ranges: readonly KeyRange[] }
  | {
      readonly kind: 'directory';
      readonly entries: readonly string[];
      /** Owns every key that no shard has an entry for. */
      readonly fallback: boolean;
    }
  | { readonly kind: 'regions'; readonly slots: number; readonly regions: readonly RegionSlots[] };

/**
 * True when the partition names the key. A directory's fallback answers for entries only: which keys have none is
 * known to the whole map alone.
 */
export function partitionContains(
  partition: Partition,
  keyType: KeyType,
  key: Key,
  region?: string,
): boolean {
  switch (partition.kind) {
    case 'slots':
      return inRanges(partition.ranges, slotOf(key, keyType, partition.slots));
    case 'keys': {
      const text = normalizeKey(key, keyType);
      return partition.ranges.some(
        range =>
          (range.from === undefined || compareKeys(text, range.from, keyType) >= 0) &&
          (range.to === undefined || compareKeys(text, range.to, keyType) < 0),
      );
    }
    case 'directory':
      return partition.entries.includes(normalizeKey(key, keyType));
    case 'regions': {
      const own = partition.regions.find(entry => entry.region === region);
      return own !== undefined && inRanges(own.ranges, slotOf(key, keyType, partition.slots));
    }
    default:
      return assertNever(partition);
  }
}

function inRanges(ranges: readonly SlotRange[], slot: number): boolean {
  return ranges.some(range => slot >= range.first && slot <= range.last);
}
