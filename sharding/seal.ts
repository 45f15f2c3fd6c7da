/**
 * The seal of a set of pages: the header carries a digest over the epochs of all other pages of its map, so whoever has the
 * pages sees whether they belong together. A change of several pages reaches a reader one page at a time; in between the seal
 * does not fit, and the reader keeps the last set whose seal did. Pages that the header does not name are not of the map: a
 * change that was cut off before its header may leave one behind.
 */
import { createHash } from 'node:crypto';
import { decodeHeader } from './page-codec.ts';
import { pageIds } from './page-ids.ts';
import type { MapPage } from './pages.ts';

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
