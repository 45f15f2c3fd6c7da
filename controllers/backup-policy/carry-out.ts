/** Carries out what was decided for a policy. Each action may be the last one before the operator is killed. */
import { shardChildren } from '#crds/api/names.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { ReconcileContext } from '#kernel/controller.ts';
import { ForbiddenError, InvalidError } from '#kernel/errors.ts';
import type { KubeObject } from '#kernel/object.ts';
import { keyOf } from '#kernel/object.ts';
import { ownedBy } from '#kernel/owner.ts';
import type { Action } from './decide.ts';
import type { BackupDeps } from './deps.ts';
import type { ShardView } from './facts.ts';

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
      const { shard, raw } = action.shard;
      const engine = deps.backups(shard);
      if (!engine) return;
      const { type, name: request } = action.request;
      log.info({ shard: shard.metadata.name, type, request, why: action.why }, 'beginning a backup');
      const job = ownedBy(engine.backupJob(shard, action.request, deps.context), raw);
      try {
        await deps.objects.createJob(job, signal);
      } catch (error) {
        if (error instanceof ForbiddenError || error instanceof InvalidError) {
          const note = `${request}: ${error.message}. ${error.remedy}`;
          deps.events.emit({
            regarding: raw,
            type: 'Warning',
            reason: 'BackupRefused',
            action: 'Backup',
            note,
          });
        }
        throw error;
      }
      deps.memory.startBackup(keyOf(raw));
      return;
    }
    case 'Release':
      return release(deps, action.shard, signal);
    default:
      assertNever(action);
  }
}

async function removeJob(
  deps: BackupDeps,
  { shard, backupJob, drillJob }: ShardView,
  which: 'backup' | 'drill',
  signal: AbortSignal,
): Promise<void> {
  const job = which === 'backup' ? backupJob : drillJob;
  if (!job) return;
  const { name, uid } = job;
  await deps.objects.deleteJob({ namespace: shard.metadata.namespace ?? '', name, uid }, signal);
}

/** The status goes last: as long as it is there, somebody comes back to finish. */
async function release(deps: BackupDeps, view: ShardView, signal: AbortSignal): Promise<void> {
  const { shard, raw } = view;
  const { name, namespace = '' } = shard.metadata;
  await removeJob(deps, view, 'backup', signal);
  await removeJob(deps, view, 'drill', signal);
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
    case 'Release':
      return `release ${shard}`;
    default:
      return assertNever(action);
  }
}
