/** What tiers come to over weeks of backups: which type each is, what is left of them, and what could be brought back meanwhile. */
import { array, assert, boolean, constantFrom, integer, property, record, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Retention } from '#crds/api/backup/plan.ts';
import type { BackupKind } from '#crds/api/backup/shard-status.ts';
import type { BackupRecord } from '#engines/backup.ts';
import { typeFor } from './backup-type.ts';
import { expire } from './expire.ts';
import { DAY_MS, HOUR_MS, periodOf, tiersOf } from './tiers.ts';

/** A Monday. */
const BEGIN = Date.parse('2026-03-02T00:00:00Z');

/** A repository as the engine keeps it: each backup stands on what its type says. */
class Life {
  records: readonly BackupRecord[] = [];
  /** All that were ever made. */
  readonly made: BackupRecord[] = [];
  readonly #retention: Retention;

  constructor(retention: Retention) {
    this.#retention = retention;
  }

  backUp(kind: BackupKind, hour: number, { fails = false, error = false } = {}): void {
    const now = new Date(BEGIN + hour * HOUR_MS);
    const gone = new Set(expire(this.records, this.#retention, now));
    const type = typeFor(this.records.length === 0 ? 'full' : kind, this.records, this.#retention, now);
    this.records = this.records.filter(({ label }) => !gone.has(label));
    if (fails) return;
    const under = this.records.findLast(each => type === 'incremental' || each.type === 'full');
    const one: BackupRecord = {
      label: `${hour}h-${type}`,
      type,
      started: now.toISOString(),
      stopped: now.toISOString(),
      databaseBytes: 1,
      storedBytes: 1,
      ...(type === 'full' || under === undefined ? {} : { prior: under.label }),
      error,
    };
    this.records = [...this.records, one];
    this.made.push(one);
  }

  get labels(): readonly string[] {
    return this.records.map(({ label }) => label);
  }
}

const hourly = (life: Life, hours: number): Life => {
  for (let hour = 0; hour < hours; hour++) life.backUp(hour % 168 === 0 ? 'full' : 'incremental', hour);
  return life;
};

describe('what is made', () => {
  test('with tiers the first of each day stands on the full one alone', () => {
    const { made } = hourly(new Life({ full: '30d', hourly: '24' }), 51);
    expect(
      made.filter(({ type }) => type !== 'incremental').map(({ label, prior }) => [label, prior]),
    ).toEqual([
      ['0h-full', undefined],
      ['24h-differential', '0h-full'],
      ['48h-differential', '0h-full'],
    ]);
    expect(made.at(-1)).toMatchObject({ type: 'incremental', prior: '49h-incremental' });
  });

  test('without tiers each stands on the one before', () => {
    const { made } = hourly(new Life({ full: '30d' }), 51);
    expect(new Set(made.slice(1).map(({ type }) => type))).toEqual(new Set(['incremental']));
  });

  test('one that fails, or is damaged, is not the first of its day', () => {
    const life = hourly(new Life({ full: '30d', daily: '7' }), 24);
    life.backUp('incremental', 24, { fails: true });
    life.backUp('incremental', 25, { error: true });
    life.backUp('incremental', 26);
    life.backUp('incremental', 27);
    expect(life.made.slice(-3).map(({ type }) => type)).toEqual([
      'differential',
      'differential',
      'incremental',
    ]);
  });
});

describe('what is left', () => {
  test('a day of hours, a week of days, and what they stand on: a fraction of what was made', () => {
    const life = hourly(new Life({ full: '14d', hourly: '24', daily: '7' }), 14 * 24);
    expect(life.made).toHaveLength(336);
    // Two full ones, the first of each of seven days, and the hours of the last day and of the one before it.
    expect(life.labels.length).toBeLessThan(2 + 7 + 48);
    expect(life.labels.filter(label => label.endsWith('differential'))).toEqual(
      // Of the eighth day the full one is the first.
      [192, 216, 240, 264, 288, 312].map(hour => `${hour}h-differential`),
    );
    expect(life.labels).toEqual(expect.arrayContaining(['168h-full', '335h-incremental']));
  });

  test('the hours of a day go together, once none of them is wanted', () => {
    const life = hourly(new Life({ full: '30d', hourly: '24', daily: '30' }), 24 + 24 + 23);
    expect(life.labels).toContain('30h-incremental');
    life.backUp('incremental', 71);
    life.backUp('incremental', 72);
    life.backUp('incremental', 73);
    expect(life.labels.filter(label => label.endsWith('incremental'))[0]).toBe('49h-incremental');
    expect(life.labels).toContain('24h-differential');
  });
});

const keep = constantFrom('1', '3', '7', '24', '2d', '10d');
const retention = record(
  { full: constantFrom('1', '2', '14d'), hourly: keep, daily: keep, weekly: keep },
  { requiredKeys: ['full'] },
);
const steps = array(
  tuple(
    integer({ min: 1, max: 40 }),
    boolean(),
    constantFrom('well', 'well', 'well', 'well', 'fails', 'damaged'),
  ),
  { maxLength: 60 },
);

test('whatever the schedule, the retention and the failures: what is promised can be brought back', () => {
  assert(
    property(retention, steps, (wanted, all) => {
      const life = new Life(wanted);
      let hour = 0;
      for (const [gap, full, how] of all) {
        hour += gap;
        const before = life.records;
        life.backUp(full && gap > 30 ? 'full' : 'incremental', hour, {
          fails: how === 'fails',
          error: how === 'damaged',
        });
        const left = new Set(life.labels);
        // Each stands on something that is there, down to a full one.
        for (const { type, prior } of life.records)
          expect(type === 'full' ? prior : prior !== undefined && left.has(prior)).toBe(
            type === 'full' ? undefined : true,
          );
        // The last good one, also when nothing new was made.
        const lastGood = before.findLast(({ error }) => !error);
        expect(lastGood === undefined || left.has(lastGood.label)).toBe(true);
        // Of the hours, days or weeks that a tier speaks of, each that a good one was made in has a good one.
        for (const { lengthMs, keep: keeping } of tiersOf(wanted)) {
          const periods = (of: readonly BackupRecord[]) =>
            [
              ...new Set(of.filter(({ error }) => !error).map(each => periodOf(endOf(each), lengthMs))),
            ].toReversed();
          const days = /^(\d+)d$/.exec(keeping)?.[1];
          const since = BEGIN + hour * HOUR_MS - Number(days) * DAY_MS;
          const promised =
            days === undefined
              ? periods(life.made).slice(0, Number(keeping))
              : periods(life.made.filter(each => endOf(each) - lengthMs >= since));
          expect(periods(life.records)).toEqual(expect.arrayContaining(promised));
        }
      }
    }),
  );
});

function endOf({ stopped }: BackupRecord): number {
  return Date.parse(stopped);
}
