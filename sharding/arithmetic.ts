/** Partitions added and taken away. Both are of one kind; of another kind nothing is taken, and adding it is an error of the caller. */
import { assertNever } from './assert-never.ts';
import { InvalidChangeError } from './errors.ts';
import { compareKeys, type KeyType } from './key.ts';
import type { KeyRange, Partition, RegionSlots, SlotRange } from './partition.ts';

/** What of `own` is not in `taken`. */
export function withoutPart(own: Partition, taken: Partition, keyType: KeyType): Partition {
  switch (own.kind) {
    case 'slots':
      return taken.kind === 'slots' ? { ...own, ranges: lessSlots(own.ranges, taken.ranges) } : own;
    case 'keys':
      return taken.kind === 'keys' ? { ...own, ranges: lessKeys(own.ranges, taken.ranges, keyType) } : own;
    case 'directory': {
      if (taken.kind !== 'directory') return own;
      const gone = new Set(taken.entries);
      return {
        ...own,
        entries: own.entries.filter(key => !gone.has(key)),
        fallback: own.fallback && !taken.fallback,
      };
    }
    case 'regions':
      return taken.kind === 'regions' ? { ...own, regions: lessRegions(own.regions, taken.regions) } : own;
    default:
      return assertNever(own);
  }
}

/** What is in either, each part of it once. Throws InvalidChangeError for two kinds. */
export function withPart(own: Partition, added: Partition, keyType: KeyType): Partition {
  const rest = withoutPart(own, added, keyType);
  switch (rest.kind) {
    case 'slots':
      if (added.kind === 'slots') return { ...rest, ranges: joinSlots([...rest.ranges, ...added.ranges]) };
      break;
    case 'keys':
      if (added.kind === 'keys')
        return { ...rest, ranges: inOrder([...rest.ranges, ...added.ranges], keyType) };
      break;
    case 'directory':
      if (added.kind === 'directory')
        return {
          ...rest,
          entries: [...rest.entries, ...added.entries],
          fallback: rest.fallback || added.fallback,
        };
      break;
    case 'regions':
      if (added.kind === 'regions')
        return { ...rest, regions: joinRegions([...rest.regions, ...added.regions]) };
      break;
    default:
      return assertNever(rest);
  }
  throw new InvalidChangeError(`${added.kind} beside ${own.kind}`, 'Compare partitions of one map.');
}

/** From `from` (included) to `to` (excluded); without bounds, from the lowest and to the highest. */
interface Interval<T> {
  readonly from?: T | undefined;
  readonly to?: T | undefined;
}

type Compare<T> = (a: T, b: T) => number;

function less<T>(
  own: readonly Interval<T>[],
  taken: readonly Interval<T>[],
  compare: Compare<T>,
): readonly Interval<T>[] {
  return taken.reduce((rest, cut) => rest.flatMap(each => lessOne(each, cut, compare)), own);
}

function lessOne<T>(own: Interval<T>, cut: Interval<T>, compare: Compare<T>): readonly Interval<T>[] {
  const ends = (a: Interval<T>, b: Interval<T>): boolean =>
    a.to !== undefined && b.from !== undefined && compare(a.to, b.from) <= 0;
  if (ends(own, cut) || ends(cut, own)) return [own];
  const left: Interval<T>[] =
    cut.from !== undefined && (own.from === undefined || compare(own.from, cut.from) < 0)
      ? [{ from: own.from, to: cut.from }]
      : [];
  const right: Interval<T>[] =
    cut.to !== undefined && (own.to === undefined || compare(cut.to, own.to) < 0)
      ? [{ from: cut.to, to: own.to }]
      : [];
  return [...left, ...right];
}

function interval({ first, last }: SlotRange): Interval<number> {
  return { from: first, to: last + 1 };
}

function lessSlots(own: readonly SlotRange[], taken: readonly SlotRange[]): readonly SlotRange[] {
  return less(own.map(interval), taken.map(interval), (a, b) => a - b).map(({ from = 0, to = 0 }) => ({
    first: from,
    last: to - 1,
  }));
}

function lessKeys(
  own: readonly KeyRange[],
  taken: readonly KeyRange[],
  keyType: KeyType,
): readonly KeyRange[] {
  return less<string>(own, taken, (a, b) => compareKeys(a, b, keyType)).map(({ from, to }) => ({
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  }));
}

function lessRegions(own: readonly RegionSlots[], taken: readonly RegionSlots[]): readonly RegionSlots[] {
  return own
    .map(({ region, ranges }) => ({
      region,
      ranges: taken
        .filter(each => each.region === region)
        .reduce((rest, each) => lessSlots(rest, each.ranges), ranges),
    }))
    .filter(({ ranges }) => ranges.length > 0);
}

function joinSlots(ranges: readonly SlotRange[]): readonly SlotRange[] {
  const result: SlotRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = result.at(-1);
    if (before && before.last + 1 === range.first)
      result[result.length - 1] = { first: before.first, last: range.last };
    else result.push(range);
  }
  return result;
}

function joinRegions(all: readonly RegionSlots[]): readonly RegionSlots[] {
  return [...Map.groupBy(all, ({ region }) => region)].map(([region, parts]) => ({
    region,
    ranges: joinSlots(parts.flatMap(({ ranges }) => ranges)),
  }));
}

export function inOrder(ranges: readonly KeyRange[], keyType: KeyType): readonly KeyRange[] {
  return ranges.toSorted((a, b) => {
    if (a.from === undefined) return -1;
    return b.from === undefined ? 1 : compareKeys(a.from, b.from, keyType);
  });
}
