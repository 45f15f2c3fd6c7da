/** What lies in which page: a map's shards and owners cut into pages, and owners put together from them again. */
import { crc32 } from 'node:zlib';
import { assertNever } from './assert-never.ts';
import { compareKeys } from './key.ts';
import type { OwnedRange, Owners, Ownership, ShardMap, SlotOwners } from './map.ts';
import { type Entry, encodeEntries, encodeShards, encodeSlots } from './page-codec.ts';
import { shardsPerPage, slotPageId, slotsPerPage } from './page-ids.ts';
import { damaged } from './page-reader.ts';

export interface PageContent {
  readonly id: string;
  readonly data: string;
}

export interface PageCounts {
  readonly shardPages: number;
  readonly entryPages: number;
}

/** Every page but the header. */
export function* contents(
  map: ShardMap,
  { shardPages, entryPages }: PageCounts,
): Generator<PageContent, undefined> {
  const byPage = Map.groupBy(map.shards, shard => Math.floor(shard.ordinal / shardsPerPage));
  for (let n = 0; n < shardPages; n++) {
    yield { id: `shards-${n}`, data: encodeShards(byPage.get(n) ?? [], map.cluster, n * shardsPerPage) };
  }
  const { ownership } = map;
  switch (ownership.algorithm) {
    case 'hash':
      yield* slotPages(ownership.owners);
      return;
    case 'geo':
      for (const [region, owners] of ownership.regions) yield* slotPages(owners, region);
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

function* slotPages(owners: SlotOwners, region?: string): Generator<PageContent, undefined> {
  for (let n = 0; n * slotsPerPage < owners.write.length; n++) {
    const [start, end] = [n * slotsPerPage, (n + 1) * slotsPerPage];
    const write = owners.write.subarray(start, end);
    const read = owners.read === owners.write ? write : owners.read.subarray(start, end);
    yield { id: slotPageId(n, region), data: encodeSlots(write, read) };
  }
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

export function joinSlots(pages: readonly SlotOwners[], slots: number): SlotOwners {
  const [only] = pages;
  if (only !== undefined && pages.length === 1) return only;
  const write = new Uint32Array(slots);
  pages.forEach((page, n) => write.set(page.write, n * slotsPerPage));
  if (pages.every(page => page.read === page.write)) return { write, read: write };
  const read = new Uint32Array(slots);
  pages.forEach((page, n) => read.set(page.read, n * slotsPerPage));
  return { write, read };
}
