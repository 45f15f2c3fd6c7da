/**
 * Writes one Parquet file in memory, a row group at a time. The library takes rows, a few objects for each value; here its buffers
 * are filled by column, which is three times as fast, and each row group goes through a writer of its own that shares the file.
 *
 * What the library would get wrong is done here: bounds (it keeps every distinct value in a set for them, and has none where a row
 * group begins with nulls), what values mean (its conversions refuse moments before 1970, multiply decimals as floating point numbers
 * and encode JSON twice), and names (those that are numbers come first with it, and commas separate).
 */
import { type FieldDefinition, ParquetEnvelopeWriter, ParquetSchema, ParquetWriter } from '@dsnp/parquetjs';
import type { Statistics } from '@dsnp/parquetjs/dist/gen-nodejs/parquet_types.js';
import Int64 from 'node-int64';
import { type Column, isList, type StoredValue } from '../columns/choose.ts';
import type { ColumnType, Stored } from '../columns/column-type.ts';
import { Bounds } from './bounds.ts';
import { footer } from './footer.ts';

type RecordBuffer = ParquetWriter['rowBuffer'];
type PageData = NonNullable<RecordBuffer['columnData']>[string];

const options = {
  // Its null_pages are wrong for columns with some nulls, and readers would skip what is there.
  pageIndex: false,
  useDataPageV2: true,
};

/** Gzip makes files half as large and takes twice as long: what the library compresses with runs in this process. */
const compression = 'SNAPPY';

export class ParquetFile {
  readonly #columns: readonly Column[];
  readonly #schema: ParquetSchema;
  readonly #envelope: SharedEnvelope;
  readonly #chunks: Buffer[];
  #group: RowGroup;

  private constructor(
    columns: readonly Column[],
    schema: ParquetSchema,
    envelope: SharedEnvelope,
    chunks: Buffer[],
  ) {
    this.#columns = columns;
    this.#schema = schema;
    this.#envelope = envelope;
    this.#chunks = chunks;
    this.#group = new RowGroup(columns, schema);
  }

  static create(columns: readonly Column[]): ParquetFile {
    const definition = Object.fromEntries(columns.map((column, at) => [placeName(at), fieldOf(column)]));
    const schema = new ParquetSchema(definition);
    const chunks: Buffer[] = [];
    const write = (chunk: Buffer) => void chunks.push(chunk);
    const envelope = new SharedEnvelope(schema, write, () => undefined, new Int64(0), options);
    return new ParquetFile(columns, schema, envelope, chunks);
  }

  /** Rows of the row group that is being filled. */
  get pendingRows(): number {
    return this.#group.rows;
  }

  /** Bytes written so far, without the row group that is being filled. */
  get bytes(): number {
    return this.#envelope.offset.valueOf();
  }

  add(values: readonly StoredValue[]): void {
    this.#group.add(values);
  }

