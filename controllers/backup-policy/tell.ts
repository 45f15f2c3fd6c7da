/** Events and counts of what has ended and of what has turned. */
import type { BackupPolicyStatus } from '#crds/api/backup-policy.ts';
import { ConditionType } from '#crds/api/conditions.ts';
import { transitions } from '#kernel/conditions.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { ShardDecision } from './decide.ts';
import type { BackupDeps } from './deps.ts';

type Telling = Pick<BackupDeps, 'events' | 'metrics'>;

export function tellOfEnds({ events, metrics }: Telling, policy: KubeObject, decision: ShardDecision): void {
  const { view, backupEnded, drillEnded } = decision;
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
