/**
 * Schedules as times: which moment of each was the last, for one shard. A shard's moments lie a little after the schedule's,
 * always by the same amount, so that a fleet does not begin all at once. Pure.
 */
import { Cron } from 'croner';
import { durationMs } from '#controllers/duration.ts';
import type { BackupSchedule } from '#crds/api/backup/plan.ts';

export interface Timetable {
  /** The last moment of the schedule for this shard, without what is added to it for the shard; undefined if there was none. */
  last(schedule: 'full' | 'incremental' | 'archive', shard: string): Date | undefined;
  /** When the shard's next moment is. */
  next(shard: string): Date | undefined;
}

interface Moments {
  readonly previous: readonly Date[];
  readonly next: Date | undefined;
  readonly jitterMs: number;
}

/**
 * `archive`: when old rows are looked for, if ever. Throws what croner throws at an expression or time zone that it does not know;
 * {@link cronProblem} tells beforehand.
 */
export function timetable(schedule: BackupSchedule, now: Date, archive?: string): Timetable {
  const wanted = durationMs(schedule.jitter);
  const momentsOf = (expression: string | undefined) =>
    expression === undefined ? undefined : moments(expression, schedule.timeZone, wanted, now);
  const full = momentsOf(schedule.full);
  const incremental = momentsOf(schedule.incremental);
  const of = { full, incremental, archive: momentsOf(archive) };
  return {
    last(name, shard) {
      const found = of[name];
      return found?.previous.find(time => time.getTime() + offsetMs(shard, found.jitterMs) <= now.getTime());
    },
    next(shard) {
      const times = [full, incremental].flatMap(found => {
        if (!found) return [];
        const offset = offsetMs(shard, found.jitterMs);
        const upcoming = [...found.previous, ...(found.next ? [found.next] : [])]
          .map(time => time.getTime() + offset)
          .filter(time => time > now.getTime());
        return upcoming.length > 0 ? [Math.min(...upcoming)] : [];
      });
      return times.length > 0 ? new Date(Math.min(...times)) : undefined;
    },
  };
}

/** What is wrong with an expression, in words; undefined if nothing is. */
export function cronProblem(expression: string, timeZone: string, now: Date): string | undefined {
  try {
    const cron = new Cron(expression, { timezone: timeZone, paused: true });
    return cron.nextRun(now) ? undefined : `"${expression}" never comes`;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return text.includes('imezone') || text.includes('time zone')
      ? `there is no time zone ${timeZone}`
      : `"${expression}" is no cron expression: ${text}`;
  }
}

/** The longest time between two of the next moments. */
export function longestGapMs(expression: string, timeZone: string, now: Date): number {
  const runs = new Cron(expression, { timezone: timeZone, paused: true }).nextRuns(16, now);
  return Math.max(0, ...runs.slice(1).map((run, i) => run.getTime() - (runs[i]?.getTime() ?? 0)));
}

/** The last moment of a schedule that is the same for all shards. */
export function lastMoment(expression: string, timeZone: string, now: Date): Date | undefined {
  return around(expression, timeZone, now).previous[0];
}

function moments(expression: string, timeZone: string, wantedJitterMs: number, now: Date): Moments {
  const { previous, next } = around(expression, timeZone, now);
  const times = [...previous.toReversed(), ...(next ? [next] : [])].map(time => time.getTime());
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  return { previous, next, jitterMs: Math.min(wantedJitterMs, Math.floor(Math.min(...gaps, Infinity) / 2)) };
}

interface Around {
  readonly previous: readonly Date[];
  readonly next: Date | undefined;
}

/** Walking a calendar takes a millisecond, and the answer is the same until the next moment has come. */
const remembered = new Map<string, Around>();
const REMEMBERED = 256;

function around(expression: string, timeZone: string, now: Date): Around {
  const id = `${timeZone} ${expression}`;
  const known = remembered.get(id);
  const [last] = known?.previous ?? [];
  if (known?.next && last && last <= now && now < known.next) return known;
  const cron = new Cron(expression, { timezone: timeZone, paused: true });
  // A moment that is now has come: "before" would leave it out until the next one.
  const reference = new Date(now.getTime() + 1);
  const found = { previous: cron.previousRuns(2, reference), next: cron.nextRun(reference) ?? undefined };
  if (remembered.size >= REMEMBERED) remembered.clear();
  remembered.set(id, found);
  return found;
}

/** The same for ever, and evenly spread: FNV-1a of the name. */
export function offsetMs(shard: string, jitterMs: number): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(shard)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  // Its low bits differ most.
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
  return Math.floor((mixed / 2 ** 32) * jitterMs);
}
