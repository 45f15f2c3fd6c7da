import { array, assert, boolean, integer, oneof, property, record, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BackupRecord } from '#engines/backup.ts';
import { expire } from './expire.ts';

const DAY = 86_400_000;
const now = new Date('2026-03-16T12:00:00Z');

/** `[age in hours, type, error]`, the oldest first, each incremental one on the one before. */
function records(of: readonly (readonly [number, 'full' | 'incremental', boolean?])[]): BackupRecord[] {
  const made: BackupRecord[] = [];
  for (const [hours, type, error = false] of of) {
    const stopped = new Date(now.getTime() - hours * 3_600_000).toISOString();
    const prior = type === 'full' ? undefined : made.at(-1)?.label;
    made.push({
      label: `${hours}h-${type}`,
      type,
      started: stopped,
      stopped,
      databaseBytes: 1,
      storedBytes: 1,
      error,
      ...(prior === undefined ? {} : { prior }),
    });
  }
  return made;
}

describe('which backups go', () => {
  test('full ones by age, with what stands on them', () => {
    const all = records([
      [24 * 40, 'full'],
      [24 * 39, 'incremental'],
      [24 * 10, 'full'],
      [24 * 9, 'incremental'],
    ]);
    expect(expire(all, { full: '30d' }, now)).toEqual(['936h-incremental', '960h-full']);
  });

  test('full ones by count', () => {
    const all = records([
      [72, 'full'],
      [48, 'full'],
      [24, 'full'],
    ]);
    expect(expire(all, { full: '2' }, now)).toEqual(['72h-full']);
  });

  test('of each day the first, for as long as said', () => {
    const all = records([
      [100, 'full'],
      [54, 'full'],
      [52, 'full'],
      [30, 'full'],
      [28, 'full'],
      [2, 'full'],
    ]);
    // 54 h and 52 h ago are one day, 30 h and 28 h ago the next.
    expect(expire(all, { full: '1', daily: '3d' }, now)).toEqual(['28h-full', '52h-full', '100h-full']);
  });

  test('of each week the first, as many as said', () => {
    const all = records([15, 14, 8, 7, 1, 0].map(days => [days * 24, 'full'] as const));
    // Today is a Monday: yesterday, and what is seven days old, lie in the week before.
    expect(expire(all, { full: '1', weekly: '2' }, now)).toEqual([
      '24h-full',
      '192h-full',
      '336h-full',
      '360h-full',
    ]);
  });

  test('a damaged one does not stand in for the last good one', () => {
    const all = records([
      [48, 'full'],
      [24, 'full', true],
    ]);
    expect(expire(all, { full: '1' }, now)).toEqual([]);
  });
});

const tier = oneof(
  integer({ min: 1, max: 6 }).map(String),
  integer({ min: 1, max: 40 }).map(days => `${days}d`),
);
const retention = record({ full: tier, hourly: tier, daily: tier, weekly: tier }, { requiredKeys: ['full'] });
const history = array(tuple(integer({ min: 0, max: 24 * 90 }), boolean(), boolean()), { maxLength: 40 }).map(
  all =>
    records(
      all
        .toSorted(([a], [b]) => b - a)
        .map(
          ([hours, full, error], i) =>
            [hours + i / 1000, i === 0 || full ? 'full' : 'incremental', error] as const,
        )
        .toReversed()
        .toSorted(([a], [b]) => b - a),
    ),
);

const remaining = (all: readonly BackupRecord[], gone: readonly string[]) =>
  all.filter(({ label }) => !gone.includes(label));

describe('whatever the retention', () => {
  test('the last good one stays, and what a kept one stands on', () => {
    assert(
      property(history, retention, (all, wanted) => {
        const left = remaining(all, expire(all, wanted, now));
        const good = all.filter(({ error }) => !error);
        const last = good.toSorted((a, b) => (a.stopped < b.stopped ? -1 : 1)).at(-1);
        const labels = new Set(left.map(({ label }) => label));
        expect(last === undefined || labels.has(last.label)).toBe(true);
        expect(left.filter(({ prior }) => prior !== undefined && !labels.has(prior))).toEqual([]);
        expect(all.length === 0 || left.length > 0).toBe(true);
      }),
    );
  });

  test('what a tier asks for is there', () => {
    assert(
      property(history, retention, (all, wanted) => {
        const left = new Set(remaining(all, expire(all, wanted, now)).map(({ label }) => label));
        const fulls = all.filter(({ type }) => type === 'full').toReversed();
        const days = /^(\d+)d$/.exec(wanted.full)?.[1];
        const kept =
          days === undefined
            ? fulls.slice(0, Number(wanted.full))
            : fulls.filter(({ stopped }) => now.getTime() - Date.parse(stopped) <= Number(days) * DAY);
        for (const { label } of kept) expect(left.has(label)).toBe(true);
      }),
    );
  });

  test('once carried out, nothing more is to go', () => {
    assert(
      property(history, retention, (all, wanted) => {
        const left = remaining(all, expire(all, wanted, now));
        expect(expire(left, wanted, now)).toEqual([]);
      }),
    );
  });
});
