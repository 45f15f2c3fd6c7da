/**
 * Knowing that a follower has caught up with a moment: a row is committed at the leader, and when the follower has it, it
 * has everything that was committed before - commits are applied in their order.
 */
import type { Client } from 'pg';
import { FollowerBehindError } from './errors.ts';
import type { Both } from './sums.ts';

const PATIENCE_MS = 30_000;
const POLL_MS = 2;

export interface Clock {
  /** Milliseconds that only grow. */
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}

/**
 * A function that resolves when the follower has all that was committed at the leader when it was called. The connections are
 * its own while it runs. Throws {@link FollowerBehindError}.
 */
export function arrivals(
  transfer: string,
  { leader, follower }: Both<Client>,
  clock: Clock,
): () => Promise<void> {
  return async () => {
    const { rows } = await leader.query<{ token: string }>(
      `INSERT INTO shardwright.marker (transfer) VALUES ($1) RETURNING token::text`,
      [transfer],
    );
    const deadline = clock.now() + PATIENCE_MS;
    for (;;) {
      const seen = await follower.query(`SELECT FROM shardwright.marker WHERE transfer = $1 AND token = $2`, [
        transfer,
        rows[0]?.token,
      ]);
      if (seen.rowCount) return;
      if (clock.now() > deadline)
        throw new FollowerBehindError(`what was committed did not arrive within ${PATIENCE_MS / 1000} s`);
      await clock.sleep(POLL_MS);
    }
  };
}
