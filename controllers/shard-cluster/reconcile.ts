/**
 * One pass over one fleet: Secrets, then the map, then Shards, then status. Each pass starts from what is there now; every
 * write may be the last one before the operator is killed.
 */

import { byCluster, indexKey, regionLabel } from '#controllers/caches.ts';
import { shardOf } from '#controllers/shard/facts.ts';
import type { MapFacts } from '#controllers/shard-map/config-maps.ts';
import { isPaused, labels } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { setConditions } from '#kernel/conditions.ts';
import type { Reconcile, ReconcileContext, ReconcileResult } from '#kernel/controller.ts';
import { ForbiddenError, orUndefined } from '#kernel/errors.ts';
import type { KubeObject } from '#kernel/object.ts';
import { PersistentVolumeClaims } from '#kernel/resources.ts';
import type { Request } from '#kernel/source.ts';
import { carryOut, isCacheBehind } from './carry-out.ts';
import { type ClusterPlan, decideCluster, mapToShow } from './decide.ts';
import type { ClusterDeps } from './deps.ts';
import { type ClusterFacts, clusterOf } from './facts.ts';
import { decideFinalizer, writeFinalizer } from './finalizer.ts';
import { migrationUse } from './migrations.ts';
import type { Problem } from './problems.ts';
import { withoutRebuilt } from './rebuilt.ts';
import { gatherRecovery } from './recovery/gather.ts';
import { onceApplied } from './rollout-budget.ts';
import { SCHEMA_EVERY_MS } from './schema-watch.ts';
import { ensureSecrets, type SecretsResult } from './secrets.ts';
import { clusterStatus } from './status.ts';

/** How soon the cache is looked at again when it was found to be behind. */
const CACHE_LAG_MS = 250;
/** Nothing tells us when a namespace is let in. */
const NAMESPACE_RETRY_MS = 15_000;
/** Secrets of the object store are not watched. */
const RECOVERY_RETRY_MS = 15_000;
/** The end of a Shard wakes us up, that of a page of the map may not. */
const REMAINS_RETRY_MS = 1000;

export function clusterReconciler(deps: ClusterDeps): Reconcile {
  return async (request, context) => {
    const raw = deps.caches.shardClusters.get(request);
    if (!raw) {
      deps.maps.forget(request);
      deps.schemas.forget(request.namespace, request.name);
      return {};
    }
    const cluster = clusterOf(raw);
    const finalizer = decideFinalizer(cluster);
    const { signal } = context;
    switch (finalizer.kind) {
      case 'Add':
      case 'Remove':
        if (cluster.metadata.deletionTimestamp !== undefined) await deleteVolumes(deps, cluster, context);
        await writeFinalizer(deps.client, cluster, finalizer.kind === 'Add', signal);
        break;
      case 'Refuse':
      case 'Keep':
        break;
      default:
        assertNever(finalizer);
    }
    const refused = finalizer.kind === 'Refuse' ? finalizer.problem : undefined;
    // On its way out: garbage collection takes what it owns.
    if (cluster.metadata.deletionTimestamp !== undefined && !refused) return {};
    return reconcile(deps, { raw, cluster, request, refused }, context);
  };
}

/**
 * Who says Delete while deletion waits gets it: the StatefulSets still say Retain, and go before they could be told. A claim
 * in use stays until its pod is gone.
 */
async function deleteVolumes(
  { client, caches }: ClusterDeps,
  { metadata, spec }: ShardCluster,
  { signal, log }: ReconcileContext,
): Promise<void> {
  if (spec.deletionPolicy !== 'Delete') return;
  const claims = caches.claims.byIndex(byCluster, indexKey(metadata.namespace, metadata.name));
  log.info({ claims: claims.length }, 'deleting the volumes of a fleet that is let go');
  for (const claim of claims) {
    try {
      await orUndefined(client.delete(PersistentVolumeClaims, claim.metadata, { signal }));
    } catch (error) {
      // Where the operator may not work any more, deletion must end all the same.
      if (!(error instanceof ForbiddenError)) throw error;
    }
  }
}

