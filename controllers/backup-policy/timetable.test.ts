import { describe, expect, test } from 'vitest';
import { cronProblem, lastMoment, longestGapMs, offsetMs, timetable } from './timetable.ts';

const at = (text: string) => new Date(text);
const schedule = {
  full: '0 2 * * 0',
  incremental: '0 * * * *',
  timeZone: 'Etc/UTC',
  jitter: '0s',
  maxConcurrent: 4,
  deadline: '6h',
  suspend: false,
};

describe('moments', () => {
  test('the last one of each schedule', () => {
    const times = timetable(schedule, at('2026-03-16T12:34:56Z'));
    expect(times.last('full', 'a')).toEqual(at('2026-03-15T02:00:00Z'));
    expect(times.last('incremental', 'a')).toEqual(at('2026-03-16T12:00:00Z'));
    expect(times.next('a')).toEqual(at('2026-03-16T13:00:00Z'));
  });

  test('one that is now has come, also when it was asked for a moment before', () => {
    expect(lastMoment('*/10 * * * *', 'Etc/UTC', at('2026-03-16T12:09:59Z'))).toEqual(
      at('2026-03-16T12:00:00Z'),
    );
    expect(lastMoment('*/10 * * * *', 'Etc/UTC', at('2026-03-16T12:10:00Z'))).toEqual(
      at('2026-03-16T12:10:00Z'),
    );
    expect(lastMoment('*/10 * * * *', 'Etc/UTC', at('2026-03-16T12:10:05Z'))).toEqual(
      at('2026-03-16T12:10:00Z'),
    );
  });

  test('in a time zone, over the change to summer time', () => {
    const berlin = { ...schedule, timeZone: 'Europe/Berlin' };
    expect(timetable(berlin, at('2026-03-28T12:00:00Z')).last('full', 'a')).toEqual(
      at('2026-03-22T01:00:00Z'),
    );
    expect(timetable(berlin, at('2026-04-06T12:00:00Z')).last('full', 'a')).toEqual(
      at('2026-04-05T00:00:00Z'),
    );
  });

  test('each shard a little later, at most half of the time between two', () => {
    const spread = { ...schedule, jitter: '3h' };
    const offset = offsetMs('social-7', 1_800_000);
    expect(offset).toBeGreaterThan(0);
    const before = timetable(spread, new Date(at('2026-03-16T12:00:00Z').getTime() + offset - 1));
    const after = timetable(spread, new Date(at('2026-03-16T12:00:00Z').getTime() + offset));
    expect(before.last('incremental', 'social-7')).toEqual(at('2026-03-16T11:00:00Z'));
    expect(after.last('incremental', 'social-7')).toEqual(at('2026-03-16T12:00:00Z'));
  });

  test('a fleet is spread evenly', () => {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 2500; i++) {
      const tenth = offsetMs(`social-${i}`, 10);
      tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    }
    expect(Math.min(...tenths)).toBeGreaterThan(150);
    expect(Math.max(...tenths)).toBeLessThan(350);
  });
});

test.each([
  ['0 2 31 2 *', 'Etc/UTC', 'never comes'],
  ['5/10 * * * *', 'Etc/UTC', 'is no cron expression'],
  ['0 2 * * 0', 'Mars/Olympus', 'there is no time zone Mars/Olympus'],
])('%s in %s: %s', (expression, zone, problem) => {
  const found = cronProblem(expression, zone, at('2026-03-16T12:00:00Z'));
  expect(found).toContain(problem);
});

test('a schedule that is one', () => {
  expect(cronProblem('0 2 * * 0', 'Etc/UTC', at('2026-03-16T12:00:00Z'))).toBeUndefined();
});

test('the longest time between two', () => {
  expect(longestGapMs('0 2 * * 1,5', 'Etc/UTC', at('2026-03-16T12:00:00Z'))).toBe(4 * 86_400_000);
});
