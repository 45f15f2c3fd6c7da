/**
 * What the loss of a shard would lose at this moment, as an upper bound: what its primary last told, and the time since. Pure,
 * but for {@link ReportMemory}, which forgets nothing that matters when the operator restarts.
 */
import type { ArchiveReport } from '#engines/backup.ts';

export interface Achieved {
  /** Bound at this moment; undefined: not known. */
  readonly nowSeconds?: number;
  /** The highest of the last minute: what a reader of a status that is some seconds old can rely on. */
  readonly recentSeconds?: number;
  /** Why it is not known, or too much; in words. */
  readonly trouble?: string;
}

/** Meters tell every five seconds, and at once when it turns bad: until twice that has passed, silence is good news. */
const REPORT_EVERY_SECONDS = 5;

/** Age up to which a report speaks for the present. */
export function freshSeconds(objectiveSeconds: number): number {
  return Math.min(2 * REPORT_EVERY_SECONDS, 1.5 * objectiveSeconds);
}

/** Upper bound at `ageSeconds` after the report. */
export function boundSeconds(rpoSeconds: number, ageSeconds: number, objectiveSeconds: number): number {
  const bound = rpoSeconds + ageSeconds;
  if (ageSeconds > freshSeconds(objectiveSeconds)) return bound;
  if (rpoSeconds === 0) return 0;
  return rpoSeconds <= objectiveSeconds ? Math.min(bound, objectiveSeconds) : bound;
}

export interface Told {
  readonly report: Pick<ArchiveReport, 'at' | 'rpoSeconds' | 'continuity' | 'failure' | 'settingsVersion'>;
  readonly ageSeconds: number;
}

/** `place`: beginning of the settings' version that backups are under now. */
export function achievedNow(told: Told | undefined, place: string, objectiveSeconds: number): Achieved {
  if (!told) return { trouble: 'its primary has told nothing of archiving yet' };
  const { report, ageSeconds } = told;
  if (!report.settingsVersion.startsWith(`${place}.`)) {
    return { trouble: 'its primary has not taken up the present settings yet' };
  }
  if (report.continuity === 'Broken') {
    return { trouble: `its archive has a hole, which a full backup will close${because(report.failure)}` };
  }
  if (report.continuity === 'Unverified') {
    return { trouble: `its archive is not verified to be without a gap yet${because(report.failure)}` };
  }
  const nowSeconds = boundSeconds(report.rpoSeconds, ageSeconds, objectiveSeconds);
  if (nowSeconds <= objectiveSeconds) return { nowSeconds };
  const silent = ageSeconds > freshSeconds(objectiveSeconds);
  const why = silent
    ? `its primary has told nothing for ${Math.round(ageSeconds)}s`
    : `archiving is ${Math.round(nowSeconds)}s behind`;
  return { nowSeconds, trouble: why + because(report.failure) };
}

function because(failure: string | undefined): string {
  return failure === undefined ? '' : `: ${failure}`;
}

interface Seen {
  readonly at: string;
  readonly rpoSeconds: number;
  /** On the monotonic clock. */
  readonly seenAt: number;
  windowAt: number;
  worst: number;
  worstBefore: number;
}

const WINDOW_MS = 30_000;

/** Remembers when reports came - a clock that is ahead cannot hide a primary that has gone silent - and the worst of late. */
export class ReportMemory {
  readonly #seen = new Map<string, Seen>();

  /** Seconds since the report was made, by whichever clock says more. */
  ageSeconds(
    key: string,
    report: Pick<ArchiveReport, 'at' | 'rpoSeconds'>,
    now: Date,
    monotonicMs: number,
  ): number {
    const known = this.#seen.get(key);
    const byClock = now.getTime() - Date.parse(report.at);
    if (known?.at !== report.at) {
      const gapSeconds = known ? (Date.parse(report.at) - Date.parse(known.at)) / 1000 : 0;
      const next: Seen = {
        at: report.at,
        rpoSeconds: report.rpoSeconds,
        seenAt: monotonicMs,
        windowAt: known?.windowAt ?? monotonicMs,
        worst: known?.worst ?? 0,
        worstBefore: known?.worstBefore ?? 0,
      };
      // Between two reports it grew until the second came, unless nothing was written at all.
      if (known && (known.rpoSeconds > 0 || report.rpoSeconds > 0)) {
        next.worst = Math.max(next.worst, Math.min(known.rpoSeconds + Math.max(0, gapSeconds), 86_400));
      }
      this.#seen.set(key, next);
    }
    const since = monotonicMs - (this.#seen.get(key)?.seenAt ?? monotonicMs);
    return Math.max(0, byClock, since) / 1000;
  }

  /** The worst of the last half minute to minute, this moment's included. */
  recent(key: string, nowSeconds: number, capSeconds: number, monotonicMs: number): number {
    const seen = this.#seen.get(key);
    if (!seen) return nowSeconds;
    if (monotonicMs - seen.windowAt >= WINDOW_MS) {
      const skipped = monotonicMs - seen.windowAt >= 2 * WINDOW_MS;
      seen.worstBefore = skipped ? 0 : seen.worst;
      seen.worst = 0;
      seen.windowAt = monotonicMs;
    }
    seen.worst = Math.max(seen.worst, nowSeconds);
    const worst = Math.max(seen.worst, seen.worstBefore);
    // Between reports that were in time it was never more than the objective: the meter would have said so.
    return nowSeconds <= capSeconds ? Math.max(nowSeconds, Math.min(worst, capSeconds)) : worst;
  }

  forget(key: string): void {
    this.#seen.delete(key);
  }
}
