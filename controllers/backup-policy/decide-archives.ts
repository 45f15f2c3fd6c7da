/**
 * Which shards' old rows are archived now, and what their statuses say of it next. A backup never waits for a run of the archive; a
 * run begins only while fewer of both are under way than `maxConcurrent`. Pure.
 */
import type { ArchiveRun } from '#crds/api/backup/cold-tier.ts';
import type { ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import { annotations } from '#crds/api/names.ts';
import { timestamp } from '#kernel/conditions.ts';
import { isPutOff } from './archive-due.ts';
import { heldBack } from './archiving-shards.ts';
import type { Action, ShardDecision, Starting } from './decide.ts';
import type { PolicyFacts, ShardView } from './facts.ts';
import { requestName } from './requests.ts';
import { stepArchives } from './shard-archives.ts';

export interface ColdTierStep {
  readonly backup: ShardBackupStatus;
  readonly ended: ArchiveRun | undefined;
}

/** What is asked of the shard is taken up, also where there is nothing to do. */
export function stepColdTier(
  { policy }: PolicyFacts,
  view: ShardView,
  { coldTier: before, ...backup }: ShardBackupStatus,
  actions: Action[],
  now: Date,
): ColdTierStep {
  const asked = view.shard.metadata.annotations?.[annotations.archiveNow] !== undefined;
  if (asked) actions.push({ kind: 'TakeUp', shard: view, annotation: annotations.archiveNow });
  if (!policy.spec.archive) return { backup, ended: undefined };
  const { coldTier, ended } = stepArchives(before, view.archiveJob, now);
  return {
    backup: { ...backup, coldTier: asked ? { ...coldTier, asked: timestamp(now) } : coldTier },
    ended,
  };
}

/** `begun`: what is done in the same pass. */
export function archiveActions(
  { policy }: PolicyFacts,
  shards: readonly ShardDecision[],
  begun: readonly Action[],
  starting: Starting,
  now: Date,
): readonly Action[] {
  const { archive, schedule } = policy.spec;
  // Who takes it out of the policy wants no more rows to go: what a run has done stays done.
  if (!archive) return shards.flatMap(({ view }) => (view.archiveJob ? [removal(view)] : []));
  const busy =
    shards.filter(each => isUnderWay('backup', each, starting)).length +
    begun.filter(({ kind }) => kind === 'Backup').length +
    shards.filter(each => isUnderWay('archive', each, starting)).length;
  const ready = shards.flatMap(decision => {
    const { view, backup, archiveDue: due } = decision;
    const { coldTier } = backup ?? {};
    if (!coldTier || !due || isUnderWay('archive', decision, starting)) return [];
    return heldBack(view) === undefined && !isPutOff(due, coldTier, now) ? [{ view, coldTier, due }] : [];
  });
  const first = ready.toSorted(
    (a, b) =>
      Number(b.due.asked) - Number(a.due.asked) ||
      a.due.planned.getTime() - b.due.planned.getTime() ||
      (a.view.shard.metadata.name < b.view.shard.metadata.name ? -1 : 1),
  );
  return first
    .slice(0, Math.max(0, schedule.maxConcurrent - busy))
    .flatMap(({ view, coldTier, due: { planned } }): Action[] => {
      const { coldPlace } = view;
      if (!coldPlace) return [];
      // The one before has its end noted; it makes room.
      if (view.archiveJob) return [removal(view)];
      const name = requestName({ what: 'archive', planned, attempt: coldTier.attempts ?? 0 });
      return [{ kind: 'Archive', shard: view, request: { name, archive, ...coldPlace } }];
    });
}

function removal(shard: ShardView): Action {
  return { kind: 'RemoveJob', shard, job: 'archive' };
}

/** A Job of this kind runs, begins, or has an end that the status does not know of. */
export function isUnderWay(
  kind: keyof Starting,
  { view, backup }: ShardDecision,
  starting: Starting,
): boolean {
  const [told, job] = kind === 'backup' ? [backup, view.backupJob] : [backup?.coldTier, view.archiveJob];
  return (
    told?.running !== undefined ||
    starting[kind].has(view.shard.metadata.name) ||
    (job !== undefined && job.request !== told?.finished)
  );
}
