/**
 * How values of one type of the database are kept in a file: what to ask the server for, what Parquet stores, and a text of each
 * value that the server and this program make in the same way, each from what it has: the *canonical* text. Hashes of rows are made
 * of those, so a value that does not come back from a file exactly as it was cannot go unnoticed.
 */

/** Physical types of Parquet, those that are used. */
export type Physical =
  | 'BOOLEAN'
  | 'INT32'
  | 'INT64'
  | 'FLOAT'
  | 'DOUBLE'
  | 'BYTE_ARRAY'
  | 'FIXED_LEN_BYTE_ARRAY';

/** What a reader takes the physical value for. */
export type Meaning =
  | { readonly kind: 'text' | 'json' | 'uuid' | 'date' }
  /** Microseconds; `utc` where it is a moment, not digits of a clock somewhere. */
  | { readonly kind: 'timestamp'; readonly utc: boolean }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number };

/** Values as the writer takes them and the reader gives them, without a meaning applied. */
export type Stored = boolean | number | bigint | Uint8Array;

export interface Storage {
  readonly physical: Physical;
  readonly meaning?: Meaning;
  /** Bytes of a FIXED_LEN_BYTE_ARRAY. */
  readonly length?: number;
  /** In words, for the manifest and the file's metadata: `timestamp in microseconds, UTC`. */
  readonly says: string;
}

export interface ColumnType {
  readonly storage: Storage;
  /** Smallest and largest values are kept in the file where the writer orders them as readers do. */
  readonly ordered: boolean;
  /** What to select, given the column: sent in the server's binary form. */
  select(column: string): string;
  /** From the binary form, `length` bytes from `at` on. Throws {@link UnfitValueError} for a value that the storage cannot hold. */
  read(bytes: Buffer, at: number, length: number): Stored;
  /** SQL for the canonical text, never empty, null for null; it fails for no value of the type. */
  canonicalSql(column: string): string;
  canonical(value: Stored): string;
  /** Text that the server reads as the value. */
  text(value: Stored): string;
}

/** The storage cannot hold the value: the column is kept as text in that file instead. */
export class UnfitValueError extends Error {
  override readonly name = 'UnfitValueError';
}

/** A value from a file that is not of the physical type that was written. */
export class UnexpectedValueError extends Error {
  override readonly name = 'UnexpectedValueError';
}

export function asBigint(value: Stored): bigint {
  if (typeof value === 'bigint') return value;
  throw new UnexpectedValueError(`a ${typeof value} instead of a 64-bit integer`);
}

export function asNumber(value: Stored): number {
  if (typeof value === 'number') return value;
  throw new UnexpectedValueError(`a ${typeof value} instead of a number`);
}

export function asBytes(value: Stored): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  throw new UnexpectedValueError(`a ${typeof value} instead of bytes`);
}
