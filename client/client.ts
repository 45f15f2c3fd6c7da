/**
 * What an application holds. A client sends each statement to the shard that owns its key, follows the shard map as it
 * changes, and keeps working on its last map while the operator is away. A statement is repeated only when it provably
 * took no effect, or when repeating it is harmless; where neither is known the call ends in UnknownOutcomeError.
 */
import type { Key } from '#sharding/key.ts';
import type { ShardMap } from '#sharding/map.ts';
import type { Merge } from './merge.ts';
import type { Result, Row } from './result.ts';

/** In a geo-sharded fleet a key means something within its region only. */
export interface GeoKey {
  readonly region: string;
  readonly key: Key;
}

export type RoutingKey = Key | GeoKey;

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** For the whole call: waiting for a connection and repeating included. */
  readonly timeoutMs?: number;
}

export interface QueryOptions extends CallOptions {
  /** Read from a replica of the shard: may lag behind, works while the primary is away. */
  readonly read?: 'replica';
  /**
   * Repeating the statement is harmless, so it may be repeated when a connection broke in the middle. Plain reads are
   * recognised without it.
   */
  readonly idempotent?: boolean;
  /** Prepares the statement under this name and reuses it on the connection. */
  readonly name?: string;
}

export interface TransactionOptions extends CallOptions {
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable';
  readonly readOnly?: boolean;
  /** False: the callback has effects of its own and runs once; what would have been repeated is thrown. Default true. */
  readonly repeatable?: boolean;
}

/** One transaction on one shard. Valid until its callback settles. */
export interface Transaction {
  readonly shard: string;
  /** Rejects with the errors of a statement on its own, at once: what is repeated is the whole transaction. */
  query<R extends object = Row>(sql: string, params?: readonly unknown[]): Promise<Result<R>>;
}

/** Statements for the shard that owns a key, whichever it is at that time. */
export interface ShardScope {
  query<R extends object = Row>(
    sql: string,
    params?: readonly unknown[],
    options?: QueryOptions,
  ): Promise<Result<R>>;
  /**
   * Runs the callback between BEGIN and COMMIT; an error it throws rolls back and is rethrown. The callback runs again
   * when the shard refused it in a way that left nothing behind, so it must keep its effects inside the transaction.
   */
  transaction<T>(work: (transaction: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T>;
}

export interface ScatterOptions extends CallOptions {
  readonly params?: readonly unknown[];
  /** `parallel` (default): all shards at once, at most `concurrency`. `sequential`: one after the other, by ordinal. */
  readonly strategy?: 'parallel' | 'sequential';
  readonly concurrency?: number;
  /** How often the whole scatter starts over after an error that may pass. Default: while time allows. */
  readonly retries?: number;
  readonly read?: 'replica';
  readonly idempotent?: boolean;
}

export interface MergeOptions<R extends object, T> extends ScatterOptions {
  /** Turns the shards' results into one. */
  readonly merge: Merge<R, T>;
}

/** A table that is whole on every shard. */
export interface ReferenceTable {
  /** Inserts rows, or updates those whose primary key exists. Resolves when every shard has them. */
  upsert(rows: readonly Row[], options?: BroadcastOptions): Promise<BroadcastResult>;
  /** Deletes the rows with these primary keys, given as rows of the key's columns. */
  delete(keys: readonly Row[], options?: BroadcastOptions): Promise<BroadcastResult>;
  /** Resolves when every shard has everything up to `version` (default: the latest that the home shard knows). */
  waitUntilEverywhere(version?: bigint, options?: CallOptions): Promise<BroadcastResult>;
}

export interface BroadcastOptions extends CallOptions {
  /** `everywhere` (default) waits for all shards; `home` for the one that orders the writes: the rest follow. */
  readonly wait?: 'everywhere' | 'home';
}

export interface BroadcastResult {
  /** Place of the change in the order of all changes to reference tables of the fleet. */
  readonly version: bigint;
}

export interface Client extends AsyncDisposable {
  /** Resolves when a map is known, from the operator or from the last map on disk. */
  ready(options?: CallOptions): Promise<ShardMap>;
  /** The map that statements are routed by at this moment. */
  readonly map: ShardMap | undefined;
  forKey(key: RoutingKey): ShardScope;
  /** One shard by name: for tools and maintenance. Applications route by key. */
  forShard(shard: string): ShardScope;
  /** The name of the shard that owns a key now. */
  locate(key: RoutingKey, side?: 'write' | 'read'): string;
  /**
   * One statement on every shard that owns something. Starts over as a whole when the map changed under it. Without a merge
   * the rows come shard after shard.
   */
  scatter<R extends object, T>(sql: string, options: MergeOptions<R, T>): Promise<T>;
  scatter<R extends object = Row>(sql: string, options?: ScatterOptions): Promise<Result<R>>;
  reference(table: string): ReferenceTable;
  /** Waits for running statements (at most `graceMs`, default 5,000), then closes every connection. */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}
