/** What the catalog says of a table to archive, and whether it can be. */
import type { Client } from 'pg';
import type { CatalogColumn } from '../columns/choose.ts';
import { UnsuitableTableError } from '../errors.ts';
import type { ArchiveTable } from '../settings.ts';
import { fullTableName, quotedTable } from './sql.ts';

export interface TableFacts {
  /** With its schema: `public.messages`. */
  readonly name: string;
  /** Quoted, for FROM. */
  readonly from: string;
  readonly columns: readonly CatalogColumn[];
  /** Columns of the primary key, in its order. */
  readonly keys: readonly CatalogColumn[];
  /** The column with the time of a row. */
  readonly time: CatalogColumn;
}

const timeTypes = ['timestamptz', 'timestamp', 'date'];

/** Domains are followed down to what they stand on; the modifier may stand anywhere on the way. */
const columnsQuery = `
WITH RECURSIVE named AS (
  SELECT a.attname AS name, a.attnum, a.atttypid AS type, a.atttypmod AS modifier, a.attnotnull AS not_null,
    format_type(a.atttypid, a.atttypmod) AS declared
  FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
), based AS (
  SELECT attnum, type, modifier, 0 AS depth FROM named
  UNION ALL
  SELECT b.attnum, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
    CASE WHEN t.typtype = 'd' AND b.modifier = -1 THEN t.typtypmod ELSE b.modifier END, b.depth + 1
  FROM based b JOIN pg_type t ON t.oid = b.type
  WHERE t.typtype = 'd' OR t.typcategory = 'A' AND t.typelem <> 0
)
SELECT n.name, n.declared, n.not_null AS "notNull",
  array_agg(t.typname::text ORDER BY b.depth) FILTER (WHERE t.typtype <> 'd') AS bases,
  (array_agg(b.modifier ORDER BY b.depth DESC))[1] AS modifier,
  array_position((SELECT i.indkey::int2[] FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisprimary), n.attnum) AS position
FROM named n JOIN based b ON b.attnum = n.attnum JOIN pg_type t ON t.oid = b.type
GROUP BY n.name, n.declared, n.not_null, n.attnum ORDER BY n.attnum`;

interface ColumnRow {
  readonly name: string;
  readonly declared: string;
  readonly notNull: boolean;
  readonly bases: readonly string[];
  readonly modifier: number;
  readonly position: number | null;
}

/** Throws {@link UnsuitableTableError}. */
export async function readTable(client: Client, settings: ArchiveTable): Promise<TableFacts> {
  const name = fullTableName(settings.name);
  const from = quotedTable(name);
  const kinds = await client.query<{ kind: string; reference: boolean }>(
    `SELECT c.relkind AS kind, EXISTS (SELECT FROM shardwright.reference_table r WHERE r.name = $2) AS reference
     FROM pg_class c WHERE c.oid = to_regclass($1)`,
    [from, name],
  );
  const [found] = kinds.rows;
  if (found === undefined || !['r', 'p'].includes(found.kind))
    throw new UnsuitableTableError(
      `there is no table ${name}`,
      'Correct the name in archive.tables of the BackupPolicy.',
    );
  if (found.reference)
    throw new UnsuitableTableError(
      `${name} is a reference table, which is whole on every shard`,
      'Take it out of archive.tables: rows of a reference table are deleted by the application.',
    );
  const rows = await readRows(client, from);
  const columns = rows.map(catalogColumn);
  const keys = rows
    .flatMap(row => (row.position === null ? [] : [{ position: row.position, column: catalogColumn(row) }]))
    .toSorted((a, b) => a.position - b.position)
    .map(({ column }) => column);
  if (keys.length === 0)
    throw new UnsuitableTableError(`${name} has no primary key`, 'Add one: rows are told apart by it.');
  if (keys.some(key => key.element !== undefined))
    throw new UnsuitableTableError(
      `the primary key of ${name} holds an array`,
      'Take it out of archive.tables.',
    );
  const time = columns.find(column => column.name === settings.column);
  if (time === undefined || !timeTypes.includes(time.base))
    throw new UnsuitableTableError(
      `${name} has no column ${settings.column} of type timestamptz, timestamp or date`,
      'Name the column with the time of a row in archive.tables of the BackupPolicy.',
    );
  return { name, from, columns, keys, time };
}

/** `from` is quoted. */
export async function readColumns(client: Client, from: string): Promise<readonly CatalogColumn[]> {
  return (await readRows(client, from)).map(catalogColumn);
}

async function readRows(client: Client, from: string): Promise<readonly ColumnRow[]> {
  const { rows } = await client.query<ColumnRow & { bases: string[] }>(columnsQuery, [from]);
  return rows;
}

function catalogColumn({ name, declared, notNull, bases, modifier }: ColumnRow): CatalogColumn {
  const [base = '', element] = bases;
  return { name, declared, base, ...(element !== undefined && { element }), modifier, notNull };
}

/** What deleting a row would do beyond the row: nothing may vanish that was not archived. Throws {@link UnsuitableTableError}. */
export async function checkDeletable(client: Client, table: TableFacts): Promise<void> {
  const { rows } = await client.query<{ name: string; relation: string }>(
    `SELECT k.conname AS name, k.conrelid::regclass::text AS relation FROM pg_constraint k
     WHERE k.contype = 'f' AND k.confrelid = to_regclass($1) AND k.confdeltype NOT IN ('a', 'r') ORDER BY 1 LIMIT 1`,
    [table.from],
  );
  const [found] = rows;
  if (found)
    throw new UnsuitableTableError(
      `deleting from ${table.name} would change ${found.relation}, by its foreign key ${found.name}`,
      'Make the foreign key NO ACTION and archive both tables, or set archive.deleteAfter to false.',
    );
}

export function sameColumns(a: readonly CatalogColumn[], b: readonly CatalogColumn[]): boolean {
  return textOf(a) === textOf(b);
}

function textOf(columns: readonly CatalogColumn[]): string {
  return JSON.stringify(columns.map(c => [c.name, c.declared, c.base, c.element, c.modifier]));
}
