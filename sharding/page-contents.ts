/** What lies in which page: a map's shards and owners cut into pages, and owners put together from them again. */
import { crc32 } from 'node:zlib';
import { assertNever } from './assert-never.ts';
import { compareKeys } from './key.ts';
import type { MapShard, OwnedRange, Owners, Ownership, ShardMap, SlotOwners } from './map.ts';
import { type Entry, encodeEntries, encodeShards, encodeSlots } from './page-codec.ts';
import { shardsPerPage, slotPageId, slotsPerPage } from './page-ids.ts';
import { damaged } from './page-reader.ts';

export interface PageContent {
  readonly id: string;
  /** Absent where it is what the map before had there. */
  readonly data?: string;
}

export interface PageCounts {
  readonly shardPages: number;
  readonly entryPages: number;
}

/** Every page but the header. `before`: an older map that shares with this one what did not change. */
export function* contents(
  map: ShardMap,
  { shardPages, entryPages }: PageCounts,
  before?: ShardMap,
): Generator<PageContent, undefined> {
  const byPage = shardsByPage(map);
  const old = before && before.cluster === map.cluster ? shardsByPage(before) : undefined;
  for (let n = 0; n < shardPages; n++) {
    const [id, shards] = [`shards-${n}`, byPage.get(n) ?? []];
    if (sameItems(old?.get(n), shards)) yield { id };
    else yield { id, data: encodeShards(shards, map.cluster, n * shardsPerPage) };
  }
  const { ownership } = map;
  switch (ownership.algorithm) {
    case 'hash':
      yield* slotPages(ownership.owners, slotOwnersOf(before));
      return;
    case 'geo':
      for (const [region, owners] of ownership.regions)
        yield* slotPages(owners, slotOwnersOf(before, region), region);
      return;
    case 'range':
      yield* entryContents(
        ownership.ranges.map(({ from, write, read }) => ({ key: from ?? null, write, read })),
        entryPages,
      );
      return;
    case 'directory':
      yield* entryContents(
        [
          { key: null, ...ownership.fallback },
          ...ownership.entries
            .entries()
            .map(([key, owners]) => ({ key, ...owners }))
            .toArray(),
        ],
        entryPages,
      );
      return;
    default:
      assertNever(ownership);
  }
}

function* slotPages(
  owners: SlotOwners,
  before: SlotOwners | undefined,
  region?: string,
): Generator<PageContent, undefined> {
  for (let n = 0; n * slotsPerPage < owners.write.length; n++) {
    const [start, end] = [n * slotsPerPage, (n + 1) * slotsPerPage];
    const id = slotPageId(n, region);
    if (before && sameSlots(before, owners, start, end)) {
      yield { id };
      continue;
    }
    const write = owners.write.subarray(start, end);
    const read = owners.read === owners.write ? write : owners.read.subarray(start, end);
    yield { id, data: encodeSlots(write, read) };
  }
}

function sameSlots(before: SlotOwners, now: SlotOwners, start: number, end: number): boolean {
  return (
    before.write.length === now.write.length &&
    sameRun(before.write, now.write, start, end) &&
    sameRun(before.read, now.read, start, end)
  );
}

function sameRun(before: Uint32Array, now: Uint32Array, start: number, end: number): boolean {
  if (before === now) return true;
  for (let slot = start; slot < end; slot++) if (before[slot] !== now[slot]) return false;
  return true;
}

function slotOwnersOf(map: ShardMap | undefined, region?: string): SlotOwners | undefined {
  if (map?.ownership.algorithm === 'hash') return map.ownership.owners;
  return map?.ownership.algorithm === 'geo' ? map.ownership.regions.get(region ?? '') : undefined;
}

function shardsByPage(map: ShardMap): ReadonlyMap<number, readonly MapShard[]> {
  return Map.groupBy(map.shards, shard => Math.floor(shard.ordinal / shardsPerPage));
}

function sameItems(before: readonly MapShard[] | undefined, now: readonly MapShard[]): boolean {
  return before?.length === now.length && before.every((shard, i) => shard === now[i]);
}

function* entryContents(entries: readonly Entry[], pages: number): Generator<PageContent, undefined> {
  const byPage = Map.groupBy(entries, entry => (entry.key === null ? 0 : crc32(entry.key) % pages));
  for (let n = 0; n < pages; n++) yield { id: `entries-${n}`, data: encodeEntries(byPage.get(n) ?? []) };
}

export function ownershipOf(
  algorithm: Ownership['algorithm'],
  regions: readonly string[],
  keyType: ShardMap['keyType'],
  slotOwners: (region?: string) => SlotOwners,
  entries: () => readonly Entry[],
): Ownership {
  switch (algorithm) {
    case 'hash':
      return { algorithm, owners: slotOwners() };
    case 'geo':
      return { algorithm, regions: new Map(regions.map(region => [region, slotOwners(region)])) };
    case 'range': {
      const ranges = entries().map(
        ({ key, ...owners }): OwnedRange => (key === null ? owners : { from: key, ...owners }),
      );
      ranges.sort((a, b) =>
        a.from === undefined ? -1 : b.from === undefined ? 1 : compareKeys(a.from, b.from, keyType),
      );
      return { algorithm, ranges };
    }
    case 'directory': {
      const all = new Map<string | null, Owners>();
      for (const { key, write, read } of entries()) {
        if (all.has(key))
          throw damaged('header', `heads a directory with two entries for ${key ?? 'the default'}`);
        all.set(key, { write, read });
      }
      const fallback = all.get(null);
      if (fallback === undefined) throw damaged('entries-0', 'has no default');
      const explicit = [...all].filter((entry): entry is [string, Owners] => entry[0] !== null);
      return { algorithm, fallback, entries: new Map(explicit) };
    }
    default:
      return assertNever(algorithm);
  }
}
