/**
 * What can go wrong in a call, as classes to match with `instanceof`. Each has a `code` for machines, a `remedy` for
 * people, and where another error led to it, that as `cause`.
 */
export abstract class ClientError extends Error {
  abstract readonly code: string;
  readonly remedy: string;

  constructor(message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.remedy = remedy;
  }
}

/** One or more shards failed; `shards` names them. The base of every error that a shard is to blame for. */
export class ShardError extends ClientError {
  readonly code: string = 'Shard';
  readonly shards: readonly string[];
  /** Per shard what it failed with. */
  readonly causes: ReadonlyMap<string, unknown>;
  /** Shards on which the statement took effect all the same (a scatter that writes). */
  readonly succeeded: readonly string[];

  constructor(
    message: string,
    remedy: string,
    causes: ReadonlyMap<string, unknown>,
    succeeded: readonly string[] = [],
  ) {
    super(message, remedy, { cause: causes.values().next().value });
    this.causes = causes;
    this.shards = [...causes.keys()];
    this.succeeded = succeeded;
  }
}

/** The shard's server refused the statement; it took no effect. `cause` is the driver's error with all its fields. */
export class StatementError extends ShardError {
  override readonly code = 'Statement';
  /** Five characters, as in the PostgreSQL manual's appendix A: `23505` is a unique violation. */
  readonly sqlState: string;
  readonly constraint: string | undefined;

  constructor(
    shard: string,
    cause: Error & { readonly code?: string | undefined; readonly constraint?: string | undefined },
  ) {
    super(
      `${shard}: ${cause.message}`,
      'Correct the statement or its parameters.',
      new Map([[shard, cause]]),
    );
    this.sqlState = cause.code ?? '';
    this.constraint = cause.constraint;
  }
}

/** No connection to the shard could be made; nothing was sent. */
export class ShardUnreachableError extends ShardError {
  override readonly code = 'ShardUnreachable';

  constructor(shard: string, cause: unknown) {
    super(
      `${shard} cannot be reached: ${messageOf(cause)}`,
      'Look at the shard: kubectl get shards. A fail-over takes seconds; raise timeoutMs to wait longer.',
      new Map([[shard, cause]]),
    );
  }
}

/** The map says that the shard is in maintenance. */
export class ShardUnavailableError extends ShardError {
  override readonly code = 'ShardUnavailable';

  constructor(shard: string) {
    super(
      `${shard} is in maintenance`,
      "Wait until the shard's state is active again: kubectl get shards.",
      new Map([[shard, undefined]]),
    );
  }
}

/** The map says that the shard takes no writes, and its server refused one. */
export class ReadOnlyShardError extends ShardError {
  override readonly code = 'ReadOnlyShard';

  constructor(shard: string, cause: unknown) {
    super(
      `${shard} takes no writes now`,
      "Wait until the shard's state is active again: kubectl get shards.",
      new Map([[shard, cause]]),
    );
  }
}

/** The shard was asked to write, and the answer never came. The write may have taken effect. */
export class UnknownOutcomeError extends ShardError {
  override readonly code = 'UnknownOutcome';

  constructor(shard: string, cause: unknown) {
    super(
      `${shard} did not answer a write, which may have taken effect: ${messageOf(cause)}`,
      'Read the row to learn what happened, or write so that repeating is harmless and pass {idempotent: true}.',
      new Map([[shard, cause]]),
    );
  }
}

/** A change to a reference table is on its home shard but not on these shards yet. The operator brings it there. */
export class BroadcastLagError extends ShardError {
  override readonly code = 'BroadcastLag';
  readonly version: bigint;

  constructor(version: bigint, causes: ReadonlyMap<string, unknown>) {
    super(
      `version ${version} of the reference tables has not reached ${[...causes.keys()].join(', ')}`,
      'The change is safe and the operator brings it to these shards; call waitUntilEverywhere to wait for it.',
      causes,
    );
    this.version = version;
  }
}

/** The time given for a call is over. Nothing took effect. */
export class DeadlineError extends ClientError {
  readonly code = 'Deadline';

  constructor(timeoutMs: number, cause?: unknown) {
    super(
      `no answer within ${timeoutMs} ms${cause === undefined ? '' : `: ${messageOf(cause)}`}`,
      'Raise timeoutMs, or look for what holds the statement up.',
      { cause },
    );
  }
}

/** No map is known: the operator was never reached and there is no last map on disk. */
export class NoMapError extends ClientError {
  readonly code = 'NoMap';

  constructor(cause: unknown) {
    super(
      `the shard map cannot be had: ${messageOf(cause)}`,
      'Check map-url and map-token, and that the operator runs. A map file lets a restart work without it.',
      { cause },
    );
  }
}

/** The map service answered, but not with a map. */
export class MapServiceError extends ClientError {
  readonly code = 'MapService';
  readonly status: number;

  constructor(status: number, message: string, remedy: string) {
    super(message, remedy);
    this.status = status;
  }
}

/** A key does not fit the fleet: a wrong type, or no region where the fleet is divided by region. */
export class KeyTypeError extends ClientError {
  readonly code = 'KeyType';
}

export class UnknownShardError extends ClientError {
  readonly code = 'UnknownShard';

  constructor(shard: string) {
    super(`the map has no shard ${JSON.stringify(shard)}`, 'List them: kubectl get shards.');
  }
}

/** The parts of the client's configuration contradict each other, or one is missing. */
export class ConfigurationError extends ClientError {
  readonly code = 'Configuration';
}

/** The client was closed. */
export class ClosedError extends ClientError {
  readonly code = 'Closed';

  constructor() {
    super('the client is closed', 'Make a new client.');
  }
}

export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
