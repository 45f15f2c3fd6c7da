/** What tests wait for in the conditions of a fleet. */
import { conditionStatus, findCondition } from '#controllers/conditions.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';

/** Ready at its newest spec, with nothing under way. */
export function isReady(cluster: ShardCluster): boolean {
  return (
    conditionStatus(cluster, 'Ready') === 'True' &&
    conditionStatus(cluster, 'Reconciling') === 'False' &&
    cluster.status?.observedGeneration === cluster.metadata.generation
  );
}

export function stalledFor(reason: string, message = /./): (cluster: ShardCluster) => boolean {
  return cluster => {
    const stalled = findCondition(cluster, 'Stalled');
    return stalled?.status === 'True' && stalled.reason === reason && message.test(stalled.message);
  };
}
