/**
 * Whether a Shard's status is worth writing. Meters speak every few seconds; what changes a meaning is written at once, mere
 * figures now and then, and a shard in which nothing is written costs no write at all. Pure.
 */
import type { ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import { sameJson } from '#kernel/canonical.ts';

export interface ShownBackup {
  readonly backup: ShardBackupStatus | undefined;
  readonly rpoSeconds: number | undefined;
}

/** Figures are written this often at most, and in a large fleet so that there are never more than these each second. */
const DETAILS_MS = 30_000;
const WRITES_PER_SECOND = 20;

export function detailsMs(shards: number): number {
  return Math.max(DETAILS_MS, (shards / WRITES_PER_SECOND) * 1000);
}

export function isWorthWriting(
  before: ShownBackup,
  after: ShownBackup,
  options: { readonly sinceWrittenMs: number; readonly detailsMs: number; readonly objectiveSeconds: number },
): boolean {
  if (!sameJson(meaning(before.backup), meaning(after.backup))) return true;
  if (isNewBound(before.rpoSeconds, after.rpoSeconds, options.objectiveSeconds)) return true;
  return options.sinceWrittenMs >= options.detailsMs && !sameJson(figures(before), figures(after));
}

/** It crossed the objective, came or went, or has grown beyond what a reader may rely on. */
function isNewBound(before: number | undefined, after: number | undefined, objective: number): boolean {
  if (before === undefined || after === undefined) return before !== after;
  if (before <= objective !== after <= objective) return true;
  return after > before * 1.25 + 1 || (before === 0 && after > 0);
}

function meaning(backup: ShardBackupStatus | undefined): unknown {
  if (!backup) return undefined;
  const { archive, running, ...rest } = backup;
  return {
    ...rest,
    running: running?.request,
    archive: archive && {
      continuity: archive.continuity,
      since: archive.since,
      timeline: archive.timeline,
      settingsVersion: archive.settingsVersion,
      failing: archive.failure !== undefined,
    },
  };
}

/** All but the time of the last report: while nothing else changes there is nothing to tell. */
function figures({ backup, rpoSeconds }: ShownBackup): unknown {
  const { at: _, ...archive } = backup?.archive ?? {};
  return { running: backup?.running, archive, rpoSeconds };
}
