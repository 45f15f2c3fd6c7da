/** The map service's view of shard maps: the pages as this replica's own watch has them. */

import { byCluster, type Caches, indexKey } from '#controllers/caches.ts';
import { isMapPage, readPage } from '#controllers/shard-map/config-maps.ts';
import { labels } from '#crds/api/names.ts';
import type { MapPage } from '#sharding/pages.ts';
import type { MapPages } from './map-service/map-pages.ts';

type PageCache = Pick<Caches['configMaps'], 'byIndex' | 'subscribe'>;

export class CachedMaps implements MapPages, Disposable {
  readonly #configMaps: PageCache;
  readonly #listeners = new Map<string, Set<() => void>>();
  /** Until a page changes: the same array is given out. */
  readonly #pages = new Map<string, readonly MapPage[]>();
  readonly #subscription: Disposable;

  constructor(configMaps: PageCache) {
    this.#configMaps = configMaps;
    this.#subscription = configMaps.subscribe(({ object, old }) => {
      const cluster = object.metadata.labels?.[labels.cluster];
      if (!isMapPage(object) || cluster === undefined) return;
      // A mark on the header, say: nothing that a reader of the map could see.
      if (
        old &&
        old.data?.['page'] === object.data?.['page'] &&
        old.data?.['epoch'] === object.data?.['epoch']
      )
        return;
      const key = indexKey(object.metadata.namespace, cluster);
      this.#pages.delete(key);
      for (const changed of this.#listeners.get(key) ?? []) changed();
    });
  }

  pages(namespace: string, cluster: string): readonly MapPage[] | undefined {
    const key = indexKey(namespace, cluster);
    const known = this.#pages.get(key);
    if (known) return known;
    const objects = this.#configMaps.byIndex(byCluster, key).filter(isMapPage);
    if (objects.length === 0) return undefined;
    // What is no page any more is missing from the set, and the service keeps to the last whole map.
    const pages = objects.map(readPage).filter(page => page !== undefined);
    this.#pages.set(key, pages);
    return pages;
  }

  subscribe(namespace: string, cluster: string, changed: () => void): () => void {
    const key = indexKey(namespace, cluster);
    const listeners = this.#listeners.get(key) ?? new Set();
    listeners.add(changed);
    this.#listeners.set(key, listeners);
    return () => {
      listeners.delete(changed);
      if (listeners.size === 0) this.#listeners.delete(key);
    };
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}
