import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvalidKeyError } from './errors.ts';
import { compareKeys, type Key, type KeyType, normalizeKey } from './key.ts';
import { slotExpression, slotOf } from './slot.ts';
import golden from './testdata/slots.golden.json' with { type: 'json' };

const slotCounts = [2 ** 8, 2 ** 14, 2 ** 20];

function expected(hash: string, slots: number): number {
  return Number(BigInt.asUintN(64, BigInt(hash)) & BigInt(slots - 1));
}

function vectors(type: keyof typeof golden): [key: string, hash: string][] {
  return golden[type].map(([key, hash]) => [key ?? '', hash ?? '']);
}

describe('slots agree with a real PostgreSQL 17', () => {
  const types: [keyof typeof golden, KeyType][] = [
    ['bigint', 'bigint'],
    ['int', 'bigint'],
    ['text', 'text'],
    ['uuid', 'uuid'],
  ];
  test.each(types)('%s', (type, keyType) => {
    expect(vectors(type).length).toBeGreaterThan(90);
    for (const slots of slotCounts) {
      const wrong = vectors(type).filter(
        ([key, hash]) => slotOf(key, keyType, slots) !== expected(hash, slots),
      );
      expect(wrong).toEqual([]);
    }
  });

  test('bigints in all three forms', () => {
    for (const [key, hash] of vectors('bigint')) {
      expect(slotOf(BigInt(key), 'bigint', 2 ** 20)).toBe(expected(hash, 2 ** 20));
    }
    for (const [key, hash] of vectors('bigint').filter(([text]) => Number.isSafeInteger(Number(text)))) {
      expect(slotOf(Number(key), 'bigint', 2 ** 20)).toBe(expected(hash, 2 ** 20));
    }
  });

  test('uuids in all forms that PostgreSQL reads', () => {
    for (const [key] of vectors('uuid').slice(0, 20)) {
      const slot = slotOf(key, 'uuid', 2 ** 14);
      for (const form of [key.toUpperCase(), key.replaceAll('-', ''), `{${key}}`]) {
        expect(slotOf(form, 'uuid', 2 ** 14)).toBe(slot);
        expect(normalizeKey(form, 'uuid')).toBe(key);
      }
    }
  });

  // The vectors are in the server's order: of numbers, of bytes (COLLATE "C"), of uuids.
  test.each<KeyType>(['bigint', 'text', 'uuid'])('%s keys compare as on the server', type => {
    const keys = vectors(type).map(([key]) => normalizeKey(key, type));
    expect(keys.toReversed().toSorted((a, b) => compareKeys(a, b, type))).toEqual(keys);
  });
});

test('text compares by the bytes of its UTF-8', () => {
  // Long enough to differ late, from all code points; short, so that prefixes are common.
  const text = fc.string({ unit: 'binary', maxLength: 4 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareKeys(a, b, 'text'))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});

test('safe integers and bigints hash alike', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), key => {
      expect(slotOf(key, 'bigint', 2 ** 20)).toBe(slotOf(BigInt(key), 'bigint', 2 ** 20));
      expect(slotOf(String(key), 'bigint', 2 ** 20)).toBe(slotOf(key, 'bigint', 2 ** 20));
    }),
  );
});

test.each<[Key, KeyType]>([
  [1.5, 'bigint'],
  [2 ** 53, 'bigint'],
  [Number.NaN, 'bigint'],
  ['12a', 'bigint'],
  ['', 'bigint'],
  ['9223372036854775808', 'bigint'],
  [-(2n ** 63n) - 1n, 'bigint'],
  [1, 'text'],
  ['a\0b', 'text'],
  ['\ud800', 'text'],
  [`${'x'.repeat(600)}\0`, 'text'],
  ['not-a-uuid', 'uuid'],
  ['{00000000-0000-0000-0000-000000000000', 'uuid'],
  [7, 'uuid'],
])('case %#: $1 key', (key, type) => {
  expect(() => slotOf(key, type, 256)).toThrow(InvalidKeyError);
  expect(() => normalizeKey(key, type)).toThrow(InvalidKeyError);
});

test('negative zero is zero', () => {
  expect(normalizeKey(-0, 'bigint')).toBe('0');
  expect(slotOf(-0, 'bigint', 256)).toBe(slotOf(0, 'bigint', 256));
});

test('the SQL of a slot masks the same function', () => {
  expect(slotExpression('"id"', 'bigint', 16_384)).toBe('(hashint8extended("id", 0) & 16383)');
});
