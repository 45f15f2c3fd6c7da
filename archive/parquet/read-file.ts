/**
 * Reads a Parquet file back with a reader that shares nothing with the writer, a row group at a time, as physical values: what the
 * file says they mean is compared with what was meant, and then left aside, because readers' own conversions lose digits (a moment
 * becomes a Date of milliseconds, a decimal a floating point number).
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type FileMetaData,
  type LogicalType,
  parquetMetadata,
  parquetRead,
  type SchemaElement,
} from 'hyparquet';
import { assertNever } from '#kernel/assert-never.ts';
import type { Column, StoredValue } from '../columns/choose.ts';
import type { Meaning, Storage, Stored } from '../columns/column-type.ts';
import { MismatchError } from '../errors.ts';

export interface RowGroupValues {
  readonly rows: number;
  /** By column, then by row. */
  readonly columns: readonly (readonly StoredValue[])[];
}

/** Throws {@link MismatchError} for what is not a file of these columns. */
export async function* readRowGroups(
  bytes: Uint8Array,
  columns: readonly Column[],
): AsyncGenerator<RowGroupValues> {
  const file = arrayBufferOf(bytes);
  const metadata = await readable('its footer', () => parquetMetadata(file));
  const bare = withoutMeaning(metadata, columns);
  let start = 0;
  for (const group of metadata.row_groups) {
    const rows = Number(group.num_rows);
    const from = start;
    const values = await readable(`rows from ${from}`, () => readColumns(file, bare, columns, from, rows));
    yield { rows, columns: values };
    start += rows;
  }
}

/** The metadata that was written with the file. */
export function fileMetadata(bytes: Uint8Array): ReadonlyMap<string, string> {
  const { key_value_metadata: pairs = [] } = parquetMetadata(arrayBufferOf(bytes));
  return new Map(pairs.map(({ key, value = '' }) => [key, value]));
}

async function readColumns(
  file: ArrayBuffer,
  metadata: FileMetaData,
  columns: readonly Column[],
  from: number,
  rows: number,
): Promise<readonly (readonly StoredValue[])[]> {
  const byName = new Map(columns.map(({ name }) => [name, Array.from<StoredValue>({ length: rows })]));
  const seen = new Map<string, number>();
  await parquetRead({
    file,
    metadata,
    rowStart: from,
    rowEnd: from + rows,
    utf8: false,
    onChunk: ({ columnName, columnData, rowStart }) => {
      const values = byName.get(columnName);
      if (values === undefined) return;
      for (let at = 0; at < columnData.length; at++)
        values[rowStart - from + at] = plainValue(columnData[at]);
      seen.set(columnName, (seen.get(columnName) ?? 0) + columnData.length);
    },
  });
  return columns.map(({ name }) => {
    if (seen.get(name) !== rows)
      throw new MismatchError(`column ${name} has ${seen.get(name) ?? 0} of ${rows} rows`);
    return byName.get(name) ?? [];
  });
}

function plainValue(value: unknown): StoredValue {
  if (Array.isArray(value)) return value.map(element => scalar(element));
  return scalar(value);
}

/** The reader leaves out what is null. */
function scalar(value: unknown): Stored | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'boolean' || typeof value === 'number' || typeof value === 'bigint') return value;
  if (value instanceof Uint8Array) return value;
  throw new MismatchError(`a value of an unexpected kind: ${typeof value}`);
}

/** Checks that each column says what it should, and takes it away from what the reader converts by. */
function withoutMeaning(metadata: FileMetaData, columns: readonly Column[]): FileMetaData {
  const leaves = leavesOf(metadata.schema);
  if (leaves.size !== columns.length)
    throw new MismatchError(`the file has ${leaves.size} columns instead of ${columns.length}`);
  const bare = new Map<SchemaElement, SchemaElement>();
  for (const column of columns) {
    const element = leaves.get(column.name);
    const { storage } = column.kind === 'list' ? column.type.element : column.type;
    if (element === undefined || !means(element, storage))
      throw new MismatchError(`the file does not keep column ${column.name} as ${storage.says}`);
    const { converted_type: _converted, logical_type: _logical, ...rest } = element;
    bare.set(element, rest);
  }
  return { ...metadata, schema: metadata.schema.map(element => bare.get(element) ?? element) };
}

function means(
  { type, type_length, logical_type }: SchemaElement,
  { physical, length, meaning }: Storage,
): boolean {
  return (
    type === physical &&
    (length === undefined || type_length === length) &&
    isDeepStrictEqual(logical_type, meaning && logicalType(meaning))
  );
}

/** As the reader shows it. */
function logicalType(meaning: Meaning): LogicalType {
  switch (meaning.kind) {
    case 'text':
      return { type: 'STRING' };
    case 'json':
      return { type: 'JSON' };
    case 'uuid':
      return { type: 'UUID' };
    case 'date':
      return { type: 'DATE' };
    case 'timestamp':
      return { type: 'TIMESTAMP', isAdjustedToUTC: meaning.utc, unit: 'MICROS' };
    case 'decimal':
      return { type: 'DECIMAL', precision: meaning.precision, scale: meaning.scale };
    default:
      return assertNever(meaning);
  }
}

/** The element with the values of each column of the table, by the column's name. */
function leavesOf([, ...elements]: readonly SchemaElement[]): ReadonlyMap<string, SchemaElement> {
  const leaves = new Map<string, SchemaElement>();
  for (let at = 0; at < elements.length; at++) {
    const top = elements[at];
    if (top === undefined) break;
    let leaf = top;
    while (leaf.num_children !== undefined && leaf.num_children > 0) leaf = elements[++at] ?? { name: '' };
    leaves.set(top.name, leaf);
  }
  return leaves;
}

async function readable<T>(what: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (cause instanceof MismatchError) throw cause;
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new MismatchError(`the file cannot be read back, ${what}: ${said}`, { cause });
  }
}

function arrayBufferOf(bytes: Uint8Array): ArrayBuffer {
  if (bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength)
    return bytes.buffer;
  return Uint8Array.from(bytes).buffer;
}
