/**
 * Which backups are no longer to be kept. Guarantees, whatever the retention says: the last good backup is never among them,
 * nor anything that a kept one stands on. Pure; the next backup of the shard carries it out.
 */
import { durationMs } from '#controllers/duration.ts';
import type { Retention } from '#crds/api/backup/plan.ts';
import type { BackupRecord } from '#engines/backup.ts';
import { periodOf, tiersOf } from './tiers.ts';

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
  const fulls = newestFirst.filter(({ type }) => type === 'full');
  const kept = new Set(within(fulls, retention.full, now).map(({ label }) => label));
  const tiers = tiersOf(retention);
  // A damaged one stands for nothing.
  const good = newestFirst.filter(({ error }) => !error);
  for (const { lengthMs, keep } of tiers) {
    for (const { label } of within(oneOfEach(good, lengthMs), keep, now)) kept.add(label);
  }
  if (tiers.length > 0) return kept;
  // Without tiers an incremental backup lives as long as the full one that it stands on.
  const byLabel = new Map(newestFirst.map(record => [record.label, record]));
  for (const record of newestFirst) {
    const base = foundationOf(record, byLabel);
    if (base && kept.has(base.label)) kept.add(record.label);
  }
  return kept;
}

/** `keep`: how many, or for how long. */
function within(newestFirst: readonly BackupRecord[], keep: string, now: Date): readonly BackupRecord[] {
  if (/^\d+$/.test(keep)) return newestFirst.slice(0, Number(keep));
  const since = now.getTime() - durationMs(keep);
  return newestFirst.filter(record => stoppedAt(record) >= since);
}

/**
 * Of each hour, day or week the first, which the least stands below; one that stands on another incremental one only where there is no
 * other. The newest of them first.
 */
function oneOfEach(newestFirst: readonly BackupRecord[], lengthMs: number): readonly BackupRecord[] {
  const chosen = new Map<number, BackupRecord>();
  for (const record of newestFirst) {
    const period = periodOf(stoppedAt(record), lengthMs);
    const before = chosen.get(period);
    if (!before || record.type !== 'incremental' || before.type === 'incremental') chosen.set(period, record);
  }
  return [...chosen.values()].toSorted((a, b) => stoppedAt(b) - stoppedAt(a));
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
