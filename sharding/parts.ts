/** Partitions compared and divided. */
import { assertNever } from './assert-never.ts';
import { PlanError } from './errors.ts';
import { compareKeys, type Key, type KeyType, normalizeKey } from './key.ts';
import type { MapShard, OwnedRange, ShardMap } from './map.ts';
import { type KeyRange, type Partition, partitionContains, type SlotRange } from './partition.ts';

export function isEmptyPartition(partition: Partition): boolean {
  switch (partition.kind) {
    case 'slots':
    case 'keys':
      return partition.ranges.length === 0;
    case 'regions':
      return partition.regions.every(({ ranges }) => ranges.length === 0);
    case 'directory':
      return partition.entries.length === 0 && !partition.fallback;
    default:
      return assertNever(partition);
  }
}

/** For partitions as `partitionOf` gives them: in order, neighbours joined. */
export function samePartition(a: Partition, b: Partition): boolean {
  return JSON.stringify(inOrder(a)) === JSON.stringify(inOrder(b));
}

/**
 * What a shard owns in so many parts of the same size, to within one slot, range or entry; the first is the one that it keeps. A
 * part is made of neighbours. Ranges of keys are not cut, and a directory's default stays. Throws PlanError.
 */
export function dividePartition(
  map: ShardMap,
  shard: MapShard,
  partition: Partition,
  parts: number,
): readonly Partition[] {
  const assertEnough = (count: number, what: string, remedy: string): void => {
    if (count >= parts) return;
    throw new PlanError(
      'TooFewParts',
      `${shard.name} has ${count} ${what}, too few for ${parts} shards`,
      remedy,
    );
  };
  const assertSlots = (count: number): void =>
    assertEnough(
      count,
      count === 1 ? 'slot' : 'slots',
      count === 1
        ? 'A slot is the least that a shard can own: move it as a whole.'
        : `Split it into at most ${count}.`,
    );
  switch (partition.kind) {
    case 'slots':
      assertSlots(slotsIn(partition.ranges));
      return divideSlots(partition.ranges, parts).map(ranges => ({ ...partition, ranges }));
    case 'regions': {
      const total = partition.regions.reduce((sum, { ranges }) => sum + slotsIn(ranges), 0);
      assertSlots(total);
      // A shard of a geo map owns slots of its own region only.
      const { region = '', ranges = [] } = partition.regions[0] ?? {};
      return divideSlots(ranges, parts).map(own => ({ ...partition, regions: [{ region, ranges: own }] }));
    }
    case 'keys': {
      const ranges = wholeRanges(map, shard.ordinal);
      assertEnough(
        ranges.length,
        ranges.length === 1
          ? 'range of keys, and a range is dealt out as a whole'
          : 'ranges of keys, and a range is dealt out as a whole',
        'Say at which keys to split it: split.at.',
      );
      return divide(ranges, parts).map(own => ({ ...partition, ranges: joinKeys(own) }));
    }
    case 'directory': {
      const { entries, fallback } = partition;
      // Whoever keeps the default need not keep an entry.
      assertEnough(
        entries.length + (fallback ? 1 : 0),
        fallback ? 'entries, the default among them' : 'entries',
        'Split it into fewer.',
      );
      const sorted = entries.toSorted((a, b) => compareKeys(a, b, map.keyType));
      return divide(sorted, parts).map((own, i) => ({
        kind: 'directory',
        entries: own,
        fallback: fallback && i === 0,
      }));
    }
    default:
      return assertNever(partition);
  }
}

/**
 * What a shard of a range map owns, cut at keys, whatever ranges it has: one part more than keys, in order; the first is the one
 * that it keeps. Throws PlanError, InvalidKeyError.
 */
export function dividePartitionAt(
  map: ShardMap,
  { name }: MapShard,
  partition: Partition,
  at: readonly Key[],
): readonly Partition[] {
  if (partition.kind !== 'keys') {
    throw new PlanError(
      'NotWithThisAlgorithm',
      `a ${map.ownership.algorithm} map keeps no order of keys to split at`,
      'Leave out split.at: it is divided evenly.',
    );
  }
  const { keyType } = map;
  const points = at.map(key => normalizeKey(key, keyType)).toSorted((a, b) => compareKeys(a, b, keyType));
  const stranger = points.find(point => !partitionContains(partition, keyType, point));
  if (stranger !== undefined) {
    throw new PlanError(
      'NotOwned',
      `${name} does not own key ${stranger}`,
      `It owns ${partition.ranges.slice(0, 5).map(describeKeys).join(', ')}${partition.ranges.length > 5 ? ', ...' : ''}.`,
    );
  }
  const useless = points.find((point, i) => point === points[i - 1] || point === partition.ranges[0]?.from);
  if (useless !== undefined) {
    throw new PlanError(
      'UselessSplitPoint',
      `nothing of ${name} lies between ${useless} and the split point before it`,
      'Name each split point once, above the lowest key that the shard owns.',
    );
  }
  return [undefined, ...points].map((from, i) => ({
    ...partition,
    ranges: partition.ranges.flatMap(range => between(range, { from, to: points[i] }, keyType)),
  }));
}

