/**
 * The slot of a key. The database computes the same:
 *   bigint  hashint8extended(key, 0) & (slots - 1)
 *   text    hashtextextended(key, 0) & (slots - 1)    (any deterministic collation)
 *   uuid    uuid_hash_extended(key, 0) & (slots - 1)
 */
import { assertNever } from './assert-never.ts';
import { hashWord, hashWords } from './hash.ts';
import { checkText, type Key, type KeyType, normalizeKey, toBigint } from './key.ts';

export const minSlots = 2 ** 8;
export const maxSlots = 2 ** 20;

/** `slots` is a power of two. Throws InvalidKeyError when the key is not of the type. */
export function slotOf(key: Key, keyType: KeyType, slots: number): number {
  switch (keyType) {
    case 'bigint':
      return hashBigint(key) & (slots - 1);
    case 'text':
      return hashText(key) & (slots - 1);
    case 'uuid':
      return hashUuid(key) & (slots - 1);
    default:
      return assertNever(keyType);
  }
}

/** The SQL expression for the slot of a column. The column must be quoted already. */
export function slotExpression(column: string, keyType: KeyType, slots: number): string {
  const functions = { bigint: 'hashint8extended', text: 'hashtextextended', uuid: 'uuid_hash_extended' };
  return `(${functions[keyType]}(${column}, 0) & ${slots - 1})`;
}

/** int8 folds its high word into the low one such that an int4 of the same value hashes alike. */
function hashBigint(key: Key): number {
  if (typeof key === 'number' && Number.isSafeInteger(key)) {
    const high = Math.floor(key / 0x1_0000_0000);
    // ToInt32 keeps the low 32 bits of any safe integer, in two's complement.
    return hashWord((key | 0) ^ (key < 0 ? ~high : high));
  }
  const value = toBigint(key);
  const low = Number(BigInt.asIntN(32, value));
  const high = Number(value >> 32n);
  return hashWord(low ^ (value < 0n ? ~high : high));
}

/** Texts up to this long are hashed without an allocation. */
const shortText = 512;
const words = new Int32Array(shortText / 4 + 3);
const encoder = new TextEncoder();

function hashText(key: Key): number {
  if (typeof key !== 'string' || key.length > shortText) return hashUtf8(key);
  const length = key.length;
  const whole = length & ~3;
  // Gathers bits of every unit and, for NUL, of unit - 1: beyond ASCII or negative means the slow way.
  let seen = 0;
  let at = 0;
  for (let i = 0; i < whole; i += 4) {
    const [p, q] = [key.charCodeAt(i), key.charCodeAt(i + 1)];
    const [r, s] = [key.charCodeAt(i + 2), key.charCodeAt(i + 3)];
    seen |= p | q | r | s | (p - 1) | (q - 1) | (r - 1) | (s - 1);
    words[at++] = p | (q << 8) | (r << 16) | (s << 24);
  }
  let last = 0;
  for (let i = whole; i < length; i++) {
    const unit = key.charCodeAt(i);
    seen |= unit | (unit - 1);
    last |= unit << (8 * (i - whole));
  }
  if (seen < 0 || seen > 0x7f) return hashUtf8(key);
  words[at] = last;
  words[at + 1] = 0;
  words[at + 2] = 0;
  return hashWords(words, length);
}

function hashUtf8(key: Key): number {
  const bytes = encoder.encode(checkText(key));
  const packed = new Int32Array(Math.floor(bytes.length / 12) * 3 + 3);
  for (const [i, byte] of bytes.entries()) packed[i >> 2] = (packed[i >> 2] ?? 0) | (byte << (8 * (i & 3)));
  return hashWords(packed, bytes.length);
}

const uuidWords = new Int32Array(6);

function hashUuid(key: Key): number {
  if (typeof key !== 'string' || !readUuid(key)) readUuid(normalizeKey(key, 'uuid'));
  return hashWords(uuidWords, 16);
}

/** Where the 16 bytes stand in the form with hyphens. */
const byteAt = Uint8Array.of(0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34);

/** Values of hexadecimal digits; 0x100 for all else. */
const digits = Uint16Array.from({ length: 128 }, (_, unit) => {
  const digit = Number.parseInt(String.fromCharCode(unit), 16);
  return Number.isNaN(digit) ? 0x100 : digit;
});

/** Fills uuidWords. False for any but the usual form: 8-4-4-4-12 digits. */
function readUuid(key: string): boolean {
  if (key.length !== 36) return false;
  let bad =
    (key.charCodeAt(8) ^ 45) |
    (key.charCodeAt(13) ^ 45) |
    (key.charCodeAt(18) ^ 45) |
    (key.charCodeAt(23) ^ 45);
  let word = 0;
  for (let i = 0; i < 16; i++) {
    const at = byteAt[i] ?? 0;
    const high = digits[key.charCodeAt(at)] ?? 0x100;
    const low = digits[key.charCodeAt(at + 1)] ?? 0x100;
    bad |= (high | low) & 0x100;
    word = (word >>> 8) | (((high << 4) | low) << 24);
    if ((i & 3) === 3) uuidWords[i >> 2] = word;
  }
  return bad === 0;
}
