/** Why a comparison ended without an answer. Both are worth another try; neither says anything of the data. */
import { EngineError } from '#engines/errors.ts';

/** What was committed at one end did not reach the other in the time given. */
export class FollowerBehindError extends EngineError {
  override readonly name = 'FollowerBehindError';
  readonly code = 'FollowerBehind';
  readonly remedy = 'Wait until the stream has caught up; it is tried again.';
  override readonly retryable = true;
}

/** Rows changed whenever they were looked at, or transactions that write stayed open too long. */
export class UndecidedError extends EngineError {
  override readonly name = 'UndecidedError';
  readonly code = 'VerificationUndecided';
  readonly remedy = 'End transactions that stay open for long; it is tried again.';
  override readonly retryable = true;
}