interface Subject {
  readonly raw: KubeObject;
  readonly cluster: ShardCluster;
  readonly request: Request;
  readonly refused: Problem | undefined;
}

async function reconcile(
  deps: ClusterDeps,
  subject: Subject,
  context: ReconcileContext,
): Promise<ReconcileResult> {
  const { request } = subject;
  if (remainsOfAnother(deps, subject.cluster)) {
    context.log.info({}, 'waiting until what a deleted fleet of this name has left is gone');
    return { requeueAfterMs: REMAINS_RETRY_MS };
  }
  const shards = shardsOf(deps, request);
  const cluster = withoutRebuilt(subject.cluster, shards);
  const map = deps.maps.read(request);
  const pages = pagesOf(map);
  if (isPaused(cluster)) {
    const plan: ClusterPlan = { actions: [], map: mapToShow(map), problem: undefined, waiting: 0 };
    await writeStatus(deps, subject, { shards, plan, pages }, context);
    return {};
  }
  const schema = await deps.schemas.look(cluster, context.signal);
  const secrets = await letIn(deps, cluster, () =>
    ensureSecrets(
      deps,
      { cluster, established: map.kind !== 'Absent', versionInForce: versionInForce(shards) },
      context,
    ),
  );
  if ('reason' in secrets) {
    const plan: ClusterPlan = { actions: [], map: mapToShow(map), problem: secrets, waiting: 0 };
    await writeStatus(deps, subject, { shards, plan, pages }, context);
    return { requeueAfterMs: NAMESPACE_RETRY_MS };
  }
  const recovery = await gatherRecovery(
    deps,
    { cluster, map, secretsVersion: secrets.version },
    context.signal,
  );
  const facts: ClusterFacts = {
    cluster,
    shards,
    map,
    recovery,
    migrations: migrationUse(deps.caches.shardMigrations.values(), request, cluster.metadata.uid),
    nodesByRegion: nodesByRegion(deps),
    storageClassExists: storageClassExists(deps, cluster),
    schema,
    missingSecrets: secrets.missing,
  };
  const plan = decideCluster(facts, { defaultImage: deps.defaultImage, secretsVersion: secrets.version });
  try {
    await carryOut(deps, { cluster, request }, plan, context);
  } catch (error) {
    if (!isCacheBehind(error)) throw error;
    return { requeueAfterMs: CACHE_LAG_MS };
  }
  const applied = plan.actions.flatMap(action => (action.kind === 'ApplyShard' ? [action.object] : []));
  await writeStatus(
    deps,
    subject,
    {
      shards: onceApplied(shards, new Set(applied.map(({ metadata }) => metadata.name))),
      plan: { ...plan, problem: subject.refused ?? plan.problem },
      pages: pagesOf(deps.maps.read(request)),
      rotating: secrets.rotating,
      progress: plan.progress,
      ...(schema.kind === 'Present' ? { schemaHash: schema.hash } : {}),
    },
    context,
  );
  return soonest([
    secrets.againMs,
    cluster.spec.schema ? SCHEMA_EVERY_MS : undefined,
    map.kind === 'Absent' && recovery?.problem ? RECOVERY_RETRY_MS : undefined,
  ]);
}

/**
 * Shards, map and members' stores of a deleted fleet of the same name: garbage collection is at it, and they say nothing about
 * this one. A store that is taken over would tell new members that their database exists already.
 */
function remainsOfAnother({ caches }: ClusterDeps, { kind, metadata }: ShardCluster): boolean {
  const key = indexKey(metadata.namespace, metadata.name);
  const shards = caches.shards.byIndex(byCluster, key);
  // Members that still stop write into the store, by name: also into one that was made for their successors.
  const pods = caches.pods
    .byIndex(byCluster, key)
    .filter(pod => !(labels.task in (pod.metadata.labels ?? {})));
  const members = [...pods, ...caches.endpoints.byIndex(byCluster, key)];
  if (shards.length === 0 && members.length > 0) return true;
  return [...shards, ...caches.configMaps.byIndex(byCluster, key)].some(object =>
    object.metadata.ownerReferences?.some(owner => owner.kind === kind && owner.uid !== metadata.uid),
  );
}

