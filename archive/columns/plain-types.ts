/** Types whose values Parquet holds as they are: booleans, integers, floating point numbers, bytes, UUIDs. */
import {
  asBigint,
  asBytes,
  asNumber,
  type ColumnType,
  type Stored,
  UnexpectedValueError,
} from './column-type.ts';

const asText = (column: string) => `${column}::text`;
const same = (column: string) => column;

export const boolean: ColumnType = {
  storage: { physical: 'BOOLEAN', says: 'boolean' },
  ordered: false,
  select: same,
  read: (bytes, at) => bytes[at] === 1,
  canonicalSql: asText,
  canonical: truth,
  text: truth,
};

function truth(value: Stored): string {
  if (typeof value === 'boolean') return String(value);
  throw new UnexpectedValueError(`a ${typeof value} instead of a boolean`);
}

const int32: Omit<ColumnType, 'read'> = {
  storage: { physical: 'INT32', says: '32-bit integer' },
  ordered: true,
  select: same,
  canonicalSql: asText,
  canonical: value => String(asNumber(value)),
  text: value => String(asNumber(value)),
};

export const smallint: ColumnType = { ...int32, read: (bytes, at) => bytes.readInt16BE(at) };
export const integer: ColumnType = { ...int32, read: (bytes, at) => bytes.readInt32BE(at) };

export const bigint: ColumnType = {
  storage: { physical: 'INT64', says: '64-bit integer' },
  ordered: true,
  select: same,
  read: (bytes, at) => bytes.readBigInt64BE(at),
  canonicalSql: asText,
  canonical: value => String(asBigint(value)),
  text: value => String(asBigint(value)),
};

/**
 * Canonical by its bits: two programs need not agree on the shortest decimal. Of NaN there are many, which mean the same and are
 * written as one.
 */
function floating(physical: 'FLOAT' | 'DOUBLE', send: string, hex: (value: number) => string): ColumnType {
  return {
    storage: { physical, says: physical === 'FLOAT' ? '32-bit floating point' : '64-bit floating point' },
    // Readers and writers differ on NaN and on -0.
    ordered: false,
    select: same,
    read: (bytes, at) => (physical === 'FLOAT' ? bytes.readFloatBE(at) : bytes.readDoubleBE(at)),
    canonicalSql: column =>
      `CASE WHEN ${column} = 'NaN' THEN 'NaN' ELSE encode(${send}(${column}), 'hex') END`,
    canonical: value => (Number.isNaN(value) ? 'NaN' : hex(asNumber(value))),
    text: value => (Object.is(value, -0) ? '-0' : String(asNumber(value))),
  };
}

const scratch = Buffer.alloc(8);

export const real = floating('FLOAT', 'float4send', value => {
  scratch.writeFloatBE(value);
  return scratch.toString('hex', 0, 4);
});

export const double = floating('DOUBLE', 'float8send', value => {
  scratch.writeDoubleBE(value);
  return scratch.toString('hex', 0, 8);
});

export const bytea: ColumnType = {
  storage: { physical: 'BYTE_ARRAY', says: 'bytes' },
  ordered: false,
  select: same,
  read: (bytes, at, length) => bytes.subarray(at, at + length),
  canonicalSql: column => `'x' || encode(${column}, 'hex')`,
  canonical: value => `x${asBytes(value).toString('hex')}`,
  text: value => `\\x${asBytes(value).toString('hex')}`,
};

const dashes = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;
const uuidText = (value: Stored) => asBytes(value).toString('hex').replace(dashes, '$1-$2-$3-$4-$5');

export const uuid: ColumnType = {
  storage: { physical: 'FIXED_LEN_BYTE_ARRAY', length: 16, meaning: { kind: 'uuid' }, says: 'UUID' },
  ordered: false,
  select: same,
  read: (bytes, at, length) => bytes.subarray(at, at + length),
  canonicalSql: asText,
  canonical: uuidText,
  text: uuidText,
};