/** For people. */
export function describeKeys({ from, to }: KeyRange): string {
  return `keys from ${from ?? 'the lowest'} to ${to ?? 'the highest'}`;
}

/** Keys at which one of the partitions begins or ends and no range of the map does; none for other maps than range maps. */
export function missingBounds(map: ShardMap, partitions: readonly Partition[]): readonly string[] {
  if (map.ownership.algorithm !== 'range') return [];
  const present = new Set(map.ownership.ranges.map(range => range.from));
  const bounds = partitions
    .flatMap(partition => (partition.kind === 'keys' ? partition.ranges : []))
    .flatMap(({ from, to }) => [from, to]);
  return [...new Set(bounds)].flatMap(bound => (bound === undefined || present.has(bound) ? [] : [bound]));
}

/** What of a range lies within bounds. */
function between(
  range: KeyRange,
  bounds: { readonly from: string | undefined; readonly to: string | undefined },
  keyType: KeyType,
): readonly KeyRange[] {
  const compare = (a: string, b: string): number => compareKeys(a, b, keyType);
  const [from] = [range.from, bounds.from].filter(key => key !== undefined).toSorted((a, b) => compare(b, a));
  const [to] = [range.to, bounds.to].filter(key => key !== undefined).toSorted(compare);
  if (from !== undefined && to !== undefined && compare(from, to) >= 0) return [];
  return [{ ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }];
}

/** Into `parts` runs of neighbours, none larger than another by more than one; the first are the smaller ones. */
function divide<T>(items: readonly T[], parts: number): readonly (readonly T[])[] {
  const bound = (i: number): number => Math.floor((i * items.length) / parts);
  return Array.from({ length: parts }, (_, i) => items.slice(bound(i), bound(i + 1)));
}

function divideSlots(ranges: readonly SlotRange[], parts: number): readonly (readonly SlotRange[])[] {
  const total = slotsIn(ranges);
  const bound = (i: number): number => Math.floor((i * total) / parts);
  return Array.from({ length: parts }, (_, i) => slice(ranges, bound(i), bound(i + 1)));
}

/** The slots from the `from`-th to before the `to`-th of the ranges. */
function slice(ranges: readonly SlotRange[], from: number, to: number): readonly SlotRange[] {
  const result: SlotRange[] = [];
  let seen = 0;
  for (const { first, last } of ranges) {
    const count = last - first + 1;
    const [start, end] = [Math.max(from - seen, 0), Math.min(to - seen, count)];
    if (start < end) result.push({ first: first + start, last: first + end - 1 });
    seen += count;
  }
  return result;
}

function slotsIn(ranges: readonly SlotRange[]): number {
  return ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}

/** The ranges of a range map that a shard owns, each as the map has it. */
function wholeRanges(map: ShardMap, ordinal: number): readonly KeyRange[] {
  if (map.ownership.algorithm !== 'range') return [];
  const { ranges } = map.ownership;
  return ranges.flatMap((range, i) => (range.write === ordinal ? [keyRange(range, ranges[i + 1])] : []));
}

function keyRange({ from }: OwnedRange, next: OwnedRange | undefined): KeyRange {
  return {
    ...(from === undefined ? {} : { from }),
    ...(next?.from === undefined ? {} : { to: next.from }),
  };
}

function joinKeys(ranges: readonly KeyRange[]): readonly KeyRange[] {
  const result: KeyRange[] = [];
  for (const range of ranges) {
    const before = result.at(-1);
    if (before?.to === undefined || before.to !== range.from) {
      result.push(range);
      continue;
    }
    const { to: _to, ...start } = before;
    result[result.length - 1] = range.to === undefined ? start : { ...start, to: range.to };
  }
  return result;
}

function inOrder(partition: Partition): Partition {
  if (partition.kind === 'directory') return { ...partition, entries: partition.entries.toSorted() };
  if (partition.kind !== 'regions') return partition;
  return { ...partition, regions: partition.regions.toSorted((a, b) => (a.region < b.region ? -1 : 1)) };
}
