/**
 * numeric(p, s): an integer and a scale, in 64 bits up to 18 digits and in 16 bytes up to 38, which is as far as Parquet's readers
 * go. A numeric without a precision, with more digits, with a scale that is negative or beyond its precision, is kept as text.
 */
import { asBigint, asBytes, type ColumnType, type Stored, UnfitValueError } from './column-type.ts';

const LONG_DIGITS = 18;
const MOST_DIGITS = 38;
const BYTES = 16;

/** Undefined where Parquet's decimal cannot hold every finite value. */
export function decimal(precision: number, scale: number): ColumnType | undefined {
  if (precision > MOST_DIGITS || scale < 0 || scale > precision) return undefined;
  const long = precision <= LONG_DIGITS;
  const unscaled = (value: Stored) => (long ? asBigint(value) : fromBytes(asBytes(value)));
  const text = (value: Stored) => shown(unscaled(value), scale);
  return {
    storage: {
      physical: long ? 'INT64' : 'FIXED_LEN_BYTE_ARRAY',
      ...(!long && { length: BYTES }),
      meaning: { kind: 'decimal', precision, scale },
      says: `decimal(${precision},${scale})`,
    },
    // Bytes of negative numbers are not in the order of the numbers.
    ordered: long,
    select: column => `${column}::text`,
    read: (bytes, at, length) => {
      const digits = bytes.toString('latin1', at, at + length);
      if (digits === 'NaN') throw new UnfitValueError('NaN in a numeric');
      const integer = BigInt(digits.replace('.', ''));
      return long ? integer : toBytes(integer);
    },
    canonicalSql: column => `${column}::text`,
    canonical: text,
    text,
  };
}

function shown(unscaled: bigint, scale: number): string {
  if (scale === 0) return String(unscaled);
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  const point = digits.length - scale;
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** Two's complement, highest byte first. */
function toBytes(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(BYTES);
  bytes.writeBigInt64BE(value >> 64n, 0);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value), 8);
  return bytes;
}

function fromBytes(bytes: Buffer): bigint {
  return (bytes.readBigInt64BE(0) << 64n) | bytes.readBigUInt64BE(8);
}
