/** What the map service reads from: the ConfigMaps of shard maps, as this replica's own watch has them. */
import type { ShardMap } from '#sharding/map.ts';

export interface MapStore {
  /** The fleet's newest map whose pages are all there, or undefined when there is none. */
  current(namespace: string, cluster: string): ShardMap | undefined;
  /** Calls back after `current` gives another map (or none). Returns how to stop. */
  subscribe(namespace: string, cluster: string, changed: () => void): () => void;
}

/** True when the token may read the fleet's map. Called for every request; `sameToken` compares in constant time. */
export type Authorize = (token: string, namespace: string, cluster: string) => boolean | Promise<boolean>;
