/**
 * What a backup that is due will stand on. Where tiers thin out what is kept, the first of each day (UTC) stands on the newest full
 * one alone, and the others of that day on the one before them: so the first of a day can be kept without the day before it, and
 * the rest of a day can go without the days after it. Without tiers nothing goes before the full one does, and the shortest
 * way is to stand on the one before. Pure: it follows from what is there, so that after a failure the next one is the first of its day.
 */
import type { Retention } from '#crds/api/backup/plan.ts';
import type { BackupKind } from '#crds/api/backup/shard-status.ts';
import type { BackupRecord, BackupType } from '#engines/backup.ts';
import { DAY_MS, periodOf, tiersOf } from './tiers.ts';

/** `records`: all of the shard, in any order. */
export function typeFor(
  kind: BackupKind,
  records: readonly BackupRecord[],
  retention: Retention,
  now: Date,
): BackupType {
  if (kind === 'full') return 'full';
  if (tiersOf(retention).length === 0) return 'incremental';
  const today = periodOf(now.getTime(), DAY_MS);
  const begun = records.some(
    ({ type, error, stopped }) =>
      type !== 'incremental' && !error && periodOf(Date.parse(stopped), DAY_MS) === today,
  );
  return begun ? 'incremental' : 'differential';
}
