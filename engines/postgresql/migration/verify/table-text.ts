/**
 * A table's rows as text and as numbers, the same on both ends for the same content: columns in the order of their names, under
 * {@link textSettings}. Text is what logical replication itself carries, so what arrived byte for byte hashes alike, and NULL is
 * told from an empty string, 1.0 from 1.00.
 */
import type { Client } from 'pg';
import { EngineError } from '#engines/errors.ts';
import { fullTableName, quoteIdentifier } from '../../sql-text.ts';
import { quotedTable } from '../tables.ts';

/** Settings that the text of a value depends on, and those that keep a long look out of the way of others. */
export const textSettings: Readonly<Record<string, string>> = {
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  extra_float_digits: '1',
  bytea_output: 'hex',
  xmlbinary: 'base64',
  lc_monetary: 'C',
  quote_all_identifiers: 'off',
  // One core at each end is enough to be limited by; the others are the application's.
  max_parallel_workers_per_gather: '0',
  jit: 'off',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '10min',
};

export interface TableText {
  /** As declared with its schema: `public.users`. */
  readonly name: string;
  /** Quoted, for FROM. The alias is `t` in all that follows. */
  readonly from: string;
  /** Columns of the replica identity, in its order. */
  readonly keys: readonly { readonly name: string; readonly column: string; readonly type: string }[];
  readonly columns: readonly string[];
  /** bigint: of the key alone, so that a look at a few buckets need not read whole rows. */
  readonly keyHash: string;
  /** bigint: of the whole row. */
  readonly rowHash: string;
}

/** A table that cannot be compared row by row. Preflight refuses such tables before anything is touched. */
export class NotComparableError extends EngineError {
  override readonly name = 'NotComparableError';
  readonly code = 'NotComparable';
  readonly remedy = 'Give the table a primary key, the same at both ends.';
}

/**
 * Types whose own hash is the same in every database. Not so an enum's, which is that of its object id. Other types are hashed
 * by their text.
 */
const stableHash = new Set(['bigint', 'integer', 'smallint', 'text', 'uuid', 'character varying', 'date']);

const query = `
WITH identity AS (
  SELECT (i.indkey::int2[])[0:i.indnkeyatts - 1] AS columns FROM pg_index i
  WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indimmediate AND (i.indisreplident OR i.indisprimary)
  ORDER BY i.indisreplident DESC LIMIT 1
)
SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type,
  array_position((SELECT columns FROM identity), a.attnum) AS position
FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attname COLLATE "C"`;

/** Reads the catalog. Throws {@link NotComparableError}. */
export async function tableText(client: Client, declared: string): Promise<TableText> {
  const name = fullTableName(declared);
  const from = quotedTable(name);
  const { rows } = await client.query<{ name: string; type: string; position: number | null }>(query, [from]);
  const keys = rows
    .flatMap(row => (row.position === null ? [] : [{ ...row, position: row.position }]))
    .toSorted((a, b) => a.position - b.position)
    .map(row => ({ name: row.name, column: columnOf(row.name), type: row.type }));
  if (keys.length === 0) throw new NotComparableError(`table ${name} is not there or its rows have no key`);
  const columns = rows.map(row => row.name);
  return {
    name,
    from,
    keys,
    columns,
    keyHash: keys.every(key => stableHash.has(key.type))
      ? `hash_record_extended(ROW(${keys.map(key => key.column).join(', ')}), 0)`
      : textHash(keys.map(key => key.name)),
    rowHash: textHash(columns),
  };
}

/** bigint: of these columns' text. */
export function textHash(columns: readonly string[]): string {
  return `hashtextextended(ROW(${columns.map(columnOf).join(', ')})::text COLLATE "C", 0)`;
}

export function columnOf(name: string): string {
  return `t.${quoteIdentifier(name)}`;
}
