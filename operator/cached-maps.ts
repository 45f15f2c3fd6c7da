/** The map service's view of shard maps: the pages as this replica's own watch has them. */

import { byCluster, type Caches, indexKey } from '#controllers/caches.ts';
import { comingAnnotation, isMapPage, readPage } from '#controllers/shard-map/config-maps.ts';
import { labels } from '#crds/api/names.ts';
import { type ComingWriters, nothingComing, parseComing } from '#sharding/coming.ts';
import type { MapPage } from '#sharding/pages.ts';
import type { MapPages } from './map-service/map-pages.ts';

type PageCache = Pick<Caches['configMaps'], 'byIndex' | 'subscribe'>;

export class CachedMaps implements MapPages, Disposable {
  readonly #configMaps: PageCache;
  readonly #listeners = new Map<string, Set<() => void>>();
  /** Until a page changes: the same array is given out. */
  readonly #pages = new Map<string, readonly MapPage[]>();
  readonly #coming = new Map<string, ComingWriters>();
  readonly #subscription: Disposable;

  constructor(configMaps: PageCache) {
    this.#configMaps = configMaps;
    this.#subscription = configMaps.subscribe(({ object, old }) => {
      const cluster = object.metadata.labels?.[labels.cluster];
      if (!isMapPage(object) || cluster === undefined) return;
      const key = indexKey(object.metadata.namespace, cluster);
      const announced =
        old?.metadata.annotations?.[comingAnnotation] !== object.metadata.annotations?.[comingAnnotation];
      const changed =
        old?.data?.['page'] !== object.data?.['page'] || old?.data?.['epoch'] !== object.data?.['epoch'];
      // A mark on the header, say, is nothing that a reader of the map could see.
      if (!announced && !changed) return;
      if (announced) this.#coming.delete(key);
      if (changed) this.#pages.delete(key);
      for (const tell of this.#listeners.get(key) ?? []) tell();
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

  coming(namespace: string, cluster: string): ComingWriters {
    const key = indexKey(namespace, cluster);
    const known = this.#coming.get(key);
    if (known) return known;
    const announced = this.#configMaps
      .byIndex(byCluster, key)
      .find(object => isMapPage(object) && object.metadata.annotations?.[comingAnnotation] !== undefined);
    const text = announced?.metadata.annotations?.[comingAnnotation];
    const coming = text === undefined ? nothingComing : parseComing(text);
    this.#coming.set(key, coming);
    return coming;
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
