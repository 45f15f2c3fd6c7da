import { describe, expect, it } from 'vitest';
import { type ProbeRecord, parseLog, toRanges } from './records.ts';
import { longestGap, reportOf } from './report.ts';

function ack(id: number, startedMs: number, endedMs: number, timeline = 1): ProbeRecord {
  return { type: 'ack', id, startedMs, endedMs, timeline, serverStartedMs: 0 };
}

function fail(id: number, message: string): ProbeRecord {
  return { type: 'fail', id, startedMs: 0, endedMs: 1, message };
}

const stored = (...ranges: [number, number][]): ProbeRecord => ({ type: 'stored', ranges });

describe('a report of a probe', () => {
  it('takes the longest time between acknowledgements, in the order they came', () => {
    const records = [ack(1, 0, 10), ack(3, 200, 900), ack(2, 100, 150), ack(4, 300, 910)];
    expect(reportOf(records).longestGapMs).toBe(750);
  });

  it('counts the time from the last acknowledgement to the end as a gap', () => {
    expect(reportOf([ack(1, 0, 10), { type: 'stopped', atMs: 5010 }]).longestGapMs).toBe(5000);
  });

  it('looks at the gaps that touch a window only', () => {
    const records = [ack(1, 0, 0), ack(2, 0, 1000), ack(3, 0, 1100), ack(4, 0, 1600), ack(5, 0, 1700)];
    expect(longestGap(records, { fromMs: 1050, toMs: 1650 })).toBe(500);
    expect(longestGap(records)).toBe(1000);
  });

  it('names what was acknowledged and is gone', () => {
    expect(reportOf([ack(1, 0, 1), ack(2, 0, 2), ack(3, 0, 3), stored([1, 1], [3, 9])]).missing).toEqual([2]);
  });

  it('does not claim that nothing is missing when the table was never read', () => {
    expect(reportOf([ack(1, 0, 1)]).missing).toBeUndefined();
  });

  it('finds an insert that an old primary acknowledged after a new one had', () => {
    const report = reportOf([
      ack(1, 0, 10, 1),
      ack(2, 100, 110, 2),
      ack(3, 120, 130, 1),
      ack(4, 105, 140, 1),
    ]);
    expect(report.oldTimelineAcks.map(old => old.id)).toEqual([3]);
    expect(report.timelines).toEqual([1, 2]);
  });

  it('tells who was refused from who waited too long', () => {
    const report = reportOf([
      fail(1, 'Error: timeout expired'),
      fail(2, 'Error: Query read timeout'),
      fail(3, 'error: password authentication failed for user "app_g1"'),
    ]);
    expect([report.failed, report.refused]).toEqual([3, 1]);
  });

  it('reads a log that is still being written', () => {
    expect(parseLog('{"type":"ready","atMs":1}\nnot a record\n{"type":"st')).toEqual([
      { type: 'ready', atMs: 1 },
    ]);
  });

  it('refuses a line that is no record', () => {
    expect(() => parseLog('{"type":"ack","id":1}\n')).toThrow('startedMs');
  });
});

it('writes runs of numbers', () => {
  expect(toRanges([1, 2, 3, 7, 9, 10])).toEqual([
    [1, 3],
    [7, 7],
    [9, 10],
  ]);
});
