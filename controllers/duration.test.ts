import { expect, it } from 'vitest';
import { durationMs } from './duration.ts';

it.each([
  ['300ms', 300],
  ['10s', 10_000],
  ['5m', 300_000],
  ['1h30m', 5_400_000],
  ['1d1ms', 86_400_001],
  ['2w', 1_209_600_000],
])('%s', (text, ms) => {
  expect(durationMs(text)).toBe(ms);
});
