/**
 * Keys and their canonical text. Canonical texts of one type are equal exactly when the database calls the keys equal,
 * and {@link compareKeys} orders them as the database does (text as `COLLATE "C"`).
 */
import { assertNever } from './assert-never.ts';
import { InvalidKeyError } from './errors.ts';

export type KeyType = 'bigint' | 'text' | 'uuid';
export const keyTypes: readonly KeyType[] = ['bigint', 'text', 'uuid'];

/** bigint keys: a safe integer, a bigint or decimal digits. text and uuid keys: a string. */
export type Key = string | number | bigint;

const minBigint = -(2n ** 63n);
const maxBigint = 2n ** 63n - 1n;

/** The canonical text: decimal digits, the text itself, or a lower-case uuid with hyphens. Throws InvalidKeyError. */
export function normalizeKey(key: Key, keyType: KeyType): string {
  switch (keyType) {
    case 'bigint':
      return typeof key === 'number' && Number.isSafeInteger(key)
        ? String(key === 0 ? 0 : key)
        : String(toBigint(key));
    case 'text':
      return checkText(key);
    case 'uuid': {
      const hex = uuidHex(key);
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    }
    default:
      return assertNever(keyType);
  }
}

/** Orders two canonical texts: negative, zero or positive. */
export function compareKeys(left: string, right: string, keyType: KeyType): number {
  if (left === right) return 0;
  if (keyType === 'text') return compareText(left, right);
  if (keyType === 'uuid') return left < right ? -1 : 1;
  const [a, b] = [BigInt(left), BigInt(right)];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Byte order of the UTF-8 encodings. It is the order of code points; UTF-16 units differ where surrogates start. */
export function compareText(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) {
    const a = left.charCodeAt(i);
    const b = right.charCodeAt(i);
    if (a !== b) return rank(a) - rank(b);
  }
  return left.length - right.length;
}

/** Moves surrogates (code points beyond 0xFFFF) above 0xE000..0xFFFF. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x2000 : unit >= 0xe000 ? unit - 0x800 : unit;
}

/** Any accepted form of a bigint key as a bigint within int8. Throws InvalidKeyError. */
export function toBigint(key: Key): bigint {
  if (typeof key === 'number' && !Number.isSafeInteger(key)) {
    throw new InvalidKeyError(`${key} is not a safe integer`, 'Pass larger keys as a bigint or as digits.');
  }
  if (typeof key === 'string' && !/^[+-]?\d{1,30}$/.test(key)) {
    throw new InvalidKeyError(
      `${quote(key)} is not a whole number`,
      'Pass a number, a bigint or decimal digits.',
    );
  }
  const value = BigInt(typeof key === 'string' && key.startsWith('+') ? key.slice(1) : key);
  if (value < minBigint || value > maxBigint) {
    throw new InvalidKeyError(`${value} is out of range`, 'A bigint key lies in -2^63 .. 2^63-1.');
  }
  return value;
}

/** Text that PostgreSQL can store. */
export function checkText(key: Key): string {
  if (typeof key !== 'string') {
    throw new InvalidKeyError(`a text key cannot be a ${typeof key}`, 'Pass the key as a string.');
  }
  if (key.includes('\0') || !key.isWellFormed()) {
    throw new InvalidKeyError(
      'the text has a NUL or a lone surrogate',
      'PostgreSQL cannot store such text; encode it.',
    );
  }
  return key;
}

/** 32 lower-case hexadecimal digits. Accepts upper case, no hyphens, and braces, as PostgreSQL does. */
export function uuidHex(key: Key): string {
  if (typeof key === 'string' && uuidForm.test(key)) {
    return key.replace(/[{}-]/g, '').toLowerCase();
  }
  throw new InvalidKeyError(`${quote(String(key))} is not a uuid`, 'Write 8-4-4-4-12 hexadecimal digits.');
}

const group = '[0-9a-f]{8}(-?)[0-9a-f]{4}(-?)[0-9a-f]{4}(-?)[0-9a-f]{4}(-?)[0-9a-f]{12}';
const uuidForm = new RegExp(`^(?:${group}|\\{${group}\\})$`, 'i');

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}
