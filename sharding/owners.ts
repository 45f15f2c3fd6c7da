/** Reading a map's ownership: who owns anything, and what one shard owns. */
import { assertNever } from './assert-never.ts';
import { compareKeys, type KeyType } from './key.ts';
import type { Owners, ShardMap, Side, SlotOwners } from './map.ts';
import type { KeyRange, Partition, SlotRange } from './partition.ts';

/** Ordinals that own something on a side. */
export function ownerOrdinals(map: ShardMap, side: Side): ReadonlySet<number> {
  const { ownership } = map;
  const ordinals = new Set<number>();
  switch (ownership.algorithm) {
    case 'hash':
      addRuns(ordinals, ownership.owners[side]);
      return ordinals;
    case 'geo':
      for (const owners of ownership.regions.values()) addRuns(ordinals, owners[side]);
      return ordinals;
    case 'range':
      for (const range of ownership.ranges) ordinals.add(range[side]);
      return ordinals;
    case 'directory':
      ordinals.add(ownership.fallback[side]);
      for (const owners of ownership.entries.values()) ordinals.add(owners[side]);
      return ordinals;
    default:
      return assertNever(ownership);
  }
}

/** Slot counts by ordinal, over all regions; empty for range and directory maps. For printing a whole fleet. */
export function slotCounts(map: ShardMap, side: Side = 'write'): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  const { ownership } = map;
  const arrays =
    ownership.algorithm === 'hash'
      ? [ownership.owners[side]]
      : ownership.algorithm === 'geo'
        ? [...ownership.regions.values()].map(owners => owners[side])
        : [];
  for (const array of arrays) {
    for (const ordinal of array) counts.set(ordinal, (counts.get(ordinal) ?? 0) + 1);
  }
  return counts;
}

/** What a shard owns. It may be nothing: no ranges, no entries. */
export function partitionOf(map: ShardMap, ordinal: number, side: Side = 'write'): Partition {
  const { ownership, slots } = map;
  switch (ownership.algorithm) {
    case 'hash':
      return { kind: 'slots', slots, ranges: rangesOf(ownership.owners[side], ordinal) };
    case 'geo':
      return {
        kind: 'regions',
        slots,
        regions: [...ownership.regions]
          .map(([region, owners]) => ({ region, ranges: rangesOf(owners[side], ordinal) }))
          .filter(entry => entry.ranges.length > 0),
      };
    case 'range':
      return { kind: 'keys', ranges: keyRangesOf(ownership.ranges, ordinal, side) };
    case 'directory':
      return {
        kind: 'directory',
        entries: [...ownership.entries].filter(([, owners]) => owners[side] === ordinal).map(([key]) => key),
        fallback: ownership.fallback[side] === ordinal,
      };
    default:
      return assertNever(ownership);
  }
}

/** Ordinals of those who own any of a partition, ascending; more than one while it is being moved, or when a plan is out of date. */
export interface PartitionOwners {
  readonly write: readonly number[];
  readonly read: readonly number[];
}

/** Who owns a partition. A kind of partition that the map does not have belongs to nobody. */
export function ownersOf(map: ShardMap, partition: Partition): PartitionOwners {
  const found: readonly Owners[] = [...ownersIn(map, partition)];
  const of = (side: Side): readonly number[] =>
    [...new Set(found.map(owners => owners[side]))].toSorted((a, b) => a - b);
  return { write: of('write'), read: of('read') };
}

function* ownersIn({ ownership, keyType }: ShardMap, partition: Partition): Generator<Owners> {
  switch (partition.kind) {
    case 'slots':
      if (ownership.algorithm === 'hash') yield* ownersOfSlots(ownership.owners, partition.ranges);
      return;
    case 'regions':
      if (ownership.algorithm !== 'geo') return;
      for (const { region, ranges } of partition.regions) {
        const owners = ownership.regions.get(region);
        if (owners) yield* ownersOfSlots(owners, ranges);
      }
      return;
    case 'keys':
      if (ownership.algorithm !== 'range') return;
      for (const [i, range] of ownership.ranges.entries()) {
        const end = ownership.ranges[i + 1]?.from;
        if (partition.ranges.some(each => overlap({ ...range, to: end }, each, keyType))) yield range;
      }
      return;
    case 'directory':
      if (ownership.algorithm !== 'directory') return;
      for (const key of partition.entries) yield ownership.entries.get(key) ?? ownership.fallback;
      if (partition.fallback) yield ownership.fallback;
      return;
    default:
      assertNever(partition);
  }
}

function* ownersOfSlots({ write, read }: SlotOwners, ranges: readonly SlotRange[]): Generator<Owners> {
  for (const { first, last } of ranges) {
    for (let slot = first; slot <= last; slot++) {
      const [writer, reader] = [write[slot], read[slot]];
      const same = slot > first && write[slot - 1] === writer && read[slot - 1] === reader;
      if (!same && writer !== undefined && reader !== undefined) yield { write: writer, read: reader };
    }
  }
}

interface Bounds {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

function overlap(a: Bounds, b: Bounds, keyType: KeyType): boolean {
  const before = (end: string | undefined, start: string | undefined): boolean =>
    end !== undefined && start !== undefined && compareKeys(end, start, keyType) <= 0;
  return !before(a.to, b.from) && !before(b.to, a.from);
}

/** Runs of neighbouring slots with one owner. */
export function rangesOf(owners: Uint32Array, ordinal: number): readonly SlotRange[] {
  const ranges: SlotRange[] = [];
  let first = -1;
  for (let slot = 0; slot <= owners.length; slot++) {
    const own = owners[slot] === ordinal;
    if (own && first < 0) first = slot;
    if (!own && first >= 0) {
      ranges.push({ first, last: slot - 1 });
      first = -1;
    }
  }
  return ranges;
}

function keyRangesOf(
  ranges: readonly (Owners & { readonly from?: string })[],
  ordinal: number,
  side: Side,
): readonly KeyRange[] {
  const own: KeyRange[] = [];
  let open: { from?: string } | undefined;
  for (const range of ranges) {
    if (range[side] === ordinal) {
      open ??= range.from === undefined ? {} : { from: range.from };
    } else if (open !== undefined && range.from !== undefined) {
      own.push({ ...open, to: range.from });
      open = undefined;
    }
  }
  if (open !== undefined) own.push(open);
  return own;
}

function addRuns(into: Set<number>, owners: Uint32Array): void {
  let last = -1;
  for (const ordinal of owners) {
    if (ordinal !== last) into.add(ordinal);
    last = ordinal;
  }
}