  async endRowGroup(): Promise<void> {
    if (this.#group.rows === 0) return;
    const writer = new ParquetWriter(this.#schema, this.#envelope, options);
    writer.rowBuffer = this.#group.buffer;
    await writer.close();
    this.#envelope.describe(this.#columns, this.#group.statistics());
    this.#group = new RowGroup(this.#columns, this.#schema);
  }

  /** The whole file. Nothing can be added afterwards. */
  async finish(metadata: Readonly<Record<string, string>>): Promise<Buffer> {
    await this.endRowGroup();
    this.#envelope.writeSection(footer(this.#columns, this.#envelope, metadata));
    return Buffer.concat(this.#chunks);
  }
}

/** A file that several writers add row groups to, each of which would begin and end it. */
class SharedEnvelope extends ParquetEnvelopeWriter {
  #begun = false;

  override writeHeader(): void {
    if (!this.#begun) super.writeHeader();
    this.#begun = true;
  }

  /** Gives the last row group's columns their names and bounds. */
  describe(columns: readonly Column[], statistics: readonly (Statistics | undefined)[]): void {
    for (const [at, { meta_data: chunk }] of (this.rowGroups.at(-1)?.columns ?? []).entries()) {
      const [column, found] = [columns[at], statistics[at]];
      if (chunk === undefined || column === undefined) continue;
      chunk.path_in_schema = [column.name, ...chunk.path_in_schema.slice(1)];
      if (found) chunk.statistics = found;
    }
  }

  override writeFooter(): void {
    // It is one of our own: footer.ts.
  }
}

/** Columns' values with their levels, as the library's own shredding would leave them. */
class RowGroup {
  readonly buffer: RecordBuffer;
  readonly #leaves: readonly PageData[];
  readonly #columns: readonly Column[];
  readonly #bounds: readonly (Bounds | undefined)[];
  rows = 0;

  constructor(columns: readonly Column[], schema: ParquetSchema) {
    const data: Record<string, PageData> = {};
    for (const field of schema.fieldList) data[field.path.join(',')] = emptyLeaf();
    this.buffer = {
      columnData: data,
      pages: Object.fromEntries(Object.keys(data).map(path => [path, []])),
    };
    this.#columns = columns;
    this.#bounds = columns.map(column =>
      column.kind === 'value' && column.type.ordered ? new Bounds(column.type.storage.physical) : undefined,
    );
    this.#leaves = columns.map((column, at) => data[leafPath(column, at)] ?? emptyLeaf());
  }

  add(values: readonly StoredValue[]): void {
    for (let at = 0; at < this.#columns.length; at++) {
      const column = this.#columns[at];
      const leaf = this.#leaves[at];
      if (column === undefined || leaf === undefined) break;
      const value = values[at] ?? null;
      if (isList(value)) addList(leaf, value);
      else if (value === null && column.kind === 'list') level(leaf, 0, 0);
      else if (value === null) {
        leaf.dlevels?.push(0);
        leaf.count = (leaf.count ?? 0) + 1;
        this.#bounds[at]?.addNull();
      } else {
        push(leaf, value);
        // Repetition is for lists alone.
        leaf.dlevels?.push(column.notNull ? 0 : 1);
        leaf.count = (leaf.count ?? 0) + 1;
        this.#bounds[at]?.add(value);
      }
    }
    this.rows++;
    this.buffer.rowCount = this.rows;
    this.buffer.pageRowCount = this.rows;
  }

  statistics(): readonly (Statistics | undefined)[] {
    return this.#bounds.map(bounds => bounds?.statistics());
  }
}

function emptyLeaf(): PageData {
  return { dlevels: [], rlevels: [], values: [], distinct_values: new Set(), count: 0 };
}

/** 0: no list, 1: an empty one, 2: a null in it, 3: a value. */
function addList(leaf: PageData, list: readonly (Stored | null)[]): void {
  if (list.length === 0) level(leaf, 0, 1);
  for (const [index, value] of list.entries()) {
    if (value !== null) push(leaf, value);
    level(leaf, index === 0 ? 0 : 1, value === null ? 2 : 3);
  }
}

function push(leaf: PageData, value: Stored): void {
  // The library declares all values as numbers and takes what each physical type wants.
  (leaf.values as Stored[] | undefined)?.push(value);
}

function level(leaf: PageData, repetition: number, definition: number): void {
  leaf.rlevels?.push(repetition);
  leaf.dlevels?.push(definition);
  leaf.count = (leaf.count ?? 0) + 1;
}

function placeName(at: number): string {
  return `c${at}`;
}

function leafPath({ kind }: Column, at: number): string {
  return kind === 'list' ? `${placeName(at)},list,element` : placeName(at);
}

function fieldOf(column: Column): FieldDefinition {
  if (column.kind === 'value') return { ...leafOf(column.type), optional: !column.notNull };
  const element = { ...leafOf(column.type.element), optional: true };
  return { type: 'LIST', optional: true, fields: { list: { repeated: true, fields: { element } } } };
}

function leafOf({ storage }: ColumnType): FieldDefinition {
  return {
    type: storage.physical,
    compression,
    ...(storage.length !== undefined && { typeLength: storage.length }),
    statistics: false,
  };
}
