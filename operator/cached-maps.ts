/** The map service's view of shard maps: this replica's own watch, decoded when somebody asks and a page has changed. */

import type { Caches } from '#controllers/caches.ts';
import { isMapPage } from '#controllers/shard-cluster/map-config-maps.ts';
import type { MapReader } from '#controllers/shard-cluster/map-reader.ts';
import { labels } from '#crds/api/names.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { ShardMap } from '#sharding/map.ts';
import type { MapStore } from './map-service/map-store.ts';

export class CachedMaps implements MapStore, Disposable {
  readonly #reader: MapReader;
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #subscription: Disposable;
  /** A change writes several pages: in between they do not fit together, and the last whole map stays good. */
  readonly #last = new Map<string, ShardMap>();

  constructor(configMaps: Caches['configMaps'], reader: MapReader) {
    this.#reader = reader;
    this.#subscription = configMaps.subscribe(({ object }) => {
      const cluster = object.metadata.labels?.[labels.cluster];
      if (!isMapPage(object) || cluster === undefined) return;
      for (const changed of this.#listeners.get(`${object.metadata.namespace ?? ''}/${cluster}`) ?? [])
        changed();
    });
  }

  current(namespace: string, cluster: string): ShardMap | undefined {
    const key = `${namespace}/${cluster}`;
    const facts = this.#reader.read({ namespace, name: cluster });
    switch (facts.kind) {
      case 'Present':
        this.#last.set(key, facts.stored.map);
        return facts.stored.map;
      case 'Absent':
        // A head that is lost while its pages are there is no reason to leave clients without.
        if (facts.strayPages.length === 0) this.#last.delete(key);
        return this.#last.get(key);
      case 'Damaged':
        return this.#last.get(key);
      default:
        return assertNever(facts);
    }
  }

  subscribe(namespace: string, cluster: string, changed: () => void): () => void {
    const key = `${namespace}/${cluster}`;
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
