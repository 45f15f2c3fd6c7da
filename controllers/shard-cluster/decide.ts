/**
 * What to do next for a fleet, as data. The order of the actions is the order of their safety: the map is complete before a
 * shard exists, and a shard's spec follows the map. Pure.
 */

import { type MapFacts, markerOf, type StoredMap } from '#controllers/shard-map/config-maps.ts';
import type { Shard, ShardSpec } from '#crds/api/shard.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { sameJson } from '#kernel/canonical.ts';
import type { KubeObject } from '#kernel/object.ts';
import { ShardingError } from '#sharding/errors.ts';
import type { ShardMap } from '#sharding/map.ts';
import type { ClusterFacts } from './facts.ts';
import { firstMap, nextMap } from './map-from-spec.ts';
import { emptyPartition, partitionsOf } from './partitions.ts';
import { cannotShrink, changeLost, findProblem, type Problem } from './problems.ts';
import { projectShard, shardObject } from './project.ts';
import { retired, retiring } from './retire.ts';
import { limitRollout, rolloutBudget } from './rollout-budget.ts';

export type ClusterAction =
  /** A map that was never complete: left-overs of an earlier try are overwritten. */
  | { readonly kind: 'CreateMap'; readonly map: ShardMap }
  /** What the spec asks of the map, less the shards to retire; also finishes or seals what was cut off. */
  | { readonly kind: 'PublishMap'; readonly retire: readonly string[] }
  /** Takes back the mark of a migration that was taken away by force. */
  | { readonly kind: 'ReleaseMap'; readonly by: string }
  | { readonly kind: 'ApplyShard'; readonly object: Shard; readonly isNew: boolean }
  /** It has left the map. */
  | { readonly kind: 'DeleteShard'; readonly object: Shard }
  /** What Jobs of a recovery need: rights, settings, volumes. */
  | { readonly kind: 'ApplyForRecovery'; readonly objects: readonly KubeObject[] }
  | { readonly kind: 'CreateJob'; readonly object: KubeObject }
  | { readonly kind: 'DeleteJob'; readonly name: string; readonly uid: string | undefined }
  | { readonly kind: 'DeleteSecret'; readonly name: string };

/** Shards that were found to be as ordered: in a large fleet comparing all of them on every pass is most of the work. */
const agreed = new WeakMap<Shard, string>();

export interface ClusterPlan {
  readonly actions: readonly ClusterAction[];
  /** The map once the actions are done; undefined while there is none. */
  readonly map: ShardMap | undefined;
  readonly problem: Problem | undefined;
  /** Shards whose turn in a rollout has not come. */
  readonly waiting: number;
  /** What comes before there is a map, in words. */
  readonly progress?: string | undefined;
}

export interface Settings {
  readonly defaultImage: string;
  readonly secretsVersion: string;
}

export function decideCluster(facts: ClusterFacts, settings: Settings): ClusterPlan {
  const problem = findProblem(facts);
  if (problem) return { actions: [], map: mapToShow(facts.map), problem, waiting: 0 };
  try {
    switch (facts.map.kind) {
      case 'Absent': {
        const { recovery } = facts;
        if (recovery && !recovery.map) {
          const { actions, progress } = recovery;
          return { actions, map: undefined, problem: recovery.problem, waiting: 0, progress };
        }
        const map = recovery?.map ?? firstMap(facts.cluster);
        const { actions, waiting } = shardActions(facts, map, settings);
        return { actions: [{ kind: 'CreateMap', map }, ...actions], map, problem: undefined, waiting };
      }
      case 'InTransition': {
        // What was left in between is ours to finish unless somebody else is at it. Until then no shard is told anything.
        const { markedBy } = facts.map.raw;
        const ours = markedBy === undefined || markerOf(markedBy) === facts.cluster.metadata.uid;
        const actions: ClusterAction[] = ours ? [{ kind: 'PublishMap', retire: [] }] : [];
        const lost = ours ? undefined : changeLost(facts, markedBy);
        return { actions, map: mapToShow(facts.map), problem: lost, waiting: 0 };
      }
      case 'Present':
        return decideRunning(facts, facts.map.stored, settings);
      case 'Damaged':
        throw new TypeError('a damaged map is a problem');
      default:
        return assertNever(facts.map);
    }
  } catch (error) {
    if (!(error instanceof ShardingError)) throw error;
    return {
      actions: [],
      map: mapToShow(facts.map),
      problem: { reason: 'InvalidSharding', message: `spec.sharding: ${error.message}. ${error.remedy}` },
      waiting: 0,
    };
  }
}

