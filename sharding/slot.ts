/**
 * The slot of a key. The database computes the same:
 *   bigint  hashint8extended(key, 0) & (slots - 1)
 *   text    hashtextextended(key, 0) & (slots - 1)    (any deterministic collation)
 *   uuid    uuid_hash_extended(key, 0) & (slots - 1)
 */
import { assertNever } from './assert-never.ts';
import { hashBytes, hashWord } from './hash.ts';
import { checkText, type Key, type KeyType, toBigint, uuidHex } from './key.ts';

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

const scratch = new Uint8Array(1536);
const encoder = new TextEncoder();

function hashText(key: Key): number {
  if (typeof key === 'string' && key.length <= 512) {
    for (let i = 0; i < key.length; i++) {
      const unit = key.charCodeAt(i);
      if (unit === 0 || unit > 0x7f)
        return hashBytes(scratch, encoder.encodeInto(checkText(key), scratch).written);
      scratch[i] = unit;
    }
    return hashBytes(scratch, key.length);
  }
  const bytes = encoder.encode(checkText(key));
  return hashBytes(bytes, bytes.length);
}

const uuidBytes = new Uint8Array(16);

function hashUuid(key: Key): number {
  const hex = uuidHex(key);
  for (let i = 0; i < 16; i++) uuidBytes[i] = (digit(hex, 2 * i) << 4) | digit(hex, 2 * i + 1);
  return hashBytes(uuidBytes, 16);
}

/** Value of a hexadecimal digit that was checked already. */
function digit(hex: string, at: number): number {
  const unit = hex.charCodeAt(at);
  return unit <= 0x39 ? unit - 0x30 : (unit | 0x20) - 0x57;
}
