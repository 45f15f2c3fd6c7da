/** What a decision about a shard that is rebuilt is made from, gathered from caches. */
import { byShard, indexKey } from '#controllers/caches.ts';
import { reachablePrimary } from '#controllers/connect-target.ts';
import { type RecoveryJob, recoverJobOf } from '#controllers/recovery-job.ts';
import { accessHash } from '#controllers/shard/access.ts';
import type { ShardDeps } from '#controllers/shard/deps.ts';
import type { ShardFacts } from '#controllers/shard/facts.ts';
import { migrationUse } from '#controllers/shard-cluster/migrations.ts';
import { shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { MergePatch } from '#engines/engine.ts';
import type { RecoveryEngine, RecoveryReport } from '#engines/recovery.ts';
import { isControlledBy } from '#kernel/owner.ts';
import type { PersistentVolumeClaim, StatefulSet } from '#kernel/resources.ts';
import type { RebuildOrder } from './order.ts';

/** On a claim: the order that its volume was filled for. It goes with the volume, as it must. */
export const rebuiltFor = 'shardwright.io/rebuilt-for';

export interface RebuildFacts {
  readonly shard: Shard;
  readonly order: RebuildOrder;
  readonly now: Date;
  /** A migration that has not ended counts on it. */
  readonly inUse: boolean;
  /** Pods that its StatefulSet is to have; undefined without one. */
  readonly replicas: number | undefined;
  /** No member is left, and none will be made. */
  readonly stopped: boolean;
  readonly claims: readonly ClaimView[];
  /** Name of the claim that is filled. */
  readonly firstClaim: string;
  readonly job: RecoveryJob<RecoveryReport> | undefined;
  /** A primary answers, and its logins are as the Shard says. */
  readonly serves: boolean;
  /** What is left to make the store of its high availability forget. */
  readonly forget: (systemIdentifier: string) => readonly MergePatch[];
}

export interface ClaimView {
  readonly name: string;
  readonly uid: string | undefined;
  readonly deleting: boolean;
  readonly rebuiltFor: string | undefined;
}

/** All but the one that is filled. */
export function otherClaims({ claims, firstClaim }: RebuildFacts): readonly ClaimView[] {
  return claims.filter(({ name }) => name !== firstClaim);
}

export function gatherRebuild(
  deps: ShardDeps,
  facts: ShardFacts,
  engine: RecoveryEngine,
  order: RebuildOrder,
): RebuildFacts {
  const { shard, raw, objects } = facts;
  const { namespace = '', name } = shard.metadata;
  const fleet = { namespace, name: shard.spec.cluster.name };
  const job = deps.caches.jobs.get({ namespace, name: shardChildren.recoverJob(name) });
  return {
    shard,
    order,
    now: deps.clock.now(),
    inUse: migrationUse(deps.caches.shardMigrations.values(), fleet, undefined).shards.has(name),
    replicas: objects.statefulSet?.spec?.replicas,
    stopped:
      deps.caches.pods.byIndex(byShard, indexKey(namespace, name)).length === 0 &&
      isStopped(objects.statefulSet),
    claims: facts.claims.map(viewOf),
    firstClaim: engine.firstClaim(shard).metadata.name,
    job: job && isControlledBy(job, raw) ? recoverJobOf(engine, job) : undefined,
    serves:
      reachablePrimary(facts.members) !== undefined &&
      deps.memory.measured(shard).accessHash === accessHash(shard),
    forget: systemIdentifier => engine.forgetMembers(shard, objects, systemIdentifier),
  };
}

/** Its controller has seen that there is to be none: a cache that is behind cannot pretend that. */
function isStopped(set: StatefulSet | undefined): boolean {
  return (
    set !== undefined &&
    set.spec?.replicas === 0 &&
    set.status?.observedGeneration === set.metadata.generation &&
    set.status?.replicas === 0
  );
}

function viewOf({ metadata }: PersistentVolumeClaim): ClaimView {
  return {
    name: metadata.name,
    uid: metadata.uid,
    deleting: metadata.deletionTimestamp !== undefined,
    rebuiltFor: metadata.annotations?.[rebuiltFor],
  };
}
