/** The driver's result as ours. It is handed through, not copied: a result may have many rows. */
import type { QueryResult } from 'pg';
import type { Result } from './client.ts';

export function toResult<R extends object>(result: QueryResult<R>): Result<R> {
  return result.rowCount === null
    ? { rows: result.rows, rowCount: 0, command: result.command }
    : { rows: result.rows, rowCount: result.rowCount, command: result.command };
}
