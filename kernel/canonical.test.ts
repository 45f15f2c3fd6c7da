import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { canonicalJson, digest } from '#kernel/canonical.ts';

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
