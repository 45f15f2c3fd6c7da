/** What a statement gave. */
import type { QueryResult } from 'pg';

export type Row = Record<string, unknown>;

export interface Result<R extends object = Row> {
  readonly rows: R[];
  /** Rows returned or changed. */
  readonly rowCount: number;
  /** `SELECT`, `INSERT`, ... as the server reports it. */
  readonly command: string;
}

export interface ShardResult<R extends object = Row> extends Result<R> {
  readonly shard: string;
}

/** The driver's result as ours. It is handed through, not copied: a result may have many rows. */
export function toResult<R extends object>(result: QueryResult<R>): Result<R> {
  return result.rowCount === null
    ? { rows: result.rows, rowCount: 0, command: result.command }
    : { rows: result.rows, rowCount: result.rowCount, command: result.command };
}
