/**
 * One file of rows: everything about it comes from one snapshot of the database, the rows and, by a statement of its own, their
 * number and the sum of their hashes.
 */
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import {
  type CatalogColumn,
  type Column,
  chooseColumn,
  isList,
  type StoredValue,
} from '../columns/choose.ts';
import { UnfitValueError } from '../columns/column-type.ts';
import { rowHashSql } from '../columns/row-hash.ts';
import { dayText } from '../columns/time-types.ts';
import { ParquetFile } from '../parquet/write-file.ts';
import { copyRows, type RawRow } from './copy-rows.ts';
import { refuseMigration } from './guard.ts';
import type { Limits } from './limits.ts';
import { beyond, columnOf, literal, order, type Position, quoteIdentifier, tuple, upTo } from './sql.ts';
import type { TableFacts } from './table.ts';

export interface Range {
  /** Days since 1970-01-01, UTC. */
  readonly day: number;
  /** Rows before this, in the text of the time column's type. */
  readonly cutoff: string;
  /** Rows after this one only. */
  readonly after?: Position;
}

export interface ExportedFile {
  readonly bytes: Buffer;
  readonly sha256: string;
  readonly columns: readonly Column[];
  /** As the database counts and sums up. */
  readonly rows: number;
  readonly hash: bigint;
  readonly first: Position;
  readonly last: Position;
}

/** Undefined when the range has no rows. Throws MigratingError. */
export async function exportPart(
  client: Client,
  table: TableFacts,
  range: Range,
  limits: Limits,
  metadata: Readonly<Record<string, string>>,
): Promise<ExportedFile | undefined> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    await refuseMigration(client);
    const rows = await rowsAtOnce(client, table, range, limits);
    const asText = new Set<string>();
    for (;;) {
      const columns = table.columns.map(column => chooseColumn(column, asText.has(column.name)));
      const written = await writeRows(client, { table, columns, range, limits, rows });
      if (typeof written === 'string') asText.add(written);
      else if (written === undefined) return undefined;
      else return await finish(client, { table, columns, range, metadata }, written);
    }
  } finally {
    await client.query('ROLLBACK').catch(() => undefined);
  }
}

interface Writing {
  readonly table: TableFacts;
  readonly columns: readonly Column[];
  readonly range: Range;
}

interface Written {
  readonly file: ParquetFile;
  readonly first: Position;
  readonly last: Position;
}

/** The name of a column that has a value which its storage cannot hold; undefined when there are no rows. */
async function writeRows(
  client: Client,
  { table, columns, range, limits, rows }: Writing & { readonly limits: Limits; readonly rows: number },
): Promise<Written | string | undefined> {
  const file = ParquetFile.create(columns);
  const places = order(table).map(({ name }) => columns.findIndex(column => column.name === name));
  const position = (values: readonly StoredValue[]) => places.map(place => textAt(columns, values, place));
  let first: Position | undefined;
  let last: readonly StoredValue[] | undefined;
  let [groupBytes, fileBytes] = [0, 0];
  let unfit: string | undefined;
  const query = `SELECT ${columns.map(column => column.type.select(columnOf(column))).join(', ')}
    FROM ${table.from} AS t WHERE ${condition(table, range)} ORDER BY ${tuple(table)} LIMIT ${rows}`;
  for await (const raw of copyRows(client, query)) {
    // The copy cannot be broken off, only ignored.
    if (unfit !== undefined || fileBytes >= limits.fileBytes) continue;
    const values: StoredValue[] = [];
    unfit = readRow(columns, raw, values);
    if (unfit !== undefined) continue;
    file.add(values);
    first ??= position(values);
    last = values;
    groupBytes += raw.size;
    fileBytes += raw.size;
    if (file.pendingRows < limits.groupRows && groupBytes < limits.groupBytes) continue;
    await file.endRowGroup();
    groupBytes = 0;
  }
  if (unfit !== undefined) return unfit;
  return first && last && { file, first, last: position(last) };
}

