/** Everything a decision about a fleet is made from. Gathered anew on every pass, from caches and from Secrets by name. */
import type { MapFacts } from '#controllers/shard-map/config-maps.ts';
import type { Shard } from '#crds/api/shard.ts';
import { parseShardCluster, type ShardCluster } from '#crds/api/shard-cluster.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { MigrationUse } from './migrations.ts';
import type { RecoveryPlan } from './recovery/decide.ts';

export interface ClusterFacts {
  readonly cluster: ShardCluster;
  /** Those that exist, in the order of their ordinals. */
  readonly shards: readonly Shard[];
  readonly map: MapFacts;
  readonly migrations: MigrationUse;
  readonly nodesByRegion: ReadonlyMap<string, number>;
  /** True without spec.storage.storageClassName. */
  readonly storageClassExists: boolean;
  readonly schema: SchemaFacts;
  /** Secrets that a running fleet cannot do without and that are not there, or not whole. */
  readonly missingSecrets: readonly string[];
  /** With spec.bootstrap.recovery: how far it is, or what is left of it. */
  readonly recovery?: RecoveryPlan | undefined;
}

export type SchemaFacts =
  | { readonly kind: 'None' }
  | { readonly kind: 'Missing'; readonly message: string }
  | { readonly kind: 'Present'; readonly hash: string };

const parsed = new WeakMap<KubeObject, ShardCluster>();

/** Parses once per state of the object. Throws InvalidObjectError. */
export function clusterOf(raw: KubeObject): ShardCluster {
  const known = parsed.get(raw);
  if (known) return known;
  const cluster = parseShardCluster(raw);
  parsed.set(raw, cluster);
  return cluster;
}
