import { expect, test } from 'vitest';
import { lossOf } from './loss.ts';
import type { ProbeRecord } from './records.ts';

const ack = (id: number, endedMs: number): ProbeRecord => ({
  type: 'ack',
  id,
  startedMs: endedMs - 5,
  endedMs,
  timeline: 1,
  serverStartedMs: 0,
});
const writes = [ack(1, 1000), ack(2, 2000), ack(3, 3000), ack(4, 10_100)];

test('nothing is lost when all that was acknowledged came back, and more may have', () => {
  expect(lossOf(writes, new Set([1, 2, 3, 4, 5]), 10_000, 0)).toEqual({
    acknowledged: 4,
    lost: 0,
    trueLossSeconds: 0,
    lostBeyondDeclared: 0,
  });
});

test('the oldest that is missing says how much was lost; what came while the shard died is of no age', () => {
  expect(lossOf(writes, new Set([1]), 10_000, 8)).toEqual({
    acknowledged: 4,
    lost: 3,
    trueLossSeconds: 8,
    lostBeyondDeclared: 0,
  });
});

test('each that was older than what was declared is counted', () => {
  expect(lossOf(writes, new Set(), 10_000, 7.5)).toMatchObject({ lostBeyondDeclared: 2, trueLossSeconds: 9 });
});

test('an attempt that failed was promised to nobody', () => {
  const failed: ProbeRecord = { type: 'fail', id: 1, startedMs: 0, endedMs: 1, message: 'refused' };
  expect(lossOf([failed], new Set(), 10_000, 0)).toMatchObject({ acknowledged: 0, lost: 0 });
});
