/**
 * The seal of a set of pages: the header carries a digest over the epochs of all other pages of its map, so whoever has the
 * pages sees whether they belong together. A change of several pages reaches a reader one page at a time; in between the seal
 * does not fit, and the reader keeps the last set whose seal did. Pages that the header does not name are not of the map: a
 * change that was cut off before its header may leave one behind.
 */
import { createHash } from 'node:crypto';
import type { Algorithm } from './map.ts';
import { decodeHeader, type Header } from './page-codec.ts';
import type { MapPage } from './pages.ts';

export const slotsPerPage = 65_536;

export function sealOf(pages: readonly MapPage[]): string {
  const lines = pages.filter(page => page.id !== 'header').map(page => `${page.id} ${page.epoch}`);
  return createHash('sha256').update(lines.toSorted().join('\n')).digest('base64url').slice(0, 22);
}

/** The pages of the map, without strays, when they belong together. Throws as `fromPages` does when the header is damaged. */
export function sealedPages(pages: readonly MapPage[]): readonly MapPage[] | undefined {
  const header = pages.find(page => page.id === 'header');
  if (header === undefined) return undefined;
  const decoded = decodeHeader(header.data, header.id);
  const ids = new Set(pageIds(decoded));
  const named = pages.filter(page => ids.has(page.id));
  return named.length === ids.size && sealOf(named) === decoded.seal ? named : undefined;
}

/** True when the pages belong together: they are one state of a map, not a mixture of two. */
export function isSealed(pages: readonly MapPage[]): boolean {
  return sealedPages(pages) !== undefined;
}

/** The pages that a map with this header consists of. */
export function pageIds(
  header: Pick<Header, 'algorithm' | 'regions' | 'slots' | 'shardPages' | 'entryPages'>,
): string[] {
  const ids = ['header'];
  for (let n = 0; n < header.shardPages; n++) ids.push(`shards-${n}`);
  for (const region of regionsOf(header.algorithm, header.regions)) {
    for (let n = 0; n * slotsPerPage < header.slots; n++) ids.push(slotPageId(n, region));
  }
  for (let n = 0; n < entryPagesOf(header); n++) ids.push(`entries-${n}`);
  return ids;
}

export function slotPageId(n: number, region?: string): string {
  return region === undefined ? `slots-${n}` : `slots-${region}-${n}`;
}

/** Undefined stands for a map that has slots without regions. */
function regionsOf(algorithm: Algorithm, regions: readonly string[]): readonly (string | undefined)[] {
  if (algorithm === 'geo') return regions;
  return algorithm === 'hash' ? [undefined] : [];
}

function entryPagesOf({ algorithm, entryPages }: Pick<Header, 'algorithm' | 'entryPages'>): number {
  return algorithm === 'range' || algorithm === 'directory' ? entryPages : 0;
}
