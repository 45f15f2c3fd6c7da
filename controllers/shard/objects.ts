/** Makes a shard's objects as the engine renders them, writing only what differs, and grows its volumes. */
import type { Shard } from '#crds/api/shard.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { ReconcileContext } from '#kernel/controller.ts';
import { InvalidError } from '#kernel/errors.ts';
import type { KubeObject } from '#kernel/object.ts';
import { ownedBy } from '#kernel/owner.ts';
import { PersistentVolumeClaims, type StatefulSet, StatefulSets } from '#kernel/resources.ts';
import type { ShardDeps } from './deps.ts';
import type { ShardFacts } from './facts.ts';
import { allowedReplicas } from './rollout.ts';
import { decideVolumes, type VolumeStep } from './volumes.ts';

export interface ObjectsResult {
  readonly problem: { readonly reason: string; readonly message: string } | undefined;
  /** What is under way beyond this pass, in words. */
  readonly rolling: string | undefined;
  /** Something was written. */
  readonly changed: boolean;
}

export async function ensureObjects(
  deps: ShardDeps,
  facts: ShardFacts,
  context: ReconcileContext,
  /** Members that there may be for now; as many as the spec says if absent. */
  replicas?: number,
): Promise<ObjectsResult> {
  const { shard, objects, claims } = facts;
  const { statefulSet } = objects;
  const volumes = decideVolumes({
    statefulSet,
    claims,
    size: shard.spec.storage.size,
    storageClass: name => deps.caches.storageClasses.get({ name }),
  });
  const recreating = await resize(deps, facts, volumes, context);
  const wanted = effectiveShard(facts, volumes);
  let changed = false;
  for (const object of deps.engine(shard).render(wanted, deps.context)) {
    if (object.kind === StatefulSets.kind && recreating) continue;
    const held = replicas === undefined ? object : withReplicas(object, replicas);
    const applied = await applyObject(deps, facts, ownedBy(held, facts.raw), context);
    changed ||= applied.changed;
    if (applied.changed) context.log.debug({ kind: object.kind, object: object.metadata.name }, 'applied');
  }
  const surplus = wanted.spec.members - shard.spec.members;
  return {
    problem: volumes.kind === 'Refused' ? { reason: volumes.reason, message: volumes.message } : undefined,
    rolling: recreating
      ? `the StatefulSet is made again for volumes of ${shard.spec.storage.size}; its pods run on`
      : surplus > 0
        ? `${surplus} members leave once the primary is among those that stay`
        : undefined,
    changed,
  };
}

/** Members that are held back keep their volumes, whatever the spec says of members that are one too many. */
function withReplicas(object: KubeObject, replicas: number): KubeObject {
  if (object.kind !== StatefulSets.kind) return object;
  const set: StatefulSet = object;
  const { spec } = set;
  if (!spec) return object;
  const retention = { ...spec.persistentVolumeClaimRetentionPolicy, whenScaled: 'Retain' };
  return { ...object, spec: { ...spec, replicas, persistentVolumeClaimRetentionPolicy: retention } };
}

/** The Shard as it can be now: with the volumes that the StatefulSet has, and with members that cannot go yet. */
function effectiveShard({ shard, members, objects }: ShardFacts, volumes: VolumeStep): Shard {
  const { spec } = shard;
  const current = objects.statefulSet?.spec?.replicas;
  const size = volumes.kind === 'Refused' ? volumes.size : spec.storage.size;
  return {
    ...shard,
    spec: {
      ...spec,
      members: allowedReplicas(members, spec.members, current),
      storage: { ...spec.storage, size },
    },
  };
}

/** True while the StatefulSet is on its way out and must not be applied. */
async function resize(
  deps: ShardDeps,
  { shard, objects }: ShardFacts,
  step: VolumeStep,
  { signal, log }: ReconcileContext,
): Promise<boolean> {
  const { statefulSet } = objects;
  switch (step.kind) {
    case 'Fits':
    case 'Refused':
      return statefulSet?.metadata.deletionTimestamp !== undefined;
    case 'Grow': {
      const { size } = shard.spec.storage;
      for (const claim of step.claims) {
        log.info({ claim: claim.metadata.name, size }, 'growing a volume');
        const body = { spec: { resources: { requests: { storage: size } } } };
        await deps.client.patch(PersistentVolumeClaims, claim.metadata, { type: 'merge', body }, { signal });
      }
      if (!step.recreate || !statefulSet) return false;
      await orphan(deps, statefulSet, signal);
      return true;
    }
    default:
      return assertNever(step);
  }
}

async function applyObject(
  deps: ShardDeps,
  facts: ShardFacts,
  object: KubeObject,
  { signal, log }: ReconcileContext,
): Promise<{ readonly changed: boolean }> {
  try {
    return await deps.applier.apply(object, { signal });
  } catch (error) {
    const { statefulSet } = facts.objects;
    // A field of a StatefulSet that cannot be changed in place: it is made again around its running pods.
    if (!(error instanceof InvalidError) || object.kind !== StatefulSets.kind || !statefulSet) throw error;
    log.warn({ err: error }, 'making the StatefulSet again: it cannot be changed in place');
    await orphan(deps, statefulSet, signal);
    return { changed: true };
  }
}

/** Deletes the StatefulSet and leaves its pods alone; it is applied again once it is gone. */
async function orphan(deps: ShardDeps, statefulSet: KubeObject, signal: AbortSignal): Promise<void> {
  const { uid } = statefulSet.metadata;
  if (statefulSet.metadata.deletionTimestamp !== undefined) return;
  await deps.client.delete(StatefulSets, statefulSet.metadata, {
    signal,
    propagationPolicy: 'Orphan',
    ...(uid ? { preconditions: { uid } } : {}),
  });
}
