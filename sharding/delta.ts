/**
 * What leads a client from an older map to the newest: the pages changed at or after its epoch. Applying is idempotent, and
 * deltas may come in any order or twice: of each page the highest epoch stays.
 *
 * Two writers may give different pages the same epoch, or a page may appear with an epoch below one that a client has seen
 * already. The first is why pages of an equal epoch are sent again; the second is caught by the digest: a client whose pages
 * differ after all gets a {@link DeltaMismatchError} and fetches the whole map.
 */
import { createHash } from 'node:crypto';
import { DamagedMapError, DeltaMismatchError, UnknownFormatError } from './errors.ts';
import { mapFormat } from './map.ts';
import { epochOf, type MapPage } from './pages.ts';

/** What is sent: a delta, or with `since` 0 the whole map. Plain JSON. */
export interface MapDelta {
  readonly format: typeof mapFormat;
  /** The epoch the receiver has; 0 for none. */
  readonly since: number;
  /** The epoch that it leads to. */
  readonly epoch: number;
  /** Of all pages at that epoch, see {@link digestOf}. */
  readonly digest: string;
  readonly pages: readonly MapPage[];
}

/** Identifies the content of a map: a good ETag. Needs a few µs per page; each page is hashed once in its life. */
export function digestOf(pages: readonly MapPage[]): string {
  const hash = createHash('sha256');
  for (const page of pages.toSorted((a, b) => (a.id < b.id ? -1 : 1))) hash.update(pageDigest(page));
  return hash.digest('base64url').slice(0, 22);
}

const digests = new WeakMap<MapPage, Buffer>();

function pageDigest(page: MapPage): Buffer {
  let digest = digests.get(page);
  if (digest === undefined) {
    digest = createHash('sha256').update(`${page.id} ${page.epoch} ${page.data}`).digest();
    digests.set(page, digest);
  }
  return digest;
}

export function wholeMap(pages: readonly MapPage[]): MapDelta {
  return { format: mapFormat, since: 0, epoch: epochOf(pages), digest: digestOf(pages), pages };
}

export function deltaSince(pages: readonly MapPage[], epoch: number): MapDelta {
  return { ...wholeMap(pages), since: epoch, pages: pages.filter(page => page.epoch >= epoch) };
}

/**
 * The pages after a delta. Throws DeltaMismatchError when they are not the sender's. A whole map replaces everything, even
 * by lower epochs: the fleet may have been deleted and made anew. A delta older than the pages changes nothing.
 */
export function applyDelta(pages: readonly MapPage[], delta: MapDelta): readonly MapPage[] {
  if (delta.since === 0) return verified(delta.pages, delta);
  const epoch = epochOf(pages);
  if (delta.epoch < epoch) return pages;
  const merged = mergePages(pages, delta.pages);
  return verified(merged, delta);
}

/** Of each page the highest epoch; of equal epochs the incoming one. */
export function mergePages(pages: readonly MapPage[], incoming: readonly MapPage[]): readonly MapPage[] {
  const merged = new Map(pages.map(page => [page.id, page]));
  for (const page of incoming) {
    if (page.epoch >= (merged.get(page.id)?.epoch ?? 0)) merged.set(page.id, page);
  }
  return [...merged.values()];
}

function verified(pages: readonly MapPage[], delta: MapDelta): readonly MapPage[] {
  if (digestOf(pages) === delta.digest) return pages;
  throw new DeltaMismatchError(`the delta to epoch ${delta.epoch} does not fit`, 'Fetch the whole map.');
}

/** Checks what came over the wire. Throws UnknownFormatError or DamagedMapError; pages are checked by `fromPages`. */
export function parseDelta(json: string): MapDelta {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new DamagedMapError('the map is not JSON', 'Ask the map service again.', { cause });
  }
  const { format, since, epoch, digest, pages } = fields(value);
  if (format !== mapFormat) {
    throw new UnknownFormatError(
      `the map has format ${JSON.stringify(format)}; this version knows ${mapFormat}`,
      'Use the version of shardwright that the operator has.',
    );
  }
  if (!isEpoch(since) || !isEpoch(epoch) || typeof digest !== 'string' || !Array.isArray(pages)) {
    throw new DamagedMapError('the map lacks since, epoch, digest or pages', 'Ask the map service again.');
  }
  return { format: mapFormat, since, epoch, digest, pages: pages.map(parsePage) };
}

/** Checks one page from the wire or a ConfigMap. */
export function parsePage(value: unknown): MapPage {
  const { id, epoch, data } = fields(value);
  if (typeof id === 'string' && isEpoch(epoch) && typeof data === 'string') return { id, epoch, data };
  throw new DamagedMapError(
    'a page lacks id, epoch or data',
    'Fetch the whole map again, or restore its ConfigMaps.',
  );
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function isEpoch(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
