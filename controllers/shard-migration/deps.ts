/** What the ShardMigration controller works with: small seams, so that its whole logic runs in memory too. */
import type { MapStore } from '#controllers/shard-map/map-store.ts';
import type { ShardMigrationStatus } from '#crds/api/migration/status.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ConnectTarget, MemberFacts } from '#engines/engine.ts';
import type { OpenTransfer } from '#engines/migration.ts';
import type { Clock } from '#kernel/clock.ts';
import type { EventRecorder } from '#kernel/events.ts';
import type { KubeObject, ObjectKey } from '#kernel/object.ts';
import type { StoreEvent } from '#kernel/reflector.ts';
import type { Request } from '#kernel/source.ts';
import type { Action } from './decision.ts';
import type { InTurn } from './in-turn.ts';
import type { MigrationMetrics } from './metrics.ts';
import type { StatusMemory } from './status-memory.ts';

export interface MigrationDeps {
  readonly caches: MigrationCaches;
  readonly objects: MigrationObjects;
  readonly shards: ShardAccess;
  readonly maps: Pick<MapStore, 'read' | 'mark' | 'announce' | 'hindrance' | 'unmark' | 'publish'>;
  readonly statuses: StatusMemory;
  readonly planning: InTurn;
  readonly events: Pick<EventRecorder, 'emit' | 'conditionsChanged'>;
  readonly metrics: Pick<MigrationMetrics, 'writeStall' | 'cutoversUndone' | 'copiesRestarted' | 'ended'>;
  readonly clock: Clock;
  /** Of a session in which something is observed and changed. */
  readonly sessionMs: number;
  /** Of a session in which rows are compared. */
  readonly comparisonMs: number;
  /** Called before each action, for tests that end a pass between two of them. */
  readonly onAction?: (action: Action) => void;
}

/** Copies of what the API server has, as far as they are read. */
export interface MigrationCaches {
  readonly shardMigrations: WatchedObjects;
  readonly shardClusters: { get(key: ObjectKey): KubeObject | undefined };
  readonly shards: { byIndex(index: string, value: string): readonly KubeObject[] };
  readonly nodes: { values(): Iterable<KubeObject> };
  readonly storageClasses: { values(): Iterable<KubeObject> };
}

export interface WatchedObjects {
  get(key: ObjectKey): KubeObject | undefined;
  values(): Iterable<KubeObject>;
  subscribe(handler: (event: StoreEvent<KubeObject>) => void): Disposable;
}

/** What is written to ShardMigrations. Throws KubeError. */
export interface MigrationObjects {
  /** As the API server has it now, past every cache. */
  live(raw: KubeObject, signal: AbortSignal): Promise<KubeObject | undefined>;
  /** Returns the object as it is then; undefined when nothing was changed, or it is gone. */
  setFinalizer(raw: KubeObject, wanted: boolean, signal: AbortSignal): Promise<KubeObject | undefined>;
  /** The whole status, over this version of the object: a ConflictError when it has another by now. Returns the object with it. */
  applyStatus(
    raw: KubeObject,
    status: ShardMigrationStatus,
    over: string | undefined,
    signal: AbortSignal,
  ): Promise<KubeObject>;
}

/** Shards, and how their databases are reached. */
export interface ShardAccess {
  /** Undefined when there is no such Shard. */
  find(key: Request): { readonly shard: Shard; readonly members: readonly MemberFacts[] } | undefined;
  /** Throws CredentialsMissingError, KubeError. */
  connectTarget(shard: Shard, primary: MemberFacts, signal: AbortSignal): Promise<ConnectTarget>;
  /** Undefined for an engine that cannot move data. */
  openTransfer(of: { readonly spec: Pick<Shard['spec'], 'engine'> }): OpenTransfer | undefined;
}
