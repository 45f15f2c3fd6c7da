/** A MapPages whose pages a test sets. */
import { type ComingWriters, nothingComing } from '#sharding/coming.ts';
import type { ShardMap } from '#sharding/map.ts';
import { type MapPage, toPages } from '#sharding/pages.ts';
import type { MapPages } from '../map-pages.ts';

export class MemoryMapPages implements MapPages {
  readonly #pages = new Map<string, readonly MapPage[]>();
  readonly #coming = new Map<string, ComingWriters>();
  readonly #listeners = new Map<string, Set<() => void>>();

  pages(namespace: string, cluster: string): readonly MapPage[] | undefined {
    return this.#pages.get(`${namespace}/${cluster}`);
  }

  coming(namespace: string, cluster: string): ComingWriters {
    return this.#coming.get(`${namespace}/${cluster}`) ?? nothingComing;
  }

  subscribe(namespace: string, cluster: string, changed: () => void): () => void {
    const name = `${namespace}/${cluster}`;
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(changed));
    return () => listeners.delete(changed);
  }

  /** Stores a map as its controller would: pages that did not change keep their epoch. */
  setMap(map: ShardMap): void {
    this.setPages(map.namespace, map.cluster, toPages(map, this.pages(map.namespace, map.cluster)));
  }

  /** Undefined deletes the map. */
  setPages(namespace: string, cluster: string, pages: readonly MapPage[] | undefined): void {
    const name = `${namespace}/${cluster}`;
    if (pages === undefined) this.#pages.delete(name);
    else this.#pages.set(name, pages);
    this.#tell(name);
  }

  announce(namespace: string, cluster: string, coming: ComingWriters): void {
    const name = `${namespace}/${cluster}`;
    this.#coming.set(name, coming);
    this.#tell(name);
  }

  listeners(namespace: string, cluster: string): number {
    return this.#listeners.get(`${namespace}/${cluster}`)?.size ?? 0;
  }

  #tell(name: string): void {
    for (const listener of this.#listeners.get(name) ?? []) listener();
  }
}
