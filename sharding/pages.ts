/**
 * A map as pages: what is stored (one ConfigMap per page) and what is sent. A page is changed by one compare-and-swap
 * and carries the epoch of its last change. The map's epoch is the highest of its pages.
 */

/** Plain JSON. `data` is the page's content, deflated, in base64. */
export interface MapPage {
  /** `header`, `shards-<n>`, `slots-<n>` (geo: `slots-<region>-<n>`) or `entries-<n>` (range, directory). */
  readonly id: string;
  readonly epoch: number;
  readonly data: string;
}

/** Name of the ConfigMap that holds a page. */
export function pageConfigMapName(cluster: string, id: string): string {
  return id === 'header' ? `${cluster}-map` : `${cluster}-map-${id}`;
}
