import { assert, integer, nat, property } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { achievedNow, boundSeconds, freshSeconds, ReportMemory } from './achieved.ts';

const at = '2026-03-16T12:00:00Z';
const report = { at, rpoSeconds: 2, continuity: 'Verified', settingsVersion: 'here.10' } as const;

describe('the bound at this moment', () => {
  test.each([
    // what was told, its age, the bound
    [0, 3, 0],
    [2, 3, 5],
    [6, 6, 10],
    [6, 11, 17],
    [0, 11, 11],
    [25, 3, 28],
  ])('%d s told %d s ago: %d s', (rpo, age, bound) => {
    expect(boundSeconds(rpo, age, 10)).toBe(bound);
  });

  test('silence is no good news before twice the objective has passed', () => {
    assert(
      property(integer({ min: 4, max: 3600 }), nat(3600), (objective, rpo) => {
        const silent = Math.max(freshSeconds(objective), objective) + 0.001;
        expect(silent).toBeLessThan(2 * objective);
        expect(boundSeconds(rpo, silent, objective)).toBeGreaterThan(objective);
      }),
    );
  });

  test('it never says less than what was told', () => {
    assert(
      property(nat(100), nat(100), integer({ min: 4, max: 100 }), (rpo, age, objective) => {
        expect(boundSeconds(rpo, age, objective)).toBeGreaterThanOrEqual(rpo);
      }),
    );
  });
});

describe('what is not known is not kept', () => {
  test.each([
    ['nothing was told', undefined, 'has told nothing of archiving yet'],
    ['other settings', { ...report, settingsVersion: 'there.10' }, 'has not taken up the present settings'],
    ['not verified', { ...report, continuity: 'Unverified' } as const, 'is not verified'],
    [
      'a hole',
      { ...report, continuity: 'Broken', failure: '000000010000000000000002' } as const,
      'has a hole',
    ],
  ])('%s', (_what, told, trouble) => {
    const achieved = achievedNow(told && { report: told, ageSeconds: 1 }, 'here', 10);
    expect(achieved.nowSeconds).toBeUndefined();
    expect(achieved.trouble).toContain(trouble);
  });

  test('another objective in the same place is no other place', () => {
    const told = { report: { ...report, settingsVersion: 'here.60' }, ageSeconds: 1 };
    expect(achievedNow(told, 'here', 10)).toEqual({ nowSeconds: 3 });
  });
});

/** A clock that is an hour behind. */
const behind = (seconds: number) => new Date(Date.parse(at) - 3_600_000 + seconds * 1000);

describe('reports', () => {
  test('a clock that is ahead cannot hide a primary that has gone silent', () => {
    const memory = new ReportMemory();
    expect(memory.ageSeconds('a', report, behind(0), 0)).toBe(0);
    expect(memory.ageSeconds('a', report, behind(30), 30_000)).toBe(30);
  });

  test('what status shows holds between reports too', () => {
    const memory = new ReportMemory();
    const look = (second: number, rpoSeconds: number, told: number): number => {
      const next = { ...report, at: new Date(Date.parse(at) + told * 1000).toISOString(), rpoSeconds };
      const now = new Date(Date.parse(at) + second * 1000);
      const age = memory.ageSeconds('a', next, now, second * 1000);
      return memory.recent('a', boundSeconds(rpoSeconds, age, 60), 60, second * 1000);
    };
    expect(look(1, 1, 0)).toBe(2);
    // Until the second report came it had grown to 6 s.
    expect(look(5, 1, 5)).toBe(6);
    expect(look(40, 0, 40)).toBeGreaterThanOrEqual(6);
    look(75, 0, 75);
    look(110, 0, 110);
    expect(look(145, 0, 145)).toBe(0);
  });
});
