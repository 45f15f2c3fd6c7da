/** Everything that a decision about one shard is made from, gathered from caches by index: nothing here asks the API server. */

import { byShard, type Caches, indexKey } from '#controllers/caches.ts';
import { isPaused } from '#crds/api/names.ts';
import { parseShard, type Shard } from '#crds/api/shard.ts';
import type { Engine, ShardObjects } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { PersistentVolumeClaim, StatefulSet } from '#kernel/resources.ts';
import type { Request } from '#kernel/source.ts';
import { type Member, markLockedOut } from './locked-out.ts';

export interface ShardFacts {
  /** As the API server sent it: what a status is applied to. */
  readonly raw: KubeObject;
  readonly shard: Shard;
  readonly objects: ShardObjects & { readonly statefulSet?: StatefulSet };
  readonly members: readonly Member[];
  readonly claims: readonly PersistentVolumeClaim[];
}

const parsed = new WeakMap<KubeObject, Shard>();

/** Parses once per state of the object. Throws InvalidObjectError. */
export function shardOf(raw: KubeObject): Shard {
  const known = parsed.get(raw);
  if (known) return known;
  const shard = parseShard(raw);
  parsed.set(raw, shard);
  return shard;
}

/** Undefined when the Shard is gone. */
export function gatherShard(
  caches: Caches,
  engine: (shard: Shard) => Engine,
  request: Request,
): ShardFacts | undefined {
  const raw = caches.shards.get(request);
  if (!raw) return undefined;
  const shard = shardOf(raw);
  const key = indexKey(request.namespace, request.name);
  const statefulSet = caches.statefulSets.get(request);
  const objects = {
    ...(statefulSet ? { statefulSet } : {}),
    pods: caches.pods.byIndex(byShard, key),
    endpoints: caches.endpoints.byIndex(byShard, key),
  };
  return {
    raw,
    shard,
    objects,
    members: markLockedOut(
      engine(shard).members(shard, objects),
      objects.pods,
      caches.serviceAccounts.get(request),
    ),
    claims: caches.claims.byIndex(byShard, key),
  };
}

/** Pausing a fleet pauses all that is below it. */
export function isHeld(caches: Caches, shard: Shard): boolean {
  if (isPaused(shard)) return true;
  const cluster = caches.shardClusters.get({
    namespace: shard.metadata.namespace ?? '',
    name: shard.spec.cluster.name,
  });
  return cluster !== undefined && isPaused(cluster);
}
