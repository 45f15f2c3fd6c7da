/**
 * The seam between the controllers and a database. A controller branches on {@link Capabilities}, never on an
 * engine's name; an engine knows nothing of reconciling. Rendering and reading are pure; only a
 * {@link ShardSession} talks to a database.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { BackupEngine, OpenBackupSession } from './backup.ts';
import type { OpenTransfer } from './migration.ts';
import type { RecoveryEngine } from './recovery.ts';

export interface Capabilities {
  /** A member can be promoted on request, with no acknowledged write lost. */
  readonly switchover: boolean;
  /** Acknowledged writes can be held on two members (`consistency: strong`). */
  readonly synchronousReplication: boolean;
  /** The database moves its own data; a migration drives and verifies it instead of copying. */
  readonly movesOwnData: boolean;
  /** Types a shard key may have: those whose slot the database itself can compute. */
  readonly keyTypes: readonly string[];
}

export type MemberRole = 'primary' | 'replica' | 'unknown';

/** What the cluster's objects say of one member; no database was asked. */
export interface MemberFacts {
  readonly name: string;
  readonly role: MemberRole;
  readonly ready: boolean;
  /** A synchronous standby of the current primary: safe to promote under `consistency: strong`. */
  readonly synchronous: boolean;
  /** The pod's template is not the StatefulSet's newest: delete the pod to renew it (its strategy is OnDelete). */
  readonly outdated: boolean;
  /** Configuration that was applied takes effect only after a restart of the process. */
  readonly pendingRestart: boolean;
  readonly timeline?: number;
  readonly podIP?: string;
  readonly nodeName?: string;
}

/** The objects of one shard that reading needs, as the controller's caches hold them. */
export interface ShardObjects {
  readonly statefulSet?: KubeObject;
  readonly pods: readonly KubeObject[];
  /** Where the engine's own high availability keeps its state (for Patroni: Endpoints). They carry the shard's labels. */
  readonly endpoints: readonly KubeObject[];
}

/** Bytes that rendering must not make up itself: they live in Secrets. */
export interface RenderContext {
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** The operator's own namespace and pod labels, for the NetworkPolicy. */
  readonly operator: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> };
}

/**
 * A JSON merge patch (RFC 7386) of one object. Its body carries `metadata.resourceVersion`, which makes it a
 * compare-and-swap: a 409 means that somebody was faster and the facts must be read again.
 */
