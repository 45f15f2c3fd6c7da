/**
 * The newest whole map of each fleet. A change of several pages reaches a watch one page at a time: pages that do not belong
 * together, or that make no map, are never served; the last set that did is.
 */
import { digestOf } from '#sharding/delta.ts';
import { ShardingError } from '#sharding/errors.ts';
import { epochOf, fromPages, type MapPage } from '#sharding/pages.ts';
import { sealedPages } from '#sharding/seal.ts';
import type { MapPages } from './map-pages.ts';

export interface Snapshot {
  readonly pages: readonly MapPage[];
  readonly epoch: number;
  readonly digest: string;
}

/** `none`: there is no such map. `broken`: there are pages, but never was the map whole while this replica ran. */
export type Lookup =
  | { readonly kind: 'found'; readonly snapshot: Snapshot }
  | { readonly kind: 'none' }
  | { readonly kind: 'broken'; readonly problem: ShardingError };

export class Snapshots {
  readonly #store: MapPages;
  readonly #last = new Map<string, { readonly seen: readonly MapPage[]; readonly lookup: Lookup }>();

  constructor(store: MapPages) {
    this.#store = store;
  }

  get(namespace: string, cluster: string): Lookup {
    const name = `${namespace}/${cluster}`;
    const pages = this.#store.pages(namespace, cluster);
    if (pages === undefined || pages.length === 0) {
      this.#last.delete(name);
      return { kind: 'none' };
    }
    const last = this.#last.get(name);
    if (last?.seen === pages) return last.lookup;
    const lookup = check(pages, last?.lookup);
    this.#last.set(name, { seen: pages, lookup });
    return lookup;
  }
}

function check(stored: readonly MapPage[], last: Lookup | undefined): Lookup {
  try {
    fromPages(stored);
    const pages = sealedPages(stored) ?? stored;
    return { kind: 'found', snapshot: { pages, epoch: epochOf(pages), digest: digestOf(pages) } };
  } catch (error) {
    if (!(error instanceof ShardingError)) throw error;
    return last?.kind === 'found' ? last : { kind: 'broken', problem: error };
  }
}
