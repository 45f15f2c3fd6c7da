import { expect, it } from 'vitest';
import { type Call, Latencies, percentile, stallBetween, usualOf } from './latency.ts';

const call = (startedMs: number, tookMs: number, retries = 0): Call => ({
  kind: 'k',
  startedMs,
  tookMs,
  retries,
});

it('takes percentiles that were measured, not values between them', () => {
  const sorted = Array.from({ length: 200 }, (_, n) => n + 1);
  expect([0.5, 0.99, 1].map(of => percentile(sorted, of))).toEqual([100, 198, 200]);
  expect(usualOf([3, 1, 2])).toEqual({ calls: 3, p50: 2, p99: 3, max: 3 });
});

it('hands on the slowest of each second, and every call that was tried again', () => {
  const told: Call[] = [];
  const latencies = new Latencies(1, each => told.push(each));
  for (const each of [call(0, 5), call(10, 9), call(20, 7), call(30, 1, 2), call(1000, 4)])
    latencies.add(each);
  latencies.flush();
  expect(told).toEqual([call(30, 1, 2), call(10, 9), call(1000, 4)]);
  expect(latencies.total).toMatchObject({ calls: 5, p50: 5, max: 9 });
});

it('finds the longest wait of those under way at a time', () => {
  const calls = [call(0, 500), call(900, 50), call(1000, 30)];
  const usual = { k: { calls: 3, p50: 20, p99: 20, max: 20 } };
  expect(stallBetween(calls, usual, 940, 1500)).toBe(30);
  expect(stallBetween(calls, usual, 960, 1500)).toBe(10);
  expect(stallBetween(calls, usual, 5000, 6000)).toBe(0);
});
