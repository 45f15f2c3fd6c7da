/**
 * What to do next for a fleet, as data. The order of the actions is the order of their safety: the map is complete before a
 * shard exists, and a shard's spec follows the map. Pure.
 */

import { type Shard, type ShardSpec } from '#crds/api/shard.ts';
import { sameJson } from '#kernel/canonical.ts';
import type { ConfigMap } from '#kernel/resources.ts';
import { ShardingError } from '#sharding/errors.ts';
import type { ShardMap } from '#sharding/map.ts';
import type { ClusterFacts } from './facts.ts';
import { newPages, pageChanges } from './map-config-maps.ts';
import { firstMap, nextMap } from './map-from-spec.ts';
import { findProblem, type Problem } from './problems.ts';
import { ownerOf, projectShard, shardObject } from './project.ts';
import { limitRollout, rolloutBudget } from './rollout-budget.ts';

export type ClusterAction =
  /** Pages of a map that was never complete: left-overs of an earlier try are overwritten. */
  | { readonly kind: 'CreatePage'; readonly object: ConfigMap }
  /** Compare-and-swap. */
  | { readonly kind: 'ReplacePage'; readonly object: ConfigMap }
  | { readonly kind: 'ApplyShard'; readonly object: Shard };

/** Shards that were found to be as ordered: in a large fleet comparing all of them on every pass is most of the work. */
const agreed = new WeakMap<Shard, string>();

export interface ClusterPlan {
  readonly actions: readonly ClusterAction[];
  /** The map once the actions are done; undefined while there is none. */
  readonly map: ShardMap | undefined;
  readonly problem: Problem | undefined;
  /** Shards whose turn in a rollout has not come. */
  readonly waiting: number;
}

export interface Settings {
  readonly defaultImage: string;
  readonly secretsVersion: string;
}

export function decideCluster(facts: ClusterFacts, settings: Settings): ClusterPlan {
  const stored = facts.map.kind === 'Present' ? facts.map.stored : undefined;
  const problem = findProblem(facts);
  if (problem) return { actions: [], map: stored?.map, problem, waiting: 0 };
  try {
    const { cluster } = facts;
    const map = stored ? nextMap(stored.map, cluster) : firstMap(cluster);
    const owner = ownerOf(cluster);
    const pages: ClusterAction[] = stored
      ? pageChanges(stored, map, owner).map(({ object, exists }) => ({
          kind: exists ? 'ReplacePage' : 'CreatePage',
          object,
        }))
      : newPages(map, owner).map(object => ({ kind: 'CreatePage', object }));
    const { actions, waiting } = shardActions(facts, map, settings);
    return { actions: [...pages, ...actions], map, problem: undefined, waiting };
  } catch (error) {
    if (!(error instanceof ShardingError)) throw error;
    return {
      actions: [],
      map: stored?.map,
      problem: { reason: 'InvalidSharding', message: `spec.sharding: ${error.message}. ${error.remedy}` },
      waiting: 0,
    };
  }
}

function shardActions(
  facts: ClusterFacts,
  map: ShardMap,
  settings: Settings,
): { readonly actions: readonly ClusterAction[]; readonly waiting: number } {
  const { cluster, schema } = facts;
  const schemaHash = schema.kind === 'Present' ? schema.hash : undefined;
  const existing = new Map(facts.shards.map(shard => [shard.metadata.name, shard]));
  const { uid, generation } = cluster.metadata;
  const orders = [
    uid,
    generation,
    map.epoch,
    schemaHash,
    settings.defaultImage,
    settings.secretsVersion,
  ].join();
  const wanted = map.shards.map(entry => {
    const old = existing.get(entry.name);
    const known = old !== undefined && agreed.get(old) === orders;
    return {
      existing: old,
      spec: known ? old.spec : projectShard({ cluster, map, schemaHash, ...settings }, entry),
    };
  });
  const { specs, waiting } = limitRollout(wanted, rolloutBudget(map.shards.length));
  const actions = map.shards.flatMap((entry, i): readonly ClusterAction[] => {
    const spec = specs[i];
    if (!spec) return [];
    const old = existing.get(entry.name);
    // One that is being deleted keeps its name until it is gone; its going wakes this controller up again.
    if (old?.metadata.deletionTimestamp !== undefined) return [];
    if (old?.spec === spec) return [];
    const object = shardObject(cluster, entry, spec);
    if (!old || !agrees(old, object, spec)) return [{ kind: 'ApplyShard', object }];
    // One whose turn has not come agrees with less than the orders.
    if (waiting === 0) agreed.set(old, orders);
    return [];
  });
  return { actions, waiting };
}

function agrees(old: Shard, object: Shard, spec: ShardSpec): boolean {
  return (
    sameJson(old.spec, spec) &&
    old.metadata.ownerReferences?.[0]?.uid === object.metadata.ownerReferences?.[0]?.uid &&
    Object.entries(object.metadata.labels ?? {}).every(
      ([name, value]) => old.metadata.labels?.[name] === value,
    )
  );
}
