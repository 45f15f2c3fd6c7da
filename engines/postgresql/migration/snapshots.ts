/**
 * Row security changes for everybody at once, also for a transaction that looks at an older state of the data: whoever changes
 * both waits in between until nobody looks at the older state, here or on a replica.
 */
import type { Client } from 'pg';
import { EngineError } from '#engines/errors.ts';
import type { Pace } from './short-lock.ts';

/** One call waits for so long, in milliseconds. */
const PATIENCE_MS = 10_000;

/** Transactions of clients still look at an older state. */
export class SnapshotsRemainError extends EngineError {
  override readonly name = 'SnapshotsRemainError';
  readonly code = 'SnapshotsRemain';
  readonly remedy =
    'Transactions of clients end within transaction_timeout, 5 minutes; the operator tries again by itself.';
  override readonly retryable = true;
}

/** Throws {@link SnapshotsRemainError}. `since`: a transaction's id (xid8). */
export async function snapshotsGone(client: Client, since: string, pace: Pace): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const older = await olderThan(client, since);
    if (older.length === 0) return;
    if (performance.now() > deadline)
      throw new SnapshotsRemainError(`waiting for transactions that began before: ${older.join(', ')}`);
    await pace.pause(50);
  }
}

/** Those that began before that transaction had ended: of clients, and of replicas as far as they report (hot_standby_feedback). In words. */
export async function olderThan(client: Client, since: string): Promise<readonly string[]> {
  const { rows } = await client.query<{ told: string }>(
    `WITH since AS (SELECT ($1::numeric % 4294967296)::text::xid AS xid)
     SELECT format('%s (pid %s)', usename, pid) AS told FROM pg_stat_activity, since
     WHERE usename ~ '^app(_|$)' AND age(backend_xmin) >= age(xid)
     UNION ALL
     SELECT format('replica %s', slot_name) FROM pg_replication_slots, since
     WHERE slot_type = 'physical' AND active AND age(xmin) >= age(xid)
     UNION ALL
     SELECT format('replica %s', application_name) FROM pg_stat_replication, since WHERE age(backend_xmin) >= age(xid)
     LIMIT 3`,
    [since],
  );
  return rows.map(row => row.told);
}
