/** Knowing that a follower has caught up with a moment. */
import type { Client } from 'pg';
import { awaitMarker, sendMarker } from '../markers.ts';
import type { Pace } from '../short-lock.ts';
import { FollowerBehindError } from './errors.ts';
import type { Both } from './sums.ts';

/**
 * A function that resolves when the follower has all that was committed at the leader when it was called. The connections are
 * its own while it runs. It rejects with {@link FollowerBehindError}.
 */
export function arrivals(
  of: { readonly id: string; readonly patienceMs: number },
  { leader, follower }: Both<Client>,
  pace: Pace,
): () => Promise<void> {
  return async () => {
    const token = await sendMarker(leader, of.id);
    const deadline = performance.now() + of.patienceMs;
    if (await awaitMarker(follower, { ...of, token }, deadline, pace)) return;
    throw new FollowerBehindError(`what was committed did not arrive within ${of.patienceMs} ms`);
  };
}
