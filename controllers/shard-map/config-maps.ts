/**
 * The shard map in the cluster: one ConfigMap per page. They are made once, the header last, so a header means that the map
 * was complete; from then on a page is only ever changed by compare-and-swap, and one that is gone is a loss to report,
 * never something to make anew. Who is changing the map stands in an annotation of the header's ConfigMap: it is nothing
 * that readers of the map need to hear of. Pure.
 */
import { clusterLabels } from '#crds/api/names.ts';
import type { KubeObject, OwnerReference } from '#kernel/object.ts';
import type { ConfigMap } from '#kernel/resources.ts';
import type { ComingWriters } from '#sharding/coming.ts';
import { ShardingError } from '#sharding/errors.ts';
import type { ShardMap } from '#sharding/map.ts';
import { changedPages, fromPages, type MapPage, pageConfigMapName, toPages } from '#sharding/pages.ts';
import { sealedPages } from '#sharding/seal.ts';

/** On every page; its value is the page's id. */
export const pageAnnotation = 'shardwright.io/map-page';
/**
 * On the header while somebody changes the map. It begins with the uid of whoever does; after a slash it may say how, for whoever
 * has to finish it. All others leave the map alone.
 */
export const markAnnotation = 'shardwright.io/map-change';
/** Beside the mark: the writers' generations that the change will bring, for clients. JSON, see sharding/coming.ts. */
export const comingAnnotation = 'shardwright.io/map-coming';
/** Selects the pages of maps among all ConfigMaps. */
export const mapLabel = 'shardwright.io/part';
export const mapLabelValue = 'map';

export interface StoredMap {
  readonly map: ShardMap;
  readonly pages: readonly MapPage[];
  /** By page id. */
  readonly objects: ReadonlyMap<string, ConfigMap>;
  /** The mark of whoever is changing it. */
  readonly markedBy?: string;
}

export type MapFacts =
  /** No header: the map was never finished, or it is lost; who asks must know which. */
  | { readonly kind: 'Absent'; readonly strayPages: readonly ConfigMap[] }
  /** Sealed, whether or not somebody is about to change it. */
  | { readonly kind: 'Present'; readonly stored: StoredMap }
  /**
   * A change of several pages is under way, or was cut off. `raw` is a mixture of old and new: enough to finish the change, never
   * to act upon. `last` is the last whole map that this process saw.
   */
  | { readonly kind: 'InTransition'; readonly raw: StoredMap; readonly last?: StoredMap }
  | { readonly kind: 'Damaged'; readonly message: string; readonly remedy: string };

export function isMapPage(configMap: KubeObject): boolean {
  return configMap.metadata.labels?.[mapLabel] === mapLabelValue;
}

/** `configMaps`: the pages of one fleet, in any order. `last`: what is known from before. */
export function readMap(configMaps: readonly ConfigMap[], last?: StoredMap): MapFacts {
  const pages: MapPage[] = [];
  const objects = new Map<string, ConfigMap>();
  for (const configMap of configMaps) {
    const page = readPage(configMap);
    if (!page) {
      return {
        kind: 'Damaged',
        message: `ConfigMap ${configMap.metadata.name} is no page of a shard map any more`,
        remedy: `restore ConfigMap ${configMap.metadata.name} from a backup`,
      };
    }
    pages.push(page);
    objects.set(page.id, configMap);
  }
  const header = objects.get('header');
  if (!header) return { kind: 'Absent', strayPages: configMaps };
  const by = header.metadata.annotations?.[markAnnotation];
  const mark = by === undefined ? {} : { markedBy: by };
  try {
    if (sealedPages(pages)) {
      const map = last && samePages(last.pages, pages) ? last.map : fromPages(pages);
      return { kind: 'Present', stored: { map, pages, objects, ...mark } };
    }
    const raw = { map: fromPages(pages, { raw: true }), pages, objects, ...mark };
    return { kind: 'InTransition', raw, ...(last ? { last } : {}) };
  } catch (error) {
    if (!(error instanceof ShardingError)) throw error;
    return {
      kind: 'Damaged',
      message: error.message,
      remedy: 'restore the ConfigMaps of the map from a backup',
    };
  }
}

/** A mark that comes or goes changes no page. */
function samePages(before: readonly MapPage[], now: readonly MapPage[]): boolean {
  return before.length === now.length && changedPages(before, now).length === 0;
}

const read = new WeakMap<ConfigMap, MapPage>();

/** Undefined when the ConfigMap does not hold a page. Of one object always the same page: what is derived from it is kept by it. */
export function readPage(configMap: ConfigMap): MapPage | undefined {
  const known = read.get(configMap);
  if (known) return known;
  const { epoch, page } = configMap.data ?? {};
  const id = configMap.metadata.annotations?.[pageAnnotation];
  if (!id || page === undefined || !/^[1-9]\d*$/.test(epoch ?? '')) return undefined;
  const fresh = { id, epoch: Number(epoch), data: page };
  read.set(configMap, fresh);
  return fresh;
}

/** Pages of a new map, in the order to create them: the header last. */
export function newPages(map: ShardMap, owner: OwnerReference): readonly ConfigMap[] {
  return toPages(map).map(page => pageObject(map, page, [owner]));
}

export interface PageWrites {
  /** Pages that the map did not have. */
  readonly created: readonly ConfigMap[];
  readonly replaced: readonly ConfigMap[];
  /** Absent when nothing changes: it changes with any other page, as it seals them. */
  readonly header?: ConfigMap;
}

/** What must be written so that `next` is stored. Replacing is compare-and-swap. */
export function pageWrites(stored: StoredMap, next: ShardMap): PageWrites {
  const owners = stored.objects.get('header')?.metadata.ownerReferences ?? [];
  const created: ConfigMap[] = [];
  const replaced: ConfigMap[] = [];
  let header: ConfigMap | undefined;
  for (const page of changedPages(stored.pages, toPages(next, stored.pages, stored.map))) {
    const old = stored.objects.get(page.id);
    if (!old) created.push(pageObject(next, page, owners));
    else if (page.id === 'header') header = { ...old, data: dataOf(page) };
    else replaced.push({ ...old, data: dataOf(page) });
  }
  return { created, replaced, ...(header ? { header } : {}) };
}

/** The uid in a mark. */
export function markerOf(mark: string): string {
  return mark.split('/', 1)[0] ?? mark;
}

/** The header's ConfigMap with another mark, or without one. */
export function marked(header: ConfigMap, by: string | undefined, coming?: ComingWriters): ConfigMap {
  const {
    [markAnnotation]: _mark,
    [comingAnnotation]: _coming,
    ...annotations
  } = header.metadata.annotations ?? {};
  const next = {
    ...annotations,
    ...(by === undefined ? {} : { [markAnnotation]: by }),
    ...(coming === undefined ? {} : { [comingAnnotation]: JSON.stringify(coming) }),
  };
  return { ...header, metadata: { ...header.metadata, annotations: next } };
}

function pageObject(map: ShardMap, page: MapPage, ownerReferences: readonly OwnerReference[]): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: pageConfigMapName(map.cluster, page.id),
      namespace: map.namespace,
      labels: { ...clusterLabels(map.cluster), [mapLabel]: mapLabelValue },
      annotations: { [pageAnnotation]: page.id },
      ownerReferences: [...ownerReferences],
    },
    data: dataOf(page),
  };
}

function dataOf(page: MapPage): { epoch: string; page: string } {
  return { epoch: String(page.epoch), page: page.data };
}
