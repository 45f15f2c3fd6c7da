/**
 * A map as pages: what is stored (one ConfigMap per page) and what is sent. A page is changed by one compare-and-swap
 * and carries the epoch of its last change; the map's epoch is the highest of its pages. Pages are decoded strictly: any
 * damage is a {@link DamagedMapError} that names the page, never a wrong owner, and pages in the middle of a change are a
 * {@link MapInTransitionError} (seal.ts).
 *
 * Entries of range and directory maps lie in the page that their key hashes to, so one split or one new entry changes one
 * page, whatever its order.
 */
import { crc32 } from 'node:zlib';
import { checkMap } from './check.ts';
import { InvalidChangeError, MapInTransitionError } from './errors.ts';
import type { MapShard, ShardMap, SlotOwners } from './map.ts';
import { shardsOf, slotsOf } from './page-cache.ts';
import { decodeEntries, decodeHeader, type Entry, encodeHeader, type Header } from './page-codec.ts';
import { contents, ownershipOf } from './page-contents.ts';
import { pageIds, shardsPerPage, slotPageId, slotsPerPage } from './page-ids.ts';
import { damaged } from './page-reader.ts';
import { sealOf } from './seal.ts';

/** Plain JSON. `data` is the page's content, deflated, in base64. */
export interface MapPage {
  /** `header`, `shards-<n>`, `slots-<n>` (geo: `slots-<region>-<n>`) or `entries-<n>` (range, directory). */
  readonly id: string;
  readonly epoch: number;
  readonly data: string;
}

const entriesPerPage = 2048;

/** A ConfigMap holds 1 MiB; the rest is for its metadata and the base64 of the page's JSON. */
const maxPageChars = 900_000;

/**
 * Name of the ConfigMap that holds a page. A region may be spelled in a way that a name may not: then a checksum keeps apart
 * what looks the same.
 */
export function pageConfigMapName(cluster: string, id: string): string {
  if (id === 'header') return `${cluster}-map`;
  const plain = id.toLowerCase().replaceAll(/[^a-z0-9.-]+/g, '-');
  return plain === id ? `${cluster}-map-${id}` : `${cluster}-map-${plain}-${crc32(id).toString(16)}`;
}

/**
 * All pages of a map, sealed, the header last. With the pages stored now as `previous`, pages of equal content keep their
 * epoch, and the others get the map's: what {@link changedPages} then gives is what must be written. `before`: the map that
 * `previous` was decoded to, if the new one came of it by changes; of a large map only what changed is then encoded.
 */
export function toPages(
  map: ShardMap,
  previous: readonly MapPage[] = [],
  before?: ShardMap,
): readonly MapPage[] {
  const stored = new Map(previous.map(page => [page.id, page]));
  const entryPages = stored.has('header') ? headerOf(previous).entryPages : freshEntryPages(map);
  const page = (id: string, data: string): MapPage => {
    const old = stored.get(id);
    if (old !== undefined && old.data === data) return old;
    if (data.length <= maxPageChars) return { id, epoch: map.epoch, data };
    throw new InvalidChangeError(
      `page ${id} of the map has ${data.length} bytes`,
      'Use fewer or shorter keys.',
    );
  };
  const counts = { shardPages: shardPagesOf(map), entryPages };
  const others: MapPage[] = [];
  for (const { id, data } of contents(map, counts, before)) {
    const same = data === undefined ? stored.get(id) : page(id, data);
    if (same === undefined) throw new TypeError(`page ${id} was not decoded from the pages before`);
    others.push(same);
  }
  return [...others, page('header', encodeHeader(map, { ...counts, seal: sealOf(others) }))];
}

/** Those of `next` that differ from what is stored. */
export function changedPages(previous: readonly MapPage[], next: readonly MapPage[]): readonly MapPage[] {
  const before = new Map(previous.map(page => [page.id, page]));
  return next.filter(page => before.get(page.id)?.data !== page.data);
}

export interface ReadOptions {
  /** Gives what pages in the middle of a change say, mixed and unchecked: for whoever is about to finish it. */
  readonly raw?: boolean;
}

/**
 * Pages in any order. Throws DamagedMapError, UnknownFormatError for a map from another version, or MapInTransitionError for
 * pages that do not belong together.
 */
export function fromPages(pages: readonly MapPage[], { raw = false }: ReadOptions = {}): ShardMap {
  const byId = new Map<string, MapPage>();
  for (const page of pages) {
    if (byId.has(page.id)) throw damaged(page.id, 'is there twice');
    byId.set(page.id, page);
  }
  const header = headerOf(pages);
  const { shardPages, entryPages, regions, algorithm, seal, ...rest } = header;
  const named = pageIds(header).map(id => byId.get(id) ?? raise(id, 'is missing'));
  if (!raw && sealOf(named) !== seal) {
    throw new MapInTransitionError(
      'the pages are in the middle of a change',
      'Keep the last whole map, and read them again shortly.',
    );
  }
  const take = (id: string): MapPage => byId.get(id) ?? raise(id, 'is missing');
  const shards: MapShard[] = [];
  for (let n = 0; n < shardPages; n++) {
    for (const shard of shardsOf(take(`shards-${n}`), rest.cluster, n * shardsPerPage)) shards.push(shard);
  }
  const slotOwners = (region?: string): SlotOwners => {
    const count = pageCount(rest.slots, slotsPerPage);
    return slotsOf(
      Array.from({ length: count }, (_, n) => take(slotPageId(n, region))),
      rest.slots,
    );
  };
  const entries = (): readonly Entry[] =>
    Array.from({ length: entryPages }, (_, n) =>
      decodeEntries(take(`entries-${n}`).data, `entries-${n}`),
    ).flat();
  const map: ShardMap = {
    ...rest,
    epoch: epochOf(raw ? pages : named),
    // Of a change that was cut off, the shards may have come and the header not.
    nextOrdinal: Math.max(rest.nextOrdinal, raw ? (shards.at(-1)?.ordinal ?? -1) + 1 : 0),
    shards,
    ownership: ownershipOf(algorithm, regions, rest.keyType, slotOwners, entries),
  };
  const problem = raw ? undefined : checkMap(map)[0];
  if (problem !== undefined) throw damaged('header', `heads a map in which ${problem}`);
  return map;
}

/** The highest epoch of the pages: the map's. */
export function epochOf(pages: readonly MapPage[]): number {
  return pages.reduce((highest, page) => Math.max(highest, page.epoch), 0);
}

function raise(id: string, problem: string): never {
  throw damaged(id, problem);
}

function headerOf(pages: readonly MapPage[]): Header {
  const page = pages.find(candidate => candidate.id === 'header');
  if (page === undefined) throw damaged('header', 'is missing');
  return decodeHeader(page.data, page.id);
}

/** Never fewer than there were: no page is ever left without a map. */
function shardPagesOf(map: ShardMap): number {
  return pageCount(map.nextOrdinal, shardsPerPage);
}

/** The number of entry pages is fixed when a map is made: an entry must not change its page. */
function freshEntryPages(map: ShardMap): number {
  const { ownership } = map;
  if (ownership.algorithm === 'range') return pageCount(ownership.ranges.length, entriesPerPage);
  return ownership.algorithm === 'directory' ? pageCount(ownership.entries.size, entriesPerPage) : 0;
}

function pageCount(items: number, perPage: number): number {
  return Math.max(1, Math.ceil(items / perPage));
}
