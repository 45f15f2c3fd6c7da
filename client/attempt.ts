/**
 * The rule for repeating: what took no effect is tried again until the call's time is over, what may have taken effect only
 * where repeating is harmless. Between tries the map is fetched anew when it may be the map's fault.
 */

import { DatabaseError } from 'pg';
import { assertNever } from '#sharding/assert-never.ts';
import { classify, NotSentError, type Verdict } from './classify.ts';
import { backoffMs, type Random } from './clock.ts';
import { InterruptedError } from './connection.ts';
import type { Deadline } from './deadline.ts';
import {
  ClientError,
  DeadlineError,
  ReadOnlyShardError,
  ShardUnreachableError,
  StatementError,
  UnknownOutcomeError,
} from './errors.ts';
import type { ClientHooks } from './hooks.ts';
import { PoolDrainedError } from './pool.ts';

/** What became of one statement on one shard. Thrown inside the client, turned into a public error at its border. */
export class AttemptError extends Error {
  override readonly name = 'AttemptError';
  readonly shard: string;
  readonly verdict: Verdict;
  /** True when the statement may have taken effect. */
  readonly uncertain: boolean;

  constructor(shard: string, verdict: Verdict, uncertain: boolean, cause: unknown) {
    super(verdict, { cause });
    this.shard = shard;
    this.verdict = verdict;
    this.uncertain = uncertain;
  }
}

/** Judges what a connection threw. Errors that are not about a server (bad parameters, the caller's signal) pass as they are. */
export function judge(shard: string, error: unknown, sent: boolean, sessionEnded: boolean): unknown {
  if (error instanceof InterruptedError) {
    return error.cancelled ? error.reason : new AttemptError(shard, 'broken', true, error.reason);
  }
  // The deadline's, or of the client's own configuration: no server is to blame.
  if (error instanceof ClientError) return error;
  if (error instanceof PoolDrainedError) return new AttemptError(shard, 'stale', false, error);
  if (error instanceof NotSentError) return new AttemptError(shard, 'away', false, error.cause);
  if (!(error instanceof DatabaseError) && !sessionEnded) return error;
  const verdict = classify(error, sent);
  return new AttemptError(shard, verdict, verdict === 'broken', error);
}

export interface RepeatContext {
  readonly refresh: (whole?: boolean) => Promise<boolean>;
  readonly hooks: ClientHooks;
  readonly random: Random;
  /** Whether the map says now that the shard takes no writes. */
  readonly isReadOnly: (shard: string) => boolean;
}

export interface RepeatOptions {
  readonly deadline: Deadline;
  /** Asked only after a failure. True when repeating is harmless even if the last try took effect. */
  readonly harmless: () => boolean;
  /** Default: as often as time allows. */
  readonly retries?: number;
}

const firstPauseMs = 10;
const longestPauseMs = 1000;
/** About two seconds. A fence is followed by its map within milliseconds; a right missing for longer is missing for good. */
const refusedTries = 8;
/** A map that does not help is fetched whole: the fleet may have been made anew. */
const wholeAfterTries = 3;

/** Runs `body` until it succeeds or must not be repeated. Rejects with a public error. */
export async function repeat<T>(
  options: RepeatOptions,
  context: RepeatContext,
  body: (attempt: number) => Promise<T>,
): Promise<T> {
  const { deadline, harmless, retries = Number.POSITIVE_INFINITY } = options;
  let unhelped = 0;
  let last: AttemptError | undefined;
  for (let attempt = 0; ; attempt++) {
    try {
      return await body(attempt);
    } catch (error) {
      if (!(error instanceof AttemptError)) throw blame(error, last);
      last = error;
      const blocked = error.uncertain && !harmless();
      if (blocked || error.verdict === 'final' || attempt >= retries) throw publicError(error, blocked);
      if (deadline.over) throw blame(deadline.reason(error.cause), last);
      if (context.isReadOnly(error.shard) && refusesWrites(error)) {
        throw new ReadOnlyShardError(error.shard, error.cause);
      }
      context.hooks.onRetry?.({ shard: error.shard, attempt: attempt + 1, reason: error.cause });
      if (needsMap(error.verdict)) {
        const asked = context.refresh(unhelped >= wholeAfterTries);
        const changed = await deadline.race(asked).catch((reason: unknown) => {
          throw blame(reason, last);
        });
        unhelped = changed ? 0 : unhelped + 1;
        if (changed) continue;
        const refused = error.verdict === 'stale' || error.verdict === 'password';
        if (refused && unhelped >= refusedTries) throw publicError(error, false);
      }
      await deadline.pause(backoffMs(attempt, firstPauseMs, longestPauseMs, context.random));
      if (deadline.over) throw blame(deadline.reason(error.cause), last);
    }
  }
}

/** A call that ran out of time because of a shard says which. The caller's own abort, and a slow statement, stay themselves. */
function blame(error: unknown, last: AttemptError | undefined): unknown {
  return error instanceof DeadlineError && last !== undefined && !last.uncertain
    ? publicError(last, false)
    : error;
}

export function publicError(error: AttemptError, uncertain = error.uncertain): Error {
  if (uncertain) return new UnknownOutcomeError(error.shard, error.cause);
  switch (error.verdict) {
    case 'away':
    case 'broken':
    case 'password':
      return new ShardUnreachableError(error.shard, error.cause);
    case 'stale':
    case 'conflict':
    case 'final':
      return error.cause instanceof DatabaseError
        ? new StatementError(error.shard, error.cause)
        : new ShardUnreachableError(error.shard, error.cause);
    default:
      return assertNever(error.verdict);
  }
}

function needsMap(verdict: Verdict): boolean {
  return verdict !== 'conflict' && verdict !== 'final';
}

function refusesWrites(error: AttemptError): boolean {
  return error.cause instanceof DatabaseError && (error.verdict === 'stale' || error.cause.code === '25006');
}
