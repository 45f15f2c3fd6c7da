/** The tiers of a retention: hours, days and weeks, of each of which one backup is kept. Pure. */
import type { Retention } from '#crds/api/backup/plan.ts';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
/** The first Monday of the epoch was its fifth day. */
const MONDAY_MS = 4 * DAY_MS;

export interface Tier {
  readonly lengthMs: number;
  /** Of how many of them, or for how long. */
  readonly keep: string;
}

/** Those that are wanted. */
export function tiersOf({ hourly, daily, weekly }: Retention): readonly Tier[] {
  return [
    { lengthMs: HOUR_MS, keep: hourly },
    { lengthMs: DAY_MS, keep: daily },
    { lengthMs: WEEK_MS, keep: weekly },
  ].flatMap(({ lengthMs, keep }) => (keep === undefined ? [] : [{ lengthMs, keep }]));
}

/** Numbers the hours, days (UTC) or weeks (from Monday on): of two moments in the same one it is the same. */
export function periodOf(timeMs: number, lengthMs: number): number {
  return Math.floor((timeMs - MONDAY_MS) / lengthMs);
}
