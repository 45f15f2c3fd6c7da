/**
 * Moving a part of one shard's data to another shard, as verbs that a controller calls in whatever order the facts ask for. No
 * verb trusts what an earlier one reported: `observe` reads both databases anew, and every verb can be called again after it
 * was cut off anywhere. What has been decided stands in the databases (docs/adr/0003-moving-data.md). Engines whose database
 * moves its own data (`capabilities.movesOwnData`) drive it behind the same verbs.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { KeyType } from '#sharding/key.ts';
import type { Partition } from '#sharding/partition.ts';
import type { ConnectTarget } from './engine.ts';

/** The shard that has the data at first, and the one that is to have it. */
export type End = 'source' | 'target';

/** A sharded table; all of them move together. */
export interface TransferTable {
  /** `schema.table`, or a table of schema public. */
  readonly name: string;
  /** Column with the shard key. */
  readonly key: string;
}

export interface Transfer {
  /** Names all that it makes in both databases. Lower-case letters and digits, at most 20, unique in the fleet for ever. */
  readonly id: string;
  /** The ShardMigration, for messages to people. */
  readonly migration: string;
  readonly keyType: KeyType;
  /** What moves. */
  readonly partition: Partition;
  /** The partition is all that the source owns: no filter is needed, and its rows need not be deleted afterwards. */
  readonly whole: boolean;
  /** The target owns nothing: what is in its sharded tables is this transfer's own. */
  readonly targetEmpty: boolean;
  readonly tables: readonly TransferTable[];
  /** With geo: the column that holds the region. */
  readonly regionColumn?: string;
  /** How the first copy is to be made; as the database makes it if absent. It may change while the copy is made. */
  readonly pace?: CopyPace;
}

/** Limits of a first copy. */
export interface CopyPace {
  /** Sessions that copy at once. */
  readonly parallel: number;
  /** Bytes of rows in a second, of all sessions together; as many as there are if absent. */
  readonly maxBytesPerSecond?: number;
  /** Write-ahead log that a replica of the source may be behind before the copy slows down, in bytes. */
  readonly maxReplicaLagBytes: number;
  /** How long a commit at the source may take before the copy slows down, in milliseconds. */
  readonly maxCommitLatencyMs: number;
}

export interface TransferEnd {
  readonly shard: Shard;
  readonly target: ConnectTarget;
  /** Names of the replicas' pods that are ready: streams run no further than they do, so that a fail-over loses nothing. */
  readonly standbys: readonly string[];
  /** Where the other end's database reaches this one; the shard's read-write Service if absent. For tests. */
  readonly peer?: { readonly host: string; readonly port: number; readonly rootCertificate: string };
}

/** Generations of the two ends around one switch: `from` is in force before it, `to` after it. */
export interface Switch {
  readonly side: 'read' | 'write';
  /** Who gains: `target`, or `source` when rolling back. */
  readonly to: End;
  readonly generations: Readonly<Record<End, { readonly from: number; readonly to: number }>>;
}

export interface FenceLimits {
  /** Longest wait for a lock before another try, in milliseconds. */
  readonly lockTimeoutMs: number;
  /** Longest time that writes may wait in all, in milliseconds: beyond it the fence undoes itself. */
  readonly maxStallMs: number;
}

/** For whoever tells others of a switch: before writers have to wait, and what came of it. */
export interface FenceNotice {
  /** Called once the next writers of both ends can log in. */
  readonly opened: () => Promise<void>;
  /** How long the fence waits then, in milliseconds. */
  readonly leadMs: number;
  /**
   * Asked right before writers have to wait, each time: why nobody could be told of the outcome at this moment; undefined when all could.
   * They would wait for as long as that lasts.
   */
  readonly hindrance: () => Promise<string | undefined>;
}

export type FenceResult =
  /** The decision is committed; stallMs: how long writers waited, from the first lock to the commit. */
  | { readonly kind: 'Fenced'; readonly stallMs: number; readonly tries: number }
  /** Nothing was changed. */
  | { readonly kind: 'Undone'; readonly reason: string; readonly message: string };

export interface Finding {
  /** Stable name of the check, in CamelCase, as it can be listed in spec.preflight.ignore. */
  readonly check: string;
  readonly severity: 'error' | 'warning';
  /** An error that a person may accept by listing it in spec.preflight.ignore. A warning always can be. */
  readonly overridable?: boolean;
  /** What is wrong, and where. */
  readonly message: string;
  /** What to do about it. */
  readonly remedy: string;
}

/** What would be moved, estimated from statistics. */
export interface Estimate {
  readonly rows: number;
  readonly bytes: number;
}

