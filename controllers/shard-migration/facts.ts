/**
 * Everything that a decision about a migration is made from: gathered anew on every pass from caches and from both databases of
 * each transfer. What an earlier pass believed is not among it, except for the plan, which stands in the status.
 */
import type { MigrationTransfer, ShardMigrationStatus } from '#crds/api/migration/status.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { parseShardMigration, type ShardMigration } from '#crds/api/shard-migration.ts';
import type { End, TransferFacts } from '#engines/migration.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { ShardMap } from '#sharding/map.ts';

export interface MigrationFacts {
  readonly migration: ShardMigration;
  /** The newest status, which the cache may not show yet. */
  readonly status: ShardMigrationStatus;
  /** Undefined while there is none of that name, and when it is on its way out. */
  readonly cluster: ShardCluster | undefined;
  /** The fleet's database can move data. */
  readonly supported: boolean;
  readonly map: MapView | undefined;
  /** Those that the fleet has, by name. */
  readonly shards: ReadonlyMap<string, ShardView>;
  /** Of the same fleet, not ended yet. */
  readonly others: readonly OtherMigration[];
  /** Regions that have a node. */
  readonly regions: ReadonlySet<string>;
  /** Those that there are, by name. */
  readonly storageClasses: ReadonlySet<string>;
  /** As planned, in the order of the plan; empty before. */
  readonly transfers: readonly TransferView[];
}

export interface MapView {
  readonly map: ShardMap;
  /** Who is about to change it, and how (mark.ts). */
  readonly markedBy?: string | undefined;
  /** What was marked is half written: `map` is what was before, and only finishing that change is allowed. */
  readonly halfWritten?: boolean;
}

export interface ShardView {
  readonly name: string;
  /** Ready: its primary serves, and under strong consistency a synchronous standby is there. Else why not. */
  readonly ready: boolean;
  readonly message: string;
  /** The same on two shards when they have the same schema files. */
  readonly schema: string;
  /** Not all of spec.schema is applied. */
  readonly schemaPending: boolean;
  /** Of its volumes; undefined for the cluster's default class. */
  readonly storageClassName?: string | undefined;
}

/** Another migration, as far as this one must know it. */
export interface OtherMigration {
  readonly name: string;
  readonly older: boolean;
  /** Its plan stands: it goes first. */
  readonly planned: boolean;
  /** It will be planned as soon as it can, without a person. */
  readonly queued: boolean;
  /** Shards that it names. */
  readonly shards: readonly string[];
  readonly waitingFor: string | undefined;
}

/** Who owns what a transfer moves: `other` when a third shard does, or several. */
export type Owner = End | 'other';

export interface TransferView {
  readonly plan: MigrationTransfer;
  readonly observed: Observed;
  /** By the map; undefined while it lacks one of the two shards. */
  readonly owners: { readonly read: Owner; readonly write: Owner } | undefined;
}

/** A transfer of which everything is known. */
export interface Known {
  readonly view: TransferView;
  readonly transfer: TransferFacts;
}

export type Observed =
  | { readonly kind: 'Facts'; readonly facts: TransferFacts }
  /** Nothing is known now; why, in words. */
  | { readonly kind: 'Unreachable'; readonly message: string }
  /** Shards that were deleted; nothing is known of the other one. */
  | { readonly kind: 'Gone'; readonly ends: readonly End[] }
  /** The shard that is to be the target is still to be made. */
  | { readonly kind: 'TargetToCome' };

/** On every ShardMigration that has touched something. */
export const FINALIZER = 'shardwright.io/migration';

export const ENDED: ReadonlySet<string> = new Set(['Completed', 'Aborted', 'RolledBack', 'Failed']);

const parsed = new WeakMap<KubeObject, ShardMigration>();

/** Parses once per state of the object. Throws InvalidObjectError. */
export function migrationOf(raw: KubeObject): ShardMigration {
  const known = parsed.get(raw);
  if (known) return known;
  const migration = parseShardMigration(raw);
  parsed.set(raw, migration);
  return migration;
}

export function shardOfEnd(plan: MigrationTransfer, end: End): string {
  return end === 'source' ? plan.source : plan.target;
}

export function otherEnd(end: End): End {
  return end === 'source' ? 'target' : 'source';
}

/** For messages: `social-0 -> social-4`. */
export function nameOf({ plan }: Pick<TransferView, 'plan'>): string {
  return `${plan.source} -> ${plan.target}`;
}