/** Fills the values; the name of the first column whose value does not fit. */
function readRow(columns: readonly Column[], raw: RawRow, values: StoredValue[]): string | undefined {
  for (let field = 0; field < columns.length; field++) {
    const column = columns[field];
    const [at = 0, length = -1] = [raw.starts[field], raw.lengths[field]];
    if (column === undefined) break;
    if (length < 0) {
      values.push(null);
      continue;
    }
    try {
      values.push(column.type.read(raw.bytes, at, length));
    } catch (error) {
      if (error instanceof UnfitValueError) return column.name;
      throw error;
    }
  }
  return undefined;
}

async function finish(
  client: Client,
  { table, columns, range, metadata }: Writing & { readonly metadata: Readonly<Record<string, string>> },
  { file, first, last }: Written,
): Promise<ExportedFile> {
  const { rows } = await client.query<{ rows: string; hash: string }>(
    `SELECT count(*)::text AS rows, coalesce(sum(${rowHashSql(columns, 't', quoteIdentifier)}), 0)::text AS hash
     FROM ${table.from} AS t WHERE ${condition(table, range)} AND ${upTo(table, last)}`,
  );
  const bytes = await file.finish(metadata);
  return {
    bytes,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    columns,
    rows: Number(rows[0]?.rows),
    hash: BigInt(rows[0]?.hash ?? 0),
    first,
    last,
  };
}

function condition(table: TableFacts, { day, cutoff, after }: Range): string {
  const time = columnOf(table.time);
  return [
    `${time} >= ${literal(dayText(day), table.time)}`,
    `${time} < ${literal(dayText(day + 1), table.time)}`,
    `${time} < ${literal(cutoff, table.time)}`,
    ...(after ? [beyond(table, after)] : []),
  ].join(' AND ');
}

/** As many as may be in one file, by the size of some of them. */
async function rowsAtOnce(client: Client, table: TableFacts, range: Range, limits: Limits): Promise<number> {
  const { rows } = await client.query<{ bytes: string | null }>(
    `SELECT avg(octet_length(s::text))::int8::text AS bytes
     FROM (SELECT t.* FROM ${table.from} AS t WHERE ${condition(table, range)} LIMIT 100) AS s`,
  );
  const each = Math.max(1, Number(rows[0]?.bytes ?? 1));
  return Math.max(1, Math.min(limits.fileRows, Math.ceil(limits.fileBytes / each)));
}

function textAt(columns: readonly Column[], values: readonly StoredValue[], place: number): string {
  const [column, value] = [columns[place], values[place] ?? null];
  if (column?.kind !== 'value' || value === null || isList(value))
    throw new TypeError('a key that is no single value');
  return column.type.text(value);
}

/** The first day from `from` on that has rows to archive; undefined when none has. */
export async function nextDay(
  client: Client,
  table: TableFacts,
  cutoff: string,
  from: number | undefined,
): Promise<number | undefined> {
  const time = columnOf(table.time);
  const { rows } = await client.query<{ day: number | null }>(
    `SELECT min(${time})::date - '1970-01-01'::date AS day FROM ${table.from} AS t
     WHERE ${time} > '-infinity' AND ${time} < ${literal(cutoff, table.time)}
     ${from === undefined ? '' : `AND ${time} >= ${literal(dayText(from), table.time)}`}`,
  );
  return rows[0]?.day ?? undefined;
}

/** Now less the age, by the database's clock, in the text of the column's type. */
export async function cutoffOf(client: Client, time: CatalogColumn, ageSeconds: number): Promise<string> {
  const { rows } = await client.query<{ cutoff: string }>(
    `SELECT (now() - make_interval(secs => $1))::${time.declared}::text AS cutoff`,
    [ageSeconds],
  );
  return rows[0]?.cutoff ?? '';
}