function decideRunning(facts: ClusterFacts, stored: StoredMap, settings: Settings): ClusterPlan {
  const { cluster, shards, migrations } = facts;
  const input = { map: stored.map, wantedShards: cluster.spec.shards, shards, inUse: migrations.shards };
  const { markedBy } = stored;
  const busy = markedBy !== undefined && markerOf(markedBy) !== cluster.metadata.uid;
  const retire = busy ? [] : retiring(input);
  const map = busy ? stored.map : nextMap(stored.map, cluster, retire);
  const ofMap: ClusterAction[] = [];
  if (busy && !migrations.uids.has(markerOf(markedBy))) ofMap.push({ kind: 'ReleaseMap', by: markedBy });
  if (!busy && (map !== stored.map || markedBy !== undefined)) ofMap.push({ kind: 'PublishMap', retire });
  const { actions, waiting } = shardActions(facts, map, settings);
  const gone = retired({ ...input, map }).map((object): ClusterAction => ({ kind: 'DeleteShard', object }));
  const problem = busy ? undefined : cannotShrink(facts, map);
  // What the Jobs of a recovery tell is needed until every Shard has been told it.
  const names = new Set(shards.map(({ metadata }) => metadata.name));
  const over = map.shards.every(({ name }) => names.has(name)) ? (facts.recovery?.actions ?? []) : [];
  return { actions: [...ofMap, ...actions, ...gone, ...over], map, problem, waiting };
}

/** The map that a status speaks of. */
export function mapToShow(map: MapFacts): ShardMap | undefined {
  if (map.kind === 'Present') return map.stored.map;
  return map.kind === 'InTransition' ? (map.last ?? map.raw).map : undefined;
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
  const partitions = partitionsOf(map);
  const wanted = map.shards.map(entry => {
    const old = existing.get(entry.name);
    const known = old !== undefined && agreed.get(old) === orders;
    return {
      existing: old,
      spec: known
        ? old.spec
        : projectShard(
            {
              cluster,
              partition: partitions.get(entry.ordinal) ?? emptyPartition(map),
              schemaHash,
              storage: storageOf(facts, old, entry.name),
              database: databaseOf(facts, old, entry.name),
              ...settings,
            },
            entry,
          ),
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
    if (!old || !agrees(old, object, spec)) return [{ kind: 'ApplyShard', object, isNew: !old }];
    // One whose turn has not come agrees with less than the orders.
    if (waiting === 0) agreed.set(old, orders);
    return [];
  });
  return { actions, waiting };
}

/** Volumes never change their storage class: a shard keeps its own, a new one has that of its move or else the fleet's. */
function storageOf(
  { cluster, migrations }: ClusterFacts,
  old: Shard | undefined,
  name: string,
): ShardSpec['storage'] {
  const { storageClassName: ofFleet, ...storage } = cluster.spec.storage;
  const ofMove = migrations.storageClasses;
  const ofNew = ofMove.has(name) ? ofMove.get(name) : ofFleet;
  const storageClassName = old ? old.spec.storage.storageClassName : ofNew;
  return { ...storage, ...(storageClassName === undefined ? {} : { storageClassName }) };
}

/** Of one that came back from a backup. */
function databaseOf({ recovery }: ClusterFacts, old: Shard | undefined, name: string): string | undefined {
  return old ? old.spec.recovery?.systemIdentifier : recovery?.databases.get(name);
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
