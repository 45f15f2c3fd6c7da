/**
 * The shard map in the cluster: one ConfigMap per page. They are made once, the header last, so a header means that the map
 * was complete; from then on a page is only ever changed by compare-and-swap, and one that is gone is a loss to report,
 * never something to make anew. Pure.
 */
import { clusterLabels } from '#crds/api/names.ts';
import type { KubeObject, OwnerReference } from '#kernel/object.ts';
import type { ConfigMap } from '#kernel/resources.ts';
import { ShardingError } from '#sharding/errors.ts';
import type { ShardMap } from '#sharding/map.ts';
import { changedPages, fromPages, type MapPage, pageConfigMapName, toPages } from '#sharding/pages.ts';

/** On every page; its value is the page's id. */
export const pageAnnotation = 'shardwright.io/map-page';
/** Selects the pages of maps among all ConfigMaps. */
export const mapLabel = 'shardwright.io/part';
export const mapLabelValue = 'map';

export interface StoredMap {
  readonly map: ShardMap;
  readonly pages: readonly MapPage[];
  /** By page id. */
  readonly objects: ReadonlyMap<string, ConfigMap>;
}

export type MapFacts =
  /** No header: the map was never finished, or it is lost; who asks must know which. */
  | { readonly kind: 'Absent'; readonly strayPages: readonly ConfigMap[] }
  | { readonly kind: 'Present'; readonly stored: StoredMap }
  | { readonly kind: 'Damaged'; readonly message: string; readonly remedy: string };

export function isMapPage(configMap: KubeObject): boolean {
  return configMap.metadata.labels?.[mapLabel] === mapLabelValue;
}

/** `configMaps`: the pages of one fleet, in any order. */
export function readMap(configMaps: readonly ConfigMap[]): MapFacts {
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
  if (!objects.has('header')) return { kind: 'Absent', strayPages: configMaps };
  try {
    return { kind: 'Present', stored: { map: fromPages(pages), pages, objects } };
  } catch (error) {
    if (!(error instanceof ShardingError)) throw error;
    return {
      kind: 'Damaged',
      message: error.message,
      remedy: 'restore the ConfigMaps of the map from a backup',
    };
  }
}

/** Undefined when the ConfigMap does not hold a page. */
export function readPage(configMap: ConfigMap): MapPage | undefined {
  const { epoch, page } = configMap.data ?? {};
  const id = configMap.metadata.annotations?.[pageAnnotation];
  if (!id || page === undefined || !/^[1-9]\d*$/.test(epoch ?? '')) return undefined;
  return { id, epoch: Number(epoch), data: page };
}

/** Pages of a new map, in the order to create them: the header last. */
export function newPages(map: ShardMap, owner: OwnerReference): readonly ConfigMap[] {
  const pages = toPages(map);
  return [...pages.filter(page => page.id !== 'header'), ...pages.filter(page => page.id === 'header')].map(
    page => pageObject(map, page, owner),
  );
}

/** ConfigMaps to replace (or, for a page that the map did not have, create) so that `next` is stored. */
export function pageChanges(
  stored: StoredMap,
  next: ShardMap,
  owner: OwnerReference,
): readonly { readonly object: ConfigMap; readonly exists: boolean }[] {
  return changedPages(stored.pages, toPages(next, stored.pages)).map(page => {
    const old = stored.objects.get(page.id);
    const object = pageObject(next, page, owner);
    const resourceVersion = old?.metadata.resourceVersion;
    if (!resourceVersion) return { object, exists: false };
    return { object: { ...object, metadata: { ...object.metadata, resourceVersion } }, exists: true };
  });
}

function pageObject(map: ShardMap, page: MapPage, owner: OwnerReference): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: pageConfigMapName(map.cluster, page.id),
      namespace: map.namespace,
      labels: { ...clusterLabels(map.cluster), [mapLabel]: mapLabelValue },
      annotations: { [pageAnnotation]: page.id },
      ownerReferences: [owner],
    },
    data: { epoch: String(page.epoch), page: page.data },
  };
}
