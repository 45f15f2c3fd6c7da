/** What an engine's session can fail with. Each carries a code to branch on and a remedy to show. */

export abstract class EngineError extends Error {
  abstract readonly code: string;
  /** What a person should do next, in one sentence. */
  abstract readonly remedy: string;
  /** The same call may succeed later with nothing changed by a person. */
  readonly retryable: boolean = false;
}

/** No session: the member does not answer, or refuses the operator's credentials. Try again later. */
export class UnreachableError extends EngineError {
  override readonly name = 'UnreachableError';
  readonly code = 'Unreachable';
  readonly remedy = 'Look at the pod and its log; the operator tries again by itself.';
  override readonly retryable = true;
}

/**
 * An order to make sure of logins names a generation below the lowest that may be open: a migration has closed it meanwhile.
 * Nothing was changed.
 */
export class StaleAccessError extends EngineError {
  override readonly name = 'StaleAccessError';
  readonly code = 'StaleAccess';
  readonly remedy = 'None is needed: the newer generation is about to arrive with the Shard.';
  override readonly retryable = true;
}

/** A schema file failed, or an applied one was changed. Nothing of that file was kept, nor any file after it applied. */
export class SchemaError extends EngineError {
  override readonly name = 'SchemaError';
  readonly code: 'SchemaFailed' | 'SchemaChanged';
  readonly remedy: string;
  readonly file: string;
  /** Where in the file the server saw the error, if it said. */
  readonly line?: number;
  /** Files that were applied by the same call before this one failed. */
  readonly applied: readonly string[];
  /** True when it is not the file's fault: a running migration refused it, or the server had other troubles. */
  override readonly retryable: boolean;

  constructor(
    code: 'SchemaFailed' | 'SchemaChanged',
    message: string,
    detail: {
      file: string;
      line?: number | undefined;
      remedy: string;
      applied: readonly string[];
      retryable?: boolean;
    },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.file = detail.file;
    this.remedy = detail.remedy;
    this.applied = detail.applied;
    this.retryable = detail.retryable ?? false;
    if (detail.line !== undefined) this.line = detail.line;
  }
}

/** A broadcast beyond the next one was offered: those between must come first. */
export class BroadcastGapError extends EngineError {
  override readonly name = 'BroadcastGapError';
  readonly code = 'BroadcastGap';
  readonly remedy = 'Apply the versions between, oldest first.';
}

/** A reference table is not here as it is on the home shard. Nothing was applied. */
export class ReferenceTableError extends EngineError {
  override readonly name = 'ReferenceTableError';
  readonly code = 'ReferenceTable';
  readonly remedy =
    'Make the table in a file of spec.schema, so that every shard has it, and declare it in spec.sharding.tables with reference: true; it is tried again.';
  override readonly retryable = true;
}

/** The engine declined to promote the member, or did not report back in time. */
export class SwitchoverError extends EngineError {
  override readonly name = 'SwitchoverError';
  readonly code = 'SwitchoverRefused';
  readonly remedy =
    'Wait until the replica streams without lag (under strong consistency: is synchronous), then try again.';
}

/** A member's process was not restarted. */
export class RestartError extends EngineError {
  override readonly name = 'RestartError';
  readonly code = 'RestartFailed';
  readonly remedy = 'Look at the log of the member; deleting its pod restarts it too.';
}
