/**
 * The rule for repeating: what took no effect is tried again until the call's time is over, what may have taken effect only
 * where repeating is harmless. Between tries the map is fetched anew when it may be the map's fault.
 */

import { DatabaseError } from 'pg';
import { assertNever } from '#sharding/assert-never.ts';
import { type Circumstances, classify, NotSentError, type Verdict } from './classify.ts';
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
import type { Target } from './shard-pools.ts';

/** What became of one statement on one shard. Thrown inside the client, turned into a public error at its border. */
export class AttemptError extends Error {
  override readonly name = 'AttemptError';
  readonly target: Target;
  readonly verdict: Verdict;
  /** True when the statement may have taken effect. */
  readonly uncertain: boolean;

  constructor(target: Target, verdict: Verdict, uncertain: boolean, cause: unknown) {
    super(verdict, { cause });
    this.target = target;
    this.verdict = verdict;
    this.uncertain = uncertain;
  }

  get shard(): string {
    return this.target.shard;
  }
}

/** Judges what a connection threw. Errors that are not about a server (bad parameters, the caller's signal) pass as they are. */
export function judge(
  target: Target,
  error: unknown,
  circumstances: Circumstances & { readonly sessionEnded: boolean },
): unknown {
  if (error instanceof InterruptedError) {
    return error.cancelled ? error.reason : new AttemptError(target, 'broken', true, error.reason);
  }
  // The deadline's, or of the client's own configuration: no server is to blame.
  if (error instanceof ClientError) return error;
  if (error instanceof PoolDrainedError) return new AttemptError(target, 'stale', false, error);
  if (error instanceof NotSentError) return new AttemptError(target, 'away', false, error.cause);
  if (!(error instanceof DatabaseError) && !circumstances.sessionEnded) return error;
  const verdict = classify(error, circumstances);
  return new AttemptError(target, verdict, verdict === 'broken', error);
}

export interface RepeatContext {
  /** Another number with every map that comes into force. */
  readonly mapVersion: () => number;
  /**
   * Resolves as soon as another map than that of `version` is in force (true), or when `ms` are over. The map service is asked
   * meanwhile; `whole`: as if there were no map, since the fleet may have been made anew.
   */
  readonly nextMap: (version: number, ms: number, deadline: Deadline, whole: boolean) => Promise<boolean>;
  /** Whether a refusal has nothing to do with the map: the login is open and lacks a right, or no password ever fitted. */
  readonly isFinal: (error: AttemptError, deadline: Deadline) => Promise<boolean>;
  /** Whether a change of the target's login is announced: then its map is on its way, and trying meanwhile is of no use. */
  readonly isPassing: (target: Target) => boolean;
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
  /** Asked only after a failure. False: what was begun must not be begun again, even though it took no effect. */
  readonly mayRepeat?: () => boolean;
}

/** A fence is followed by its map within milliseconds. */
const firstPauseMs = 2;
const longestPauseMs = 1000;
/** The same, where it was announced: each try before the map is there costs both sides work. */
const announcedPauseMs = 100;
/** A refusal that no map has cured for so long is looked into. */
const refusedMs = 500;
/** A map that does not help for so long is fetched whole: the fleet may have been made anew. */
const wholeAfterMs = 300;

/** Runs `body` until it succeeds or must not be repeated. Rejects with a public error. */
export async function repeat<T>(
  options: RepeatOptions,
  context: RepeatContext,
  body: (attempt: number) => Promise<T>,
): Promise<T> {
  const { deadline, harmless, retries = Number.POSITIVE_INFINITY, mayRepeat = () => true } = options;
  let last: AttemptError | undefined;
  /** Tries since the map changed, and what remained of the call's time at the first of them. */
  let unhelped = 0;
  let remainedMs = 0;
  for (let attempt = 0; ; attempt++) {
    const version = context.mapVersion();
    try {
      return await body(attempt);
    } catch (error) {
      if (!(error instanceof AttemptError)) throw blame(error, last);
      last = error;
      const blocked = error.uncertain && !harmless();
      if (blocked || error.verdict === 'final' || attempt >= retries || !mayRepeat()) {
        throw publicError(error, blocked);
      }
      if (deadline.over) throw blame(deadline.reason(error.cause), last);
      if (context.isReadOnly(error.shard) && refusesWrites(error)) {
        throw new ReadOnlyShardError(error.shard, error.cause);
      }
      context.hooks.onRetry?.({ shard: error.shard, attempt: attempt + 1, reason: error.cause });
      if (unhelped === 0) remainedMs = deadline.remainingMs;
      const unhelpedMs = remainedMs - deadline.remainingMs;
      const backMs = backoffMs(unhelped++, firstPauseMs, longestPauseMs, context.random);
      const pauseMs = context.isPassing(error.target) ? Math.max(backMs, announcedPauseMs) : backMs;
      if (!needsMap(error.verdict)) await deadline.pause(pauseMs);
      else if (await context.nextMap(version, pauseMs, deadline, unhelpedMs >= wholeAfterMs)) unhelped = 0;
      else if (
        isRefusal(error.verdict) &&
        unhelpedMs >= refusedMs &&
        (await context.isFinal(error, deadline))
      ) {
        throw publicError(error, false);
      }
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

function isRefusal(verdict: Verdict): boolean {
  return verdict === 'stale' || verdict === 'password';
}

function refusesWrites(error: AttemptError): boolean {
  return error.cause instanceof DatabaseError && (error.verdict === 'stale' || error.cause.code === '25006');
}
