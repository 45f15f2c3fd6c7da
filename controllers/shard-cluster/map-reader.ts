/** Maps as the cache has their pages, decoded once per state: a large map is megabytes. */
import { byCluster, type Caches, indexKey } from '#controllers/caches.ts';
import type { Request } from '#kernel/source.ts';
import { isMapPage, type MapFacts, readMap } from './map-config-maps.ts';

export class MapReader {
  readonly #configMaps: Caches['configMaps'];
  readonly #known = new Map<string, { readonly versions: string; readonly facts: MapFacts }>();

  constructor(configMaps: Caches['configMaps']) {
    this.#configMaps = configMaps;
  }

  read(request: Request): MapFacts {
    const key = indexKey(request.namespace, request.name);
    const pages = this.#configMaps.byIndex(byCluster, key).filter(isMapPage);
    const versions = pages
      .map(({ metadata }) => `${metadata.name}@${metadata.uid}@${metadata.resourceVersion}`)
      .toSorted()
      .join();
    const known = this.#known.get(key);
    if (known?.versions === versions) return known.facts;
    const facts = readMap(pages);
    this.#known.set(key, { versions, facts });
    return facts;
  }

  forget(request: Request): void {
    this.#known.delete(indexKey(request.namespace, request.name));
  }
}
