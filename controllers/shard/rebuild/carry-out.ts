/** Carries out what was decided for a shard that is rebuilt. Each action may be the last before the operator is killed. */
import { Shards } from '#controllers/caches.ts';
import { createOnce } from '#controllers/create-once.ts';
import type { ShardDeps } from '#controllers/shard/deps.ts';
import type { ShardFacts } from '#controllers/shard/facts.ts';
import { annotations, shardChildren } from '#crds/api/names.ts';
import type { RecoveryEngine } from '#engines/recovery.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { ReconcileContext } from '#kernel/controller.ts';
import { ConflictError, orUndefined } from '#kernel/errors.ts';
import type { KubeObject } from '#kernel/object.ts';
import { ownedBy } from '#kernel/owner.ts';
import { Jobs, PersistentVolumeClaims } from '#kernel/resources.ts';
import type { RebuildAction } from './decide.ts';
import { rebuiltFor } from './facts.ts';
import type { RebuildOrder } from './order.ts';

/** A large shard is fetched for hours. */
const FILL_SECONDS = 86_400;

export interface RebuildSubject {
  readonly facts: ShardFacts;
  readonly order: RebuildOrder;
  readonly engine: RecoveryEngine;
}

export async function carryOut(
  deps: ShardDeps,
  subject: RebuildSubject,
  actions: readonly RebuildAction[],
  context: ReconcileContext,
): Promise<void> {
  for (const action of actions) {
    context.log.info({ action: action.kind }, 'rebuilding a shard from its backups');
    try {
      await carryOutOne(deps, subject, action, context.signal);
    } catch (error) {
      // What was decided on has changed, or the cache is behind: the next pass looks again.
      if (!(error instanceof ConflictError)) throw error;
    }
  }
}

async function carryOutOne(
  deps: ShardDeps,
  { facts, order, engine }: RebuildSubject,
  action: RebuildAction,
  signal: AbortSignal,
): Promise<void> {
  const { client } = deps;
  const { shard, raw } = facts;
  const { namespace = '' } = shard.metadata;
  switch (action.kind) {
    case 'CreateClaim':
      return createOnce(client, engine.firstClaim(shard), signal);
    case 'CreateJob':
      return createOnce(client, ownedBy(jobOf(deps, facts, order, engine), raw), signal);
    case 'DeleteJob': {
      const { name, uid } = action;
      const only = uid ? { preconditions: { uid } } : {};
      const options = { signal, propagationPolicy: 'Foreground', ...only } as const;
      await orUndefined(client.delete(Jobs, { namespace, name }, options));
      return undefined;
    }
    case 'Forget': {
      const { apiVersion, kind, name, body } = action.patch;
      const resource = client.catalog.of({ apiVersion, kind, metadata: { name } });
      await orUndefined(client.patch(resource, action.patch, { type: 'merge', body }, { signal }));
      return undefined;
    }
    case 'MarkClaim': {
      const { name, uid } = action.claim;
      // Only this very claim: its successor is empty.
      const body = { metadata: { uid, annotations: { [rebuiltFor]: order.id } } };
      await orUndefined(
        client.patch(PersistentVolumeClaims, { namespace, name }, { type: 'merge', body }, { signal }),
      );
      return undefined;
    }
    case 'DeleteClaim': {
      const { name, uid } = action.claim;
      const only = uid ? { preconditions: { uid } } : {};
      await orUndefined(client.delete(PersistentVolumeClaims, { namespace, name }, { signal, ...only }));
      return undefined;
    }
    case 'Conclude': {
      const { resourceVersion } = raw.metadata;
      const marks = {
        [annotations.rebuild]: null,
        [annotations.discardVolumes]: null,
        [annotations.retry]: null,
        [annotations.backupNow]: 'full',
      };
      const body = { metadata: { resourceVersion, annotations: marks } };
      await orUndefined(client.patch(Shards, raw.metadata, { type: 'merge', body }, { signal }));
      return undefined;
    }
    default:
      return assertNever(action);
  }
}

function jobOf(
  { context }: ShardDeps,
  { shard }: ShardFacts,
  { id, to, discard }: RebuildOrder,
  engine: RecoveryEngine,
): KubeObject {
  const { name, uid = '' } = shard.metadata;
  return engine.recoverJob(
    shard,
    {
      name: id,
      job: shardChildren.recoverJob(name),
      deadlineSeconds: FILL_SECONDS,
      // Its part of the repository bears its name.
      stanza: name,
      ...(to === 'latest' ? {} : { targetTime: to }),
      claim: engine.firstClaim(shard).metadata.name,
      fleet: `${uid}/${id}`,
      replaced: discard ? 'discard' : 'keep',
    },
    context,
  );
}
