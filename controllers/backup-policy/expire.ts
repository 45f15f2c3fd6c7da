/**
 * Which backups are no longer to be kept. Guarantees, whatever the retention says: the last good backup is never among them,
 * nor anything that a kept one stands on. Pure; the next backup of the shard carries it out.
 */
import { durationMs } from '#controllers/duration.ts';
import type { Retention } from '#crds/api/backup/plan.ts';
import type { BackupRecord } from '#engines/backup.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
/** The first Monday of the epoch was its fifth day. */
const MONDAY_MS = 4 * DAY_MS;

/** `records`: all of a shard, in any order. Returns labels, the newest first: what stands on another goes before it. */
export function expire(records: readonly BackupRecord[], retention: Retention, now: Date): readonly string[] {
  const newestFirst = records.toSorted((a, b) => stoppedAt(b) - stoppedAt(a));
  const kept = keptByTier(newestFirst, retention, now);
  const lastGood = newestFirst.find(record => !record.error);
  if (lastGood) kept.add(lastGood.label);
  // An end, whatever its state: it is all there is.
  if (!lastGood && newestFirst[0]) kept.add(newestFirst[0].label);
  const whole = withFoundations(kept, records);
  return newestFirst.filter(({ label }) => !whole.has(label)).map(({ label }) => label);
}

function keptByTier(newestFirst: readonly BackupRecord[], retention: Retention, now: Date): Set<string> {
  const { full, hourly, daily, weekly } = retention;
  const fulls = newestFirst.filter(({ type }) => type === 'full');
  const kept = new Set(within(fulls, full, now).map(({ label }) => label));
  const tiers = [
    [hourly, HOUR_MS],
    [daily, DAY_MS],
    [weekly, WEEK_MS],
  ] as const;
  let thinned = false;
  for (const [tier, lengthMs] of tiers) {
    if (tier === undefined) continue;
    thinned = true;
    for (const { label } of within(newestOfEach(newestFirst, lengthMs), tier, now)) kept.add(label);
  }
  if (thinned) return kept;
  // Without tiers an incremental backup lives as long as the full one that it stands on.
  const byLabel = new Map(newestFirst.map(record => [record.label, record]));
  for (const record of newestFirst) {
    const base = foundationOf(record, byLabel);
    if (base && kept.has(base.label)) kept.add(record.label);
  }
  return kept;
}

/** `tier`: how many, or for how long. */
function within(newestFirst: readonly BackupRecord[], tier: string, now: Date): readonly BackupRecord[] {
  if (/^\d+$/.test(tier)) return newestFirst.slice(0, Number(tier));
  const since = now.getTime() - durationMs(tier);
  return newestFirst.filter(record => stoppedAt(record) >= since);
}

function newestOfEach(newestFirst: readonly BackupRecord[], lengthMs: number): readonly BackupRecord[] {
  const seen = new Set<number>();
  return newestFirst.filter(record => {
    const bucket = Math.floor((stoppedAt(record) - MONDAY_MS) / lengthMs);
    return !seen.has(bucket) && seen.add(bucket);
  });
}

function withFoundations(kept: ReadonlySet<string>, records: readonly BackupRecord[]): ReadonlySet<string> {
  const byLabel = new Map(records.map(record => [record.label, record]));
  const whole = new Set<string>();
  for (const label of kept) {
    for (
      let at: string | undefined = label;
      at !== undefined && !whole.has(at);
      at = byLabel.get(at)?.prior
    ) {
      whole.add(at);
    }
  }
  return whole;
}

function foundationOf(
  record: BackupRecord,
  byLabel: ReadonlyMap<string, BackupRecord>,
): BackupRecord | undefined {
  let at: BackupRecord | undefined = record;
  // A chain is never longer than all records: what names itself ends too.
  for (let steps = 0; at !== undefined && steps <= byLabel.size; steps++) {
    if (at.type === 'full') return at;
    at = at.prior === undefined ? undefined : byLabel.get(at.prior);
  }
  return undefined;
}

function stoppedAt({ stopped }: BackupRecord): number {
  return Date.parse(stopped);
}
