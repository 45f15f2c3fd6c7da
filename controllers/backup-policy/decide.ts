/**
 * What is to be done for the shards of a policy, and what their statuses say next. Pure: the same facts always lead to the same
 * decision, so that a pass may be cut off anywhere and the next one goes on from what is there.
 */
import { durationMs } from '#controllers/duration.ts';
import type { ArchiveRun } from '#crds/api/backup/cold-tier.ts';
import type { BackupKind, DrillResult, ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import type { BackupPolicyStatus } from '#crds/api/backup-policy.ts';
import { annotations } from '#crds/api/names.ts';
import type { BackupRequest } from '#engines/backup.ts';
import { timestamp } from '#kernel/conditions.ts';
import { type DueArchive, dueArchive } from './archive-due.ts';
import type { ArchiveRequest } from './archive-job.ts';
import { typeFor } from './backup-type.ts';
import { archiveActions, isUnderWay, stepColdTier } from './decide-archives.ts';
import { type Due, dueBackup, dueWhenever } from './due.ts';
import { expire } from './expire.ts';
import type { PolicyFacts, ShardView } from './facts.ts';
import { requestName } from './requests.ts';
import { type BackupEnd, stepBackups } from './shard-backups.ts';
import { chooseDrills, drillRequest, stepDrills } from './shard-drills.ts';
import { lastMoment, type Timetable, timetable } from './timetable.ts';

export type Action =
  /** An annotation has been taken up: it goes. Of the policy itself without a shard. */
  | { readonly kind: 'TakeUp'; readonly shard: ShardView | undefined; readonly annotation: string }
  | { readonly kind: 'RemoveJob'; readonly shard: ShardView; readonly job: ShardJob }
  | {
      readonly kind: 'Backup';
      readonly shard: ShardView;
      readonly request: BackupRequest;
      readonly why: string;
    }
  | { readonly kind: 'Archive'; readonly shard: ShardView; readonly request: ArchiveRequest }
  | { readonly kind: 'Release'; readonly shard: ShardView };

export type ShardJob = 'backup' | 'drill' | 'archive';

/** Shards whose Job was made a moment ago, and no cache shows it yet. */
export type Starting = Readonly<Record<'backup' | 'archive', ReadonlySet<string>>>;

export interface ShardDecision {
  readonly view: ShardView;
  /** Undefined while it is not known where its backups go. */
  readonly backup: ShardBackupStatus | undefined;
  readonly backupEnded: BackupEnd | undefined;
  readonly drillEnded: DrillResult | undefined;
  readonly archiveEnded: ArchiveRun | undefined;
  /** What it should have by now, failures or not. */
  readonly due: Due | undefined;
  /** The moment of which its old rows should be archived by now, failures or not. */
  readonly archiveDue: DueArchive | undefined;
}

export interface PolicyDecision {
  readonly shards: readonly ShardDecision[];
  readonly actions: readonly Action[];
  /** What is asked of the whole policy, as its status keeps it. */
  readonly asked: Pick<BackupPolicyStatus, 'asked' | 'drillAsked' | 'drillTime' | 'archiveAsked'>;
}

export function decidePolicy(facts: PolicyFacts, starting: Starting, now: Date): PolicyDecision {
  const { policy, problems } = facts;
  const { schedule, archive } = policy.spec;
  const followed = !problems.some(({ plan }) => plan);
  const times = followed ? timetable(schedule, now, archive?.schedule) : undefined;
  const actions: Action[] = facts.released.map(shard => ({ kind: 'Release', shard }));
  const asked = askedOfPolicy(facts, actions, now);
  let shards = facts.shards.map(view => stepShard(facts, view, asked, times, actions, now));
  const drills = momentOfDrills(facts, asked, shards, followed, now);
  shards = drills.shards;
  if (times) actions.push(...backupActions(facts, shards, asked.asked, times, starting, now));
  actions.push(...archiveActions(facts, shards, actions, starting, now));
  for (const { view, backup } of shards) {
    const job = view.drillJob;
    const wanted = backup?.drill?.wanted;
    if (job && (wanted === undefined || job.request !== drillRequest(wanted))) {
      actions.push({ kind: 'RemoveJob', shard: view, job: 'drill' });
    }
  }
  return { shards, actions, asked: drills.asked };
}

type Asked = PolicyDecision['asked'];

function askedOfPolicy({ policy, status }: PolicyFacts, actions: Action[], now: Date): Asked {
  const {
    [annotations.backupNow]: backupNow,
    [annotations.drillNow]: drillNow,
    [annotations.archiveNow]: archiveNow,
  } = policy.metadata.annotations ?? {};
  const type = backupKindOf(backupNow);
  if (backupNow !== undefined) {
    actions.push({ kind: 'TakeUp', shard: undefined, annotation: annotations.backupNow });
  }
  if (drillNow !== undefined) {
    actions.push({ kind: 'TakeUp', shard: undefined, annotation: annotations.drillNow });
  }
  if (archiveNow !== undefined) {
    actions.push({ kind: 'TakeUp', shard: undefined, annotation: annotations.archiveNow });
  }
  const { asked, drillAsked, drillTime } = status;
  const archiveAsked = archiveNow === undefined ? status.archiveAsked : timestamp(now);
  return {
    ...(type ? { asked: { type, time: timestamp(now) } } : asked ? { asked } : {}),
    ...(drillNow === undefined ? (drillAsked ? { drillAsked } : {}) : { drillAsked: timestamp(now) }),
    ...(drillTime ? { drillTime } : {}),
    ...(archiveAsked === undefined ? {} : { archiveAsked }),
  };
}

/** Undefined for a value that names none. */
function backupKindOf(value: string | undefined): BackupKind | undefined {
  return value === 'full' || value === 'incremental' ? value : undefined;
}

function stepShard(
  facts: PolicyFacts,
  view: ShardView,
  asked: Asked,
  times: Timetable | undefined,
  actions: Action[],
  now: Date,
): ShardDecision {
  const begun = beginning(facts, view, now);
  if (!begun)
    return {
      view,
      backup: undefined,
      backupEnded: undefined,
      drillEnded: undefined,
      archiveEnded: undefined,
      due: undefined,
      archiveDue: undefined,
    };
  const archived = { ...begun, ...(view.archive ? { archive: view.archive } : {}) };
  const backups = stepBackups(archived, view.backupJob, now);
  const drills = stepDrills(backups.backup, view.drillJob, now);
  const archives = stepColdTier(facts, view, askedOfShard(view, drills.backup, actions, now), actions, now);
  const { backup } = archives;
  const { suspend } = facts.policy.spec.schedule;
  const shard = view.shard.metadata.name;
  return {
    view,
    backup,
    backupEnded: backups.ended,
    drillEnded: drills.ended,
    archiveEnded: archives.ended,
    due: times && dueWhenever({ shard, backup, askedOfAll: asked.asked, suspend, times, now }),
    archiveDue:
      times &&
      backup.coldTier &&
      dueArchive({ shard, coldTier: backup.coldTier, askedOfAll: asked.archiveAsked, suspend, times }),
  };
}

/** What is known of the shard's backups in this place; another place knows nothing of those before. */
function beginning(
  { policy, problems }: PolicyFacts,
  view: ShardView,
  now: Date,
): ShardBackupStatus | undefined {
  const { name } = policy.metadata;
  const { backup, place } = view;
  if (!backup && problems.some(({ plan }) => plan)) return undefined;
  if (backup && (place === undefined || backup.place === place)) return { ...backup, policy: name };
  if (place === undefined) return undefined;
  // A Job of the place before makes room, whatever it comes to.
  const { backupJob } = view;
  return {
    policy: name,
    place,
    since: timestamp(now),
    ...(backupJob ? { finished: backupJob.request } : {}),
  };
}

function askedOfShard(
  view: ShardView,
  backup: ShardBackupStatus,
  actions: Action[],
  now: Date,
): ShardBackupStatus {
  const { [annotations.backupNow]: backupNow, [annotations.drillNow]: drillNow } =
    view.shard.metadata.annotations ?? {};
  let next = backup;
  if (backupNow !== undefined) {
    const type = backupKindOf(backupNow);
    if (type && backup.asked?.type !== type) next = { ...next, asked: { type, time: timestamp(now) } };
    actions.push({ kind: 'TakeUp', shard: view, annotation: annotations.backupNow });
  }
  // There must be something to restore.
  if (drillNow !== undefined && (backup.records ?? []).length > 0) {
    if (backup.drill?.wanted === undefined) {
      next = { ...next, drill: { ...backup.drill, wanted: timestamp(now) } };
    }
    actions.push({ kind: 'TakeUp', shard: view, annotation: annotations.drillNow });
  }
  return next;
}

/** Chooses a sample when a moment for it has come that is not done with. */
function momentOfDrills(
  { policy, status }: PolicyFacts,
  asked: Asked,
  shards: readonly ShardDecision[],
  followed: boolean,
  now: Date,
): { readonly shards: ShardDecision[]; readonly asked: Asked } {
  const same = { shards: [...shards], asked };
  const { drill, schedule } = policy.spec;
  const planned = drill && followed ? lastMoment(drill.schedule, schedule.timeZone, now) : undefined;
  // What is asked for is acted on once the status has it and the annotation is gone: a pass that is cut off does not choose twice.
  const open = policy.metadata.annotations?.[annotations.drillNow] !== undefined;
  const { drillTime, drillAsked } = status;
  const created = policy.metadata.creationTimestamp ?? timestamp(now);
  const moment = [
    planned && timestamp(planned) > (drillTime ?? created) ? timestamp(planned) : '',
    drillAsked !== undefined && !open && drillAsked > (drillTime ?? '') ? drillAsked : '',
  ]
    .toSorted()
    .at(-1);
  if (!moment) return same;
  const candidates = shards.flatMap(({ view, backup }) =>
    backup ? [{ view, backup, name: view.shard.metadata.name }] : [],
  );
  const chosen = new Set(chooseDrills(candidates, drill?.sample ?? 1, moment));
  const request = drillRequest(moment);
  const before = candidates.some(
    ({ backup }) => backup.drill?.wanted === moment || backup.drill?.last?.request === request,
  );
  // While no shard has a backup there is nothing to drill with: the moment waits.
  if (chosen.size === 0 && !before) return same;
  return {
    shards: shards.map(decision => {
      const { backup, view } = decision;
      if (!backup || !chosen.has(view.shard.metadata.name)) return decision;
      return { ...decision, backup: { ...backup, drill: { ...backup.drill, wanted: moment } } };
    }),
    asked: { ...asked, drillTime: moment },
  };
}

function backupActions(
  { policy }: PolicyFacts,
  shards: readonly ShardDecision[],
  askedOfAll: Asked['asked'],
  times: Timetable,
  starting: Starting,
  now: Date,
): readonly Action[] {
  const { schedule, retention } = policy.spec;
  const isBusy = (decision: ShardDecision) => isUnderWay('backup', decision, starting);
  const free = schedule.maxConcurrent - shards.filter(isBusy).length;
  if (free <= 0) return [];
  const ready = shards.flatMap(decision => {
    const { view, backup } = decision;
    if (!backup || isBusy(decision) || !canBackUp(view)) return [];
    const { suspend } = schedule;
    const shard = view.shard.metadata.name;
    const due = dueBackup({ shard, backup, askedOfAll, suspend, times, now });
    return due ? [{ view, backup, due }] : [];
  });
  const first = ready.toSorted(
    (a, b) =>
      b.due.urgency - a.due.urgency ||
      a.due.planned.getTime() - b.due.planned.getTime() ||
      (a.view.shard.metadata.name < b.view.shard.metadata.name ? -1 : 1),
  );
  return first.slice(0, free).map(({ view, backup, due }): Action => {
    // The one before has its end noted; it makes room.
    if (view.backupJob) return { kind: 'RemoveJob', shard: view, job: 'backup' };
    const attempt = backup.failed?.attempts ?? 0;
    const records = backup.records ?? [];
    const type = typeFor(due.type, records, retention, now);
    // What a drill is reading stays until it has ended.
    const drilling = view.drillJob !== undefined || backup.drill?.wanted !== undefined;
    return {
      kind: 'Backup',
      shard: view,
      why: due.why,
      request: {
        name: requestName({ what: type, planned: due.planned, attempt }),
        type,
        deadlineSeconds: Math.max(1, Math.round(durationMs(schedule.deadline) / 1000)),
        expire: drilling ? [] : expire(records, retention, now),
        ...sourceOf(view),
      },
    };
  });
}

/** A primary serves, and has taken up where backups go. */
function canBackUp({ shard, archive, place, paused }: ShardView): boolean {
  return (
    !paused &&
    shard.status?.primary !== undefined &&
    place !== undefined &&
    archive?.settingsVersion.startsWith(`${place}.`) === true
  );
}

/** A replica where one is ready, rather not the one that every commit waits for. */
function sourceOf({ shard }: ShardView): Pick<BackupRequest, 'primary' | 'replica'> {
  const { primary = '', members = [] } = shard.status ?? {};
  const replica = members
    .filter(({ role, ready, name }) => role === 'replica' && ready && name !== primary)
    .toSorted(
      (a, b) =>
        Number(a.synchronous ?? false) - Number(b.synchronous ?? false) ||
        (a.lagBytes ?? 0) - (b.lagBytes ?? 0) ||
        (a.name < b.name ? -1 : 1),
    )[0];
  return { primary, ...(replica ? { replica: replica.name } : {}) };
}