export type StreamFacts =
  | { readonly kind: 'Absent' }
  /** The first copy: tables still to be copied are counted from their present size. */
  | {
      readonly kind: 'Copying';
      readonly rowsDone: number;
      readonly rowsTotal: number;
      readonly bytesDone: number;
      readonly bytesTotal: number;
    }
  /** lagBytes: write-ahead log that the follower has not confirmed yet. connected: a walsender is at work for it. */
  | { readonly kind: 'Streaming'; readonly lagBytes: number; readonly connected: boolean }
  /** It can only be made again: its slot is lost or its worker fails for good. */
  | { readonly kind: 'Broken'; readonly reason: string; readonly message: string };

export interface EndFacts {
  /** All that `prepare` makes is there. */
  readonly prepared: boolean;
  /** Everything of this transfer that is there, in words: `publication sw_x_forward`. Empty before and after it. */
  readonly traces: readonly string[];
  /** Generations whose logins are open. */
  readonly writers: readonly number[];
  readonly readers: readonly number[];
  /** Logins of older generations that may finish what they began. */
  readonly superseded: readonly string[];
  /** Age of the oldest transaction that holds a lock on a moving table, in seconds. */
  readonly oldestTransactionSeconds: number;
  /** WAL that the slowest ready replica has not replayed, in bytes. */
  readonly replicaLagBytes: number;
}

export interface TransferFacts {
  readonly ends: Readonly<Record<End, EndFacts>>;
  /** From source to target, and back. */
  readonly forward: StreamFacts;
  readonly back: StreamFacts;
  /** The forward stream was verified, since it was last made; and the back stream since writes are the target's. */
  readonly verified: { readonly forward?: string; readonly back?: string };
  /** Who may write what moves, by the databases' own decision records. */
  readonly writes: End;
  /** When the last decision was committed, as an ISO time, how long it held up writers, and the generations it made. */
  readonly decided?: {
    readonly at: string;
    readonly stallMs: number;
    readonly generations: Readonly<Record<End, number>>;
  };
}

export interface Verification {
  readonly matches: boolean;
  readonly rows: number;
  /** At most a few: table, key and what differs. */
  readonly differences: readonly string[];
}

/** Sessions with the primaries of both ends. Every call takes the session's deadline. Throws EngineError. */
export interface TransferSession extends AsyncDisposable {
  /** Looks only. */
  preflight(): Promise<{ readonly findings: readonly Finding[]; readonly estimate: Estimate }>;
  observe(): Promise<TransferFacts>;
  /** On both ends: what hides moving rows from clients, what refuses DDL, TRUNCATE and changes of keys, publications, the journal. */
  prepare(): Promise<void>;
  /** Begins the first copy and the stream after it. Needs `forward` Absent. */
  startForward(): Promise<void>;
  /**
   * Ends the forward stream and deletes what it copied. True when done; call again otherwise. Until then `forward` is Broken, also
   * when the stream itself is gone: a copy over what is left of another would run into it.
   */
  dropForward(): Promise<boolean>;
  /** Makes the stream back, or makes it anew when it is Broken: before the cutover nothing depends on it. */
  startBack(): Promise<void>;
  /** Compares content by hash while both ends go on; a difference is reported only when it is no matter of lag. */
  verify(stream: 'forward' | 'back', mode: 'Full' | 'Sample'): Promise<Verification>;
  /** Opens the next generation's logins on both ends, each seeing what it will own. Only for `side: 'read'`. */
  openReaders(change: Switch): Promise<void>;
  /** Closes the loser's older readers at once; the gainer's become superseded. After the map says so. */
  closeReaders(change: Switch): Promise<void>;
  /**
   * Takes writes from one end and gives them to the other, in one decision. When the decision stands already, only finishes
   * what follows from it. The map is the caller's to publish right afterwards.
   */
  fence(change: Switch, limits: FenceLimits, notice?: FenceNotice): Promise<FenceResult>;
  /** Closes superseded logins whose sessions are idle. Returns how many remain. */
  closeSuperseded(): Promise<number>;
  /** Until now it was the caller's duty that nothing is lost; from here on the rows at `loser` go, in batches. True when nothing is left. */
  cleanUp(loser: End | undefined): Promise<boolean>;
}

/** Opens sessions with both ends; an end that is gone for good (its Shard was deleted) is left out, for `cleanUp` only. */
export type OpenTransfer = (
  transfer: Transfer,
  ends: { readonly source?: TransferEnd; readonly target?: TransferEnd },
  signal: AbortSignal,
) => Promise<TransferSession>;
