/**
 * The seam between the controllers and a database. A controller branches on {@link Capabilities}, never on an
 * engine's name; an engine knows nothing of reconciling. Rendering and reading are pure; only a
 * {@link ShardSession} talks to a database.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { KubeObject } from '#kernel/object.ts';

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
  /** The pod's template is not the StatefulSet's newest. */
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
  /** Where the engine's own high availability keeps its state (for Patroni: Endpoints). */
  readonly endpoints: readonly KubeObject[];
}

/** Bytes that rendering must not make up itself: they live in Secrets. */
export interface RenderContext {
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Changes when the fleet's passwords or certificates do. */
  readonly secretsHash: string;
  /** The operator's own namespace and pod labels, for the NetworkPolicy. */
  readonly operator: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> };
}

export interface Engine {
  readonly type: string;
  readonly capabilities: Capabilities;
  /** The objects that a shard consists of, in the order to apply them. */
  render(shard: Shard, context: RenderContext): readonly KubeObject[];
  /** Names that the server certificate of the shard must carry. */
  serverNames(shard: Shard): readonly string[];
  members(shard: Shard, objects: ShardObjects): readonly MemberFacts[];
  /**
   * Settings that live in the engine's own store rather than in a rendered object, as one server-side apply patch, or
   * undefined when the store is not there yet or already agrees.
   */
  settings(shard: Shard, objects: ShardObjects): KubeObject | undefined;
  /**
   * The patch that frees a leader's lock, when the objects prove that the leader's process has ended; else undefined.
   */
  releaseDeadLeader(shard: Shard, objects: ShardObjects, nodes: readonly KubeObject[]): KubeObject | undefined;
  connect(shard: Shard, target: ConnectTarget, signal: AbortSignal): Promise<ShardSession>;
}

export interface ConnectTarget {
  /** Address of the member (pod IP) and the name its certificate is checked against. */
  readonly host: string;
  readonly serverName: string;
  readonly ca: string;
  readonly passwords: { readonly superuser: string; readonly rest: string };
}

/** One file of `spec.schema`, in the order to apply. */
export interface SchemaFile {
  readonly name: string;
  readonly sql: string;
}

export interface AccessInput {
  readonly generation: number;
  readonly readerGeneration: number;
  readonly state: 'active' | 'readonly' | 'maintenance';
  readonly verifier: string;
  readonly referenceVerifier: string;
  readonly stableLogin: boolean;
}

export interface Broadcast {
  readonly version: bigint;
  readonly table: string;
  readonly change: unknown;
}

/** An administrative session with the shard's primary. Every call takes the session's deadline. */
export interface ShardSession extends AsyncDisposable {
  /** Creates or corrects logins, grants and the operator's own schema. Idempotent; returns what it changed. */
  ensureAccess(access: AccessInput): Promise<readonly string[]>;
  /** Applies the files not recorded yet, in order, each in a transaction. Throws {@link SchemaError} at the first failure. */
  applySchema(files: readonly SchemaFile[]): Promise<{ readonly applied: readonly string[] }>;
  /** Reference tables: the last version applied here, the log beyond a version, and applying one entry. */
  referenceVersion(): Promise<bigint>;
  broadcastsSince(version: bigint, limit: number): Promise<readonly Broadcast[]>;
  applyBroadcast(entry: Broadcast): Promise<void>;
  statistics(): Promise<ShardStatistics>;
  /** Restarts one member's process (not its pod). */
  restart(member: string): Promise<void>;
  /** Promotes another member; resolves when it is primary. */
  switchover(from: string, to: string): Promise<void>;
}

export interface ShardStatistics {
  readonly sizeBytes: number;
  /** Per replica: bytes of WAL it has not replayed yet. */
  readonly lagBytes: Readonly<Record<string, number>>;
}
