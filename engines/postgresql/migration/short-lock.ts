/**
 * Changes that need tables for themselves for a moment. Whoever waits for such a lock makes everybody behind it wait too, so
 * the wait is short, and tried again after a pause.
 */
import type { Client } from 'pg';
import { EngineError } from '#engines/errors.ts';
import { sqlState, transaction } from '../connection.ts';
import { lockStates } from './names.ts';

/** What a migration's work may take from its surroundings; tests bring their own. */
export interface Pace {
  readonly pause: (ms: number) => Promise<void>;
  /** 0 .. 1 */
  readonly random: () => number;
}

/** Others held the tables all the time. */
export class TablesBusyError extends EngineError {
  override readonly name = 'TablesBusyError';
  readonly code = 'TablesBusy';
  readonly remedy = 'Look for long transactions in pg_stat_activity; the operator tries again by itself.';
  override readonly retryable = true;
}

/** Longest that one try holds up others, and how long tries go on, in milliseconds. */
const LOCK_MS = 50;
const PATIENCE_MS = 15_000;

/** `tables` are quoted. Throws {@link TablesBusyError}. */
export async function withTables<T>(
  client: Client,
  tables: readonly string[],
  pace: Pace,
  work: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await transaction(client, async () => {
        await client.query(`SET LOCAL lock_timeout = ${LOCK_MS}; SET LOCAL deadlock_timeout = 50`);
        if (tables.length > 0) await client.query(`LOCK TABLE ${tables.join(', ')} IN ACCESS EXCLUSIVE MODE`);
        return await work();
      });
    } catch (cause) {
      if (!lockStates.includes(sqlState(cause) ?? '')) throw cause;
      if (performance.now() > deadline) {
        throw new TablesBusyError(
          `${tables.join(', ')} could not be locked: ${await blockers(client, tables)}`,
          {
            cause,
          },
        );
      }
      await pace.pause(20 + 80 * pace.random());
    }
  }
}

/** Who holds the tables, in words. */
export async function blockers(client: Client, tables: readonly string[]): Promise<string> {
  const { rows } = await client.query<{ told: string }>(
    `SELECT DISTINCT format('%s (pid %s) since %s s', coalesce(a.usename::text, a.backend_type), a.pid,
         extract(epoch FROM now() - a.xact_start)::int) AS told
     FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.granted AND a.pid <> pg_backend_pid() AND l.relation = ANY ($1::regclass[]::oid[]) LIMIT 3`,
    [tables],
  );
  return rows.map(row => row.told).join(', ') || 'held by short transactions';
}
