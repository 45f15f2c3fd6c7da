import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { canonicalJson, digest, sameJson } from '#kernel/canonical.ts';

it('is JSON that says the same', () => {
  fc.assert(
    fc.property(fc.jsonValue(), value => {
      // JSON has no -0, and parsing makes plain objects.
      const plain: unknown = JSON.parse(JSON.stringify(value));
      expect(JSON.parse(canonicalJson(plain))).toEqual(plain);
    }),
  );
});

it('does not depend on the order of keys, nor on fields without a value', () => {
  expect(digest({ a: 1, b: { c: [2], d: 3 } })).toBe(digest({ b: { d: 3, c: [2] }, e: undefined, a: 1 }));
  expect(digest({ a: [1, 2] })).not.toBe(digest({ a: [2, 1] }));
});

it('is one text for one value, few fields or many', () => {
  // Small numbers as names are kept apart by engines, and __proto__ is no field where it is assigned.
  const names = fc.oneof(fc.constantFrom('__proto__', '2', '10'), fc.string());
  const fields = fc.uniqueArray(fc.tuple(names, fc.jsonValue()), {
    maxLength: 60,
    selector: ([name]) => name,
  });
  fc.assert(
    fc.property(fields, entries => {
      const value: unknown = Object.fromEntries(entries);
      const turned: unknown = Object.fromEntries(entries.toReversed());
      expect(canonicalJson(turned)).toBe(canonicalJson(value));
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

it('compares without writing out, and comes to the same answer', () => {
  const keys = fc.constantFrom('a', 'b');
  const { value } = fc.letrec<{ value: unknown }>(tie => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom<unknown>(0, 1, '', '1', null, undefined, true),
      fc.array(tie('value'), { maxLength: 2 }),
      fc.dictionary(keys, tie('value'), { maxKeys: 2 }),
    ),
  }));
  fc.assert(
    fc.property(value, value, (left, right) => {
      expect(sameJson(left, right)).toBe(canonicalJson(left) === canonicalJson(right));
      expect(sameJson(left, structuredClone(left))).toBe(true);
    }),
  );
});
