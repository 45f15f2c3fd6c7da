/** Events and counts of what has ended and of what has turned. */
import type { ArchiveRun } from '#crds/api/backup/cold-tier.ts';
import type { BackupPolicyStatus } from '#crds/api/backup-policy.ts';
import { ConditionType } from '#crds/api/conditions.ts';
import { transitions } from '#kernel/conditions.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { ShardDecision } from './decide.ts';
import type { BackupDeps } from './deps.ts';
import type { ShardView } from './facts.ts';

type Telling = Pick<BackupDeps, 'events' | 'metrics'>;

export function tellOfEnds({ events, metrics }: Telling, policy: KubeObject, decision: ShardDecision): void {
  const { view, backupEnded, drillEnded, archiveEnded } = decision;
  const { raw, shard, backup: before } = view;
  const { name } = shard.metadata;
  if (backupEnded?.kind === 'Failed') {
    const type = backupEnded.request.split('-')[0] ?? '';
    metrics.backupsEnded.inc({ type, result: 'failed' });
    const note = `${backupEnded.request}: ${backupEnded.message}`;
    events.emit({ regarding: raw, type: 'Warning', reason: 'BackupFailed', action: 'Backup', note });
  } else if (backupEnded) {
    metrics.backupsEnded.inc({ type: backupEnded.type, result: 'succeeded' });
    // Incremental ones come every hour on every shard: they are told of only after a failure.
    if (backupEnded.type === 'full' || before?.failed) {
      const note = `${backupEnded.request} is in the object store`;
      events.emit({ regarding: raw, type: 'Normal', reason: 'BackupSucceeded', action: 'Backup', note });
    }
  }
  if (archiveEnded) tellOfArchive({ events, metrics }, view, archiveEnded);
  if (!drillEnded) return;
  metrics.drillsEnded.inc({ result: drillEnded.passed ? 'passed' : 'failed' });
  if (drillEnded.rtoSeconds !== undefined) metrics.restoreTime.observe(drillEnded.rtoSeconds);
  const note = drillEnded.passed
    ? `${name} was restored in ${Math.round(drillEnded.rtoSeconds ?? 0)}s and is as it should be`
    : `${name} could not be restored as it should be: ${drillEnded.failure ?? ''}`;
  for (const regarding of [raw, policy]) {
    events.emit({
      regarding,
      type: drillEnded.passed ? 'Normal' : 'Warning',
      reason: drillEnded.passed ? 'DrillPassed' : 'DrillFailed',
      action: 'Drill',
      note,
    });
  }
}

function tellOfArchive(
  { events, metrics }: Telling,
  { raw, backup: before }: ShardView,
  run: ArchiveRun,
): void {
  const { request, succeeded, rows, files, bytes, deleted, kept, failure } = run;
  metrics.archivesEnded.inc({ result: succeeded ? 'succeeded' : 'failed' });
  // What a failed run has done stays done.
  metrics.archivedRows.inc(rows);
  metrics.archivedBytes.inc(bytes);
  metrics.erasedRows.inc(deleted);
  // It goes on by itself after the migration.
  if (failure?.code === 'Migrating') return;
  if (failure) {
    const note = `${request}: ${failure.message}`;
    events.emit({ regarding: raw, type: 'Warning', reason: 'ArchiveFailed', action: 'Archive', note });
  } else if (rows + deleted > 0 || before?.coldTier?.attempts !== undefined) {
    const note = `${request}: ${rows} rows in ${files} ${files === 1 ? 'file' : 'files'}, ${deleted} deleted, ${kept} left since they had changed`;
    events.emit({ regarding: raw, type: 'Normal', reason: 'ArchiveSucceeded', action: 'Archive', note });
  }
}

const PROMISES: ReadonlySet<string> = new Set([
  ConditionType.rpoMet,
  ConditionType.rtoMet,
  ConditionType.backupsCurrent,
]);

/** A promise that is broken is a warning; before it was ever kept, it is none yet. */
export function tellOfPolicy(
  { events }: Telling,
  raw: KubeObject,
  before: BackupPolicyStatus,
  after: BackupPolicyStatus,
): void {
  const [were, are] = [before.conditions ?? [], after.conditions ?? []];
  events.conditionsChanged(raw, were, are);
  for (const { type, status, reason, message } of transitions(were, are)) {
    // Drills that fail are told of one by one.
    if (
      !PROMISES.has(type) ||
      reason === 'DrillFailed' ||
      status !== 'False' ||
      !were.some(each => each.type === type)
    )
      continue;
    events.emit({ regarding: raw, type: 'Warning', reason, action: `Not${type}`, note: message || reason });
  }
}
