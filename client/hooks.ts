/** Places where an application can count and time. Hooks run inside calls: they must be quick and must not throw. */

export interface StatementEvent {
  readonly shard: string;
  readonly side: 'write' | 'read';
  /** Milliseconds from having a connection to the answer. */
  readonly durationMs: number;
  readonly error?: unknown;
}

export interface RetryEvent {
  readonly shard: string;
  /** 1 for the first repetition. */
  readonly attempt: number;
  readonly reason: unknown;
}

export interface MapEvent {
  readonly epoch: number;
  readonly source: 'stream' | 'poll' | 'file';
}

export interface PoolEvent {
  readonly shard: string;
  readonly login: string;
  readonly open: number;
  readonly idle: number;
  readonly waiting: number;
}

export interface ClientHooks {
  readonly onStatement?: (event: StatementEvent) => void;
  readonly onRetry?: (event: RetryEvent) => void;
  readonly onMap?: (event: MapEvent) => void;
  /** The map service did not answer; the client goes on with its last map. */
  readonly onMapError?: (error: unknown) => void;
  /** A connection was opened or closed. */
  readonly onPool?: (event: PoolEvent) => void;
}
