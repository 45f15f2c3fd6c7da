/** What the map service reads from: the ConfigMaps of shard maps, as this replica's own watch has them. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { ComingWriters } from '#sharding/coming.ts';
import type { MapPage } from '#sharding/pages.ts';

export interface MapPages {
  /**
   * The fleet's pages as they are stored, or undefined when there are none. The same array until one of them changes:
   * what is derived from it is cached by its identity.
   */
  pages(namespace: string, cluster: string): readonly MapPage[] | undefined;
  /** What is announced of a change that is about to be made. The same object until it changes. */
  coming(namespace: string, cluster: string): ComingWriters;
  /** Calls back after `pages` or `coming` changed. Returns how to stop. */
  subscribe(namespace: string, cluster: string, changed: () => void): () => void;
}

/** True when the token may read the fleet's map. Called for every request; use {@link sameToken} to compare. */
export type Authorize = (token: string, namespace: string, cluster: string) => boolean | Promise<boolean>;

/** Takes the same time whatever the tokens have in common, their length included. */
export function sameToken(given: string, expected: string): boolean {
  return expected !== '' && timingSafeEqual(digest(given), digest(expected));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
