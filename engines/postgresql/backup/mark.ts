/**
 * A mark: one row in the shard's own database that is written anew for each drill. A restored copy that holds it holds
 * everything that was committed before it.
 */
import type { Client } from 'pg';
import { EngineError } from '#engines/errors.ts';

/** The primary did not say what it wrote. */
export class MarkError extends EngineError {
  override readonly name = 'MarkError';
  readonly code = 'NoMark';
  readonly remedy = 'None is needed: the drill is tried again.';
  override readonly retryable = true;
}

/** The shard has the operator's schema before it is ever backed up; the table comes with the first drill. */
const table = `CREATE TABLE IF NOT EXISTS shardwright.backup_mark (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  mark text NOT NULL
)`;

const write = `INSERT INTO shardwright.backup_mark (mark)
  VALUES (to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '_' || gen_random_uuid())
  ON CONFLICT (only_row) DO UPDATE SET mark = excluded.mark RETURNING mark`;

/**
 * Returns `<time>_<uuid>@<position>`: what the row holds, which sorts by its time, by the source's clock, and a position of the
 * log behind its commit.
 */
export async function writeMark(primary: Client): Promise<string> {
  const { rows: there } = await primary.query<{ there: boolean }>(
    `SELECT to_regclass('shardwright.backup_mark') IS NOT NULL AS there`,
  );
  if (there[0]?.there !== true) await primary.query(table);
  const { rows: written } = await primary.query<{ mark: string }>(write);
  const { rows: after } = await primary.query<{ position: string }>(
    'SELECT pg_current_wal_insert_lsn()::text AS position',
  );
  const [mark, position] = [written[0]?.mark, after[0]?.position];
  if (mark === undefined || position === undefined) throw new MarkError('the primary returned no mark');
  return `${mark}@${position}`;
}
