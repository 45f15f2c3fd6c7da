/** What a Shard's status says of archiving: the report of its primary, and since when it is as it is. Pure. */
import type { ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import type { ArchiveReport } from '#engines/backup.ts';

export type ArchiveStatus = NonNullable<ShardBackupStatus['archive']>;

/** The newest of several; a later timeline is always newer. */
export function newestReport(reports: readonly ArchiveReport[]): ArchiveReport | undefined {
  return reports.reduce<ArchiveReport | undefined>(
    (best, each) => (!best || isNewer(each, best) ? each : best),
    undefined,
  );
}

/** What is known: a report that is newer than the status, or what the status remembers of a primary that is gone. */
export function knownArchive(
  before: ArchiveStatus | undefined,
  report: ArchiveReport | undefined,
): ArchiveStatus | undefined {
  if (!report) return before;
  if (before && isNewer(before, report)) return before;
  const { at, rpoSeconds, continuity, settingsVersion, timeline, archivedTo, objects, bytes } = report;
  const { transferSeconds, failure } = report;
  return {
    at,
    rpoSeconds,
    continuity,
    since: before?.continuity === continuity ? before.since : at,
    settingsVersion: settingsVersion.slice(0, 128),
    timeline,
    ...(archivedTo === undefined ? {} : { archivedTo }),
    ...(transferSeconds === undefined ? {} : { transferSeconds }),
    objects: Math.round(objects),
    bytes: Math.round(bytes),
    ...(failure === undefined ? {} : { failure: failure.slice(0, 1024) }),
  };
}

type Told = Pick<ArchiveReport, 'timeline' | 'at'>;

function isNewer(a: Told, b: Told): boolean {
  return a.timeline === b.timeline ? Date.parse(a.at) > Date.parse(b.at) : a.timeline > b.timeline;
}