export interface MergePatch {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Engine {
  readonly type: string;
  readonly capabilities: Capabilities;
  /**
   * The objects that a shard consists of, in the order to apply them, whole: settings that the engine keeps in objects of
   * its own store (Patroni: an annotation of the Endpoints `<shard>-config`) are among them. Owner references are the
   * caller's to add, to every one of them, or the store would outlive the shard.
   */
  render(shard: Shard, context: RenderContext): readonly KubeObject[];
  /** Names that the server certificate of the shard must carry; the first is what administration checks for. */
  serverNames(shard: Shard): readonly string[];
  members(shard: Shard, objects: ShardObjects): readonly MemberFacts[];
  /**
   * The patch that frees a leader's lock, when the objects prove that the leader's process has ended; else undefined.
   * Worth asking at every change of a pod: it is what makes fail-over after a crash quick.
   */
  releaseDeadLeader(
    shard: Shard,
    objects: ShardObjects,
    nodes: readonly KubeObject[],
  ): MergePatch | undefined;
  /**
   * True when two states of a pod or of a store object differ only in what the engine writes every few seconds (positions,
   * times of renewal): such a change wakes no controller. Asked for every event, so it must be quick.
   */
  isHeartbeat(before: KubeObject, after: KubeObject): boolean;
  /** Opens an administrative session. Throws {@link UnreachableError}. */
  connect(shard: Shard, target: ConnectTarget, signal: AbortSignal): Promise<ShardSession>;
  /** Sessions with both ends of a transfer of data; absent where data cannot be moved yet. Throws {@link UnreachableError}. */
  readonly openTransfer?: OpenTransfer;
  /** Rendering and reading of backups; absent where there are none yet. */
  readonly backups?: BackupEngine;
  /** Present with `backups`. Throws {@link UnreachableError}. */
  readonly openBackupSession?: OpenBackupSession;
  /** Present with `backups`. */
  readonly recovery?: RecoveryEngine;
}

/** Where to reach a member: `host` is an address (pod IP), `name` the pod's. */
export interface MemberAddress {
  readonly name: string;
  readonly host: string;
}

export interface ConnectTarget {
  readonly primary: MemberAddress;
  /** PEM of the authority that signed the members' certificates; they are checked against `serverNames()[0]`. */
  readonly ca: string;
  readonly passwords: { readonly superuser: string; readonly rest: string };
  /** Where the engine's own ports are forwarded to; as they are if absent. */
  readonly ports?: { readonly sql: number; readonly rest: number };
}

/** One file of `spec.schema`, in the order to apply. */
export interface SchemaFile {
  readonly name: string;
  readonly sql: string;
}

/** A table as ShardCluster.spec.sharding.tables declares it; `name` may be `schema.table`. */
export interface DeclaredTable {
  readonly name: string;
  readonly reference: boolean;
}

export interface AccessInput {
  /** Writers log in as `app_g<generation>`, readers as `app_ro_g<readerGeneration>`; every other generation is fenced. */
  readonly generation: number;
  readonly readerGeneration: number;
  /** `readonly` takes writing from writers, `maintenance` takes reading from everybody as well. */
  readonly state: 'active' | 'readonly' | 'maintenance';
  /** What the shard owns, as the map encodes it; recorded in `shardwright.own`. */
  readonly partition: unknown;
  readonly tables: readonly DeclaredTable[];
  /** The engine's own form of a password, safe to store (PostgreSQL: a SCRAM-SHA-256 verifier). See `passwordVerifier`. */
  readonly verifier: string;
  readonly referenceVerifier: string;
  readonly stableLogin: boolean;
}

/** One change of a reference table: rows to insert or overwrite by primary key, or the keys of rows to delete. */
export type ReferenceChange =
  | { readonly upsert: readonly Readonly<Record<string, unknown>>[] }
  | { readonly delete: readonly Readonly<Record<string, unknown>>[] };

export interface Broadcast {
  /** 1, 2, 3, ... without gaps, per fleet. */
  readonly version: bigint;
  readonly table: string;
  readonly change: ReferenceChange;
}

/** An administrative session with the shard's primary. Every call takes the session's deadline. */
export interface ShardSession extends AsyncDisposable {
  /**
   * Creates or corrects logins, grants and the operator's own schema. Idempotent; returns what it changed, in words
   * without secrets. Call it before `applySchema`, and again when that applied something: new tables want grants.
   */
  ensureAccess(access: AccessInput): Promise<readonly string[]>;
  /** Applies the files not recorded yet, in order, each in a transaction. Throws {@link SchemaError} at the first failure. */
  applySchema(files: readonly SchemaFile[]): Promise<{ readonly applied: readonly string[] }>;
  /** Reference tables: the last version applied here, the log beyond a version (oldest first), and applying one entry. */
  referenceVersion(): Promise<bigint>;
  broadcastsSince(version: bigint, limit: number): Promise<readonly Broadcast[]>;
  /**
   * Applies the entry after the last one; an older one is left alone. Throws {@link BroadcastGapError} for a later one,
   * {@link ReferenceTableError} where the table is missing or another.
   */
  applyBroadcast(entry: Broadcast): Promise<void>;
  statistics(): Promise<ShardStatistics>;
  /**
   * Takes away what stayed with members from a time when another was primary, and that would hold things up: to be called once for each
   * change of primary. Idempotent. Replicas that do not answer are to be asked again.
   */
  sweep(replicas: readonly MemberAddress[]): Promise<SweepResult>;
  /** Restarts one member's process (not its pod). Throws {@link RestartError}. */
  restart(member: MemberAddress): Promise<void>;
  /** Promotes another member; resolves when the engine reports it done. Throws {@link SwitchoverError}. */
  switchover(from: MemberAddress, to: string): Promise<void>;
}

export interface SweepResult {
  /** What was taken away, in words. */
  readonly changes: readonly string[];
  /** Names of members that did not answer. */
  readonly unreached: readonly string[];
}

export interface ShardStatistics {
  readonly sizeBytes: number;
  /** Per replica: bytes of WAL it has not replayed yet. */
  readonly lagBytes: Readonly<Record<string, number>>;
}
