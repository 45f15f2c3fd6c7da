/**
 * The one finalizer of ours: a ShardCluster whose deletionPolicy is Forbid has it, and no other. So with any other policy
 * deletion needs no operator at all - owner references and the StatefulSets' claim retention do the rest - and cannot hang.
 */

import { ShardClusters } from '#controllers/caches.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { ConflictError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { Problem } from './problems.ts';

export const FINALIZER = 'shardwright.io/deletion-forbidden';

export type FinalizerStep =
  | { readonly kind: 'Keep' }
  | { readonly kind: 'Add' }
  | { readonly kind: 'Remove' }
  | { readonly kind: 'Refuse'; readonly problem: Problem };

export function decideFinalizer(cluster: ShardCluster): FinalizerStep {
  const has = cluster.metadata.finalizers?.includes(FINALIZER) ?? false;
  const forbids = cluster.spec.deletionPolicy === 'Forbid';
  if (cluster.metadata.deletionTimestamp === undefined) {
    return has === forbids ? { kind: 'Keep' } : { kind: forbids ? 'Add' : 'Remove' };
  }
  if (!has) return { kind: 'Keep' };
  if (!forbids) return { kind: 'Remove' };
  return {
    kind: 'Refuse',
    problem: {
      reason: 'DeletionForbidden',
      message:
        `spec.deletionPolicy is Forbid, so ShardCluster ${cluster.metadata.name} and its shards stay and serve: ` +
        `to let it go, set spec.deletionPolicy to Retain (volumes stay) or Delete (volumes go)`,
    },
  };
}

/** Compare-and-swap: another finalizer that comes or goes meanwhile is not overwritten; the next pass tries again. */
export async function writeFinalizer(
  client: KubeClient,
  cluster: ShardCluster,
  wanted: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { finalizers = [], resourceVersion, namespace, name } = cluster.metadata;
  const others = finalizers.filter(finalizer => finalizer !== FINALIZER);
  const body = {
    metadata: { resourceVersion, finalizers: wanted ? [...others, FINALIZER] : others },
  };
  const key = { ...(namespace ? { namespace } : {}), name };
  try {
    await orUndefined(client.patch(ShardClusters, key, { type: 'merge', body }, { signal }));
  } catch (error) {
    // Its change is on the watch already and brings us back.
    if (!(error instanceof ConflictError)) throw error;
  }
}
