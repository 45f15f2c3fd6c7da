/** Names of everything that a transfer makes in its two databases. `id` is lower-case letters and digits. */
import type { End } from '#engines/migration.ts';

export type Stream = 'forward' | 'back';

export const streams: readonly Stream[] = ['forward', 'back'];

/** Who has the publication and the slot of a stream, and who has the subscription. */
export function publisher(stream: Stream): End {
  return stream === 'forward' ? 'source' : 'target';
}

export function subscriber(stream: Stream): End {
  return stream === 'forward' ? 'target' : 'source';
}

/** The stream that carries rows to the given end. */
export function streamTo(end: End): Stream {
  return end === 'target' ? 'forward' : 'back';
}

/** Publication, subscription and slot have one name; so does the stream's worker in pg_stat_replication. */
export function streamName(id: string, stream: Stream): string {
  return `sw_${id}_${stream === 'forward' ? 'f' : 'b'}`;
}

/** Slots of all streams, whosever; the transfer's id is what is captured. PostgreSQL's regular expression. */
export const slotsOfStreams = '^sw_([a-z0-9]+)_[fb]$';

/** The login that the other end's subscription reads with. */
export function moverLogin(id: string): string {
  return `shardwright_mover_${id}`;
}

export function policyName(id: string): string {
  return `sw_${id}`;
}

/** Lets all rows through where no transfer hides them: a table with row security and no such policy shows none. */
export const basePolicy = 'sw_base';

/** Sorts after a person's own triggers, so that it sees what they made of the row. */
export function keyTrigger(id: string): string {
  return `zz_sw_${id}_key`;
}

export function truncateTrigger(id: string): string {
  return `sw_${id}_truncate`;
}

/** What refuses a lock for now, as SQLSTATE: lock_timeout, deadlock, a statement's or a transaction's time is up. */
export const lockStates: readonly string[] = ['55P03', '40P01', '57014', '25P04'];
