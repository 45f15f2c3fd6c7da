import { expect, test } from 'vitest';
import { advanceSql, beyondPosition } from './sequences.ts';

const up = { name: 'public.s', increment: 1n, cache: 1n, min: 1n, max: 2n ** 63n - 1n };

test('a sequence goes beyond what sessions of the other end may still hold', () => {
  expect(beyondPosition(up, 41n)).toBe(142n);
  expect(beyondPosition({ ...up, cache: 50n }, 41n)).toBe(191n);
  expect(beyondPosition({ ...up, increment: 10n }, 41n)).toBe(1051n);
});

test('a descending one goes down, and none leaves its range', () => {
  expect(beyondPosition({ ...up, increment: -1n, min: -1000n, max: -1n }, -5n)).toBe(-106n);
  expect(beyondPosition({ ...up, max: 100n }, 41n)).toBe(100n);
  expect(beyondPosition({ ...up, increment: -1n, min: -100n, max: -1n }, -5n)).toBe(-100n);
});

test('only those that were used, and only forwards', () => {
  expect(advanceSql([up], new Map())).toBeUndefined();
  expect(advanceSql([up], new Map([['public.s', 41n]]))).toBe(
    `SELECT setval('public.s', 142) FROM public.s WHERE last_value < 142 OR NOT is_called`,
  );
});
