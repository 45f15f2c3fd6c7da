/** Carries out what was decided for a policy. Each action may be the last one before the operator is killed. */
import { shardChildren } from '#crds/api/names.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { ReconcileContext } from '#kernel/controller.ts';
import { ForbiddenError, InvalidError } from '#kernel/errors.ts';
import type { KubeObject } from '#kernel/object.ts';
import { keyOf } from '#kernel/object.ts';
import { ownedBy } from '#kernel/owner.ts';
import type { Action, ShardJob } from './decide.ts';
import type { BackupDeps } from './deps.ts';
import type { ShardView } from './facts.ts';
import type { StartedJob } from './memory.ts';

export async function carryOut(
  deps: BackupDeps,
  policy: KubeObject | undefined,
  action: Action,
  { signal, log }: ReconcileContext,
): Promise<void> {
  deps.onWrite?.(describe(action));
  switch (action.kind) {
    case 'TakeUp': {
      const object = action.shard?.raw ?? policy;
      const value = object?.metadata.annotations?.[action.annotation];
      if (!object || value === undefined) return;
      const answer = await deps.objects.removeAnnotation(object, action.annotation, value, signal);
      if (answer) deps.newest[action.shard ? 'shards' : 'policies'].keep(answer);
      return;
    }
    case 'RemoveJob':
      return removeJob(deps, action.shard, action.job, signal);
    case 'Backup': {
      const { shard } = action.shard;
      const engine = deps.backups(shard);
      if (!engine) return;
      const { type, name: request } = action.request;
      log.info({ shard: shard.metadata.name, type, request, why: action.why }, 'beginning a backup');
      await begin(
        deps,
        action.shard,
        'backup',
        request,
        () => engine.backupJob(shard, action.request, deps.context),
        signal,
      );
      return;
    }
    case 'Archive': {
      const { shard } = action.shard;
      const { name: request } = action.request;
      log.info({ shard: shard.metadata.name, request }, 'beginning to archive old rows');
      await begin(
        deps,
        action.shard,
        'archive',
        request,
        () => deps.archiveJob(shard, action.request),
        signal,
      );
      return;
    }
    case 'Release':
      return release(deps, action.shard, signal);
    default:
      assertNever(action);
  }
}

async function begin(
  { objects, events, memory }: BackupDeps,
  { raw }: ShardView,
  kind: StartedJob,
  request: string,
  make: () => KubeObject,
  signal: AbortSignal,
): Promise<void> {
  try {
    await objects.createJob(ownedBy(make(), raw), signal);
  } catch (error) {
    if (error instanceof ForbiddenError || error instanceof InvalidError) {
      const note = `${request}: ${error.message}. ${error.remedy}`;
      const [reason, action] =
        kind === 'backup' ? ['BackupRefused', 'Backup'] : ['ArchiveRefused', 'Archive'];
      events.emit({ regarding: raw, type: 'Warning', reason, action, note });
    }
    throw error;
  }
  memory.startJob(keyOf(raw), kind);
}

async function removeJob(
  deps: BackupDeps,
  view: ShardView,
  which: ShardJob,
  signal: AbortSignal,
): Promise<void> {
  const job = jobOf(view, which);
  if (!job) return;
  const { name, uid } = job;
  await deps.objects.deleteJob({ namespace: view.shard.metadata.namespace ?? '', name, uid }, signal);
}

function jobOf({ backupJob, drillJob, archiveJob }: ShardView, which: ShardJob) {
  switch (which) {
    case 'backup':
      return backupJob;
    case 'drill':
      return drillJob;
    case 'archive':
      return archiveJob;
    default:
      return assertNever(which);
  }
}

/** The status goes last: as long as it is there, somebody comes back to finish. */
async function release(deps: BackupDeps, view: ShardView, signal: AbortSignal): Promise<void> {
  const { shard, raw } = view;
  const { name, namespace = '' } = shard.metadata;
  await removeJob(deps, view, 'backup', signal);
  await removeJob(deps, view, 'drill', signal);
  await removeJob(deps, view, 'archive', signal);
  await deps.objects.deleteSecret({ namespace, name: shardChildren.backupSecret(name) }, signal);
  deps.memory.forget(keyOf(raw));
  deps.newest.shards.keep(await deps.objects.shardStatus(raw, {}, signal));
}

export function describe(action: Action): string {
  const shard =
    action.kind === 'TakeUp'
      ? (action.shard?.shard.metadata.name ?? 'policy')
      : action.shard.shard.metadata.name;
  switch (action.kind) {
    case 'TakeUp':
      return `take up ${action.annotation} of ${shard}`;
    case 'RemoveJob':
      return `remove ${action.job} of ${shard}`;
    case 'Backup':
      return `back up ${shard}: ${action.request.name}`;
    case 'Archive':
      return `archive ${shard}: ${action.request.name}`;
    case 'Release':
      return `release ${shard}`;
    default:
      return assertNever(action);
  }
}