/** Turns a lack of rights into a problem that names the command to run. */
async function letIn(
  deps: ClusterDeps,
  cluster: ShardCluster,
  act: () => Promise<SecretsResult>,
): Promise<SecretsResult | Problem> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof ForbiddenError)) throw error;
    const namespace = cluster.metadata.namespace ?? '';
    return {
      reason: 'NamespaceNotEnabled',
      message: `the operator may not work in namespace ${namespace}; to let it in: ${deps.enableCommand(namespace)}`,
    };
  }
}

interface StatusInput {
  readonly shards: readonly Shard[];
  readonly plan: ClusterPlan;
  readonly pages: number;
  readonly rotating?: boolean;
  readonly progress?: string | undefined;
  readonly schemaHash?: string;
}

async function writeStatus(
  deps: ClusterDeps,
  { raw, cluster, request }: Subject,
  input: StatusInput,
  { signal }: ReconcileContext,
): Promise<void> {
  const live = deps.caches.shardClusters.get(request);
  if (!live || live.metadata.uid !== raw.metadata.uid) return;
  const { plan } = input;
  const paused = isPaused(cluster);
  const { fields, conditions } = clusterStatus({
    cluster,
    shards: input.shards,
    map: plan.map,
    mapPages: input.pages,
    problem: plan.problem,
    waiting: plan.waiting,
    paused,
    rotating: input.rotating ?? false,
    schemaHash: input.schemaHash,
    progress: input.progress,
  });
  const before = cluster.status?.conditions ?? [];
  const observedGeneration = cluster.metadata.generation ?? 0;
  const types = new Set(conditions.map(condition => condition.type));
  const after = setConditions(
    before.filter(condition => types.has(condition.type)),
    conditions.map(condition => ({ ...condition, observedGeneration })),
    deps.clock.now(),
  );
  const status = { ...fields, conditions: after };
  // It rests on the status before, which may be one that the cache does not show yet.
  const over = paused ? raw.metadata.resourceVersion : undefined;
  const { changed } = await deps.applier.applyStatus(live, status, { signal, over });
  if (changed) deps.events.conditionsChanged(raw, before, after);
}

/** How many ConfigMaps the map has. */
function pagesOf(map: MapFacts): number {
  if (map.kind === 'Present') return map.stored.pages.length;
  return map.kind === 'InTransition' ? map.raw.pages.length : 0;
}

function shardsOf(deps: ClusterDeps, request: Request): readonly Shard[] {
  return deps.caches.shards
    .byIndex(byCluster, indexKey(request.namespace, request.name))
    .map(shardOf)
    .toSorted((a, b) => a.spec.ordinal - b.spec.ordinal);
}

/** Undefined while shards differ, or while there is none. */
function versionInForce(shards: readonly Shard[]): string | undefined {
  const version = shards[0]?.status?.secretsVersion;
  return shards.every(shard => shard.status?.secretsVersion === version) ? version : undefined;
}

function nodesByRegion(deps: ClusterDeps): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const node of deps.caches.nodes.values()) {
    const region = node.metadata.labels?.[regionLabel];
    if (region !== undefined) counts.set(region, (counts.get(region) ?? 0) + 1);
  }
  return counts;
}

function storageClassExists(deps: ClusterDeps, { spec }: ShardCluster): boolean {
  const name = spec.storage.storageClassName;
  return name === undefined || deps.caches.storageClasses.get({ name }) !== undefined;
}

function soonest(delays: readonly (number | undefined)[]): ReconcileResult {
  const due = delays.filter(delay => delay !== undefined);
  return due.length === 0 ? {} : { requeueAfterMs: Math.min(...due) };
}
