/**
 * What Reconciling says of a fleet or Shard that is paused: there is work as long as there was some when it was paused, or its spec
 * has changed since. So nobody who waits takes a spec for carried out that is not. Pure.
 */
import { annotations } from '#crds/api/names.ts';
import type { ShardStatus } from '#crds/api/shard.ts';
import type { ShardClusterStatus } from '#crds/api/shard-cluster.ts';
import { conditionStatus, type WantedCondition } from './conditions.ts';

interface Paused {
  readonly metadata: { readonly generation?: number };
  readonly status?: ShardClusterStatus | ShardStatus | undefined;
}

export function reconcilingWhilePaused(before: Paused): WantedCondition {
  const waits =
    before.status?.observedGeneration !== before.metadata.generation ||
    conditionStatus(before, 'Reconciling') !== 'False' ||
    conditionStatus(before, 'Stalled') === 'True';
  return {
    type: 'Reconciling',
    status: waits ? 'True' : 'False',
    reason: 'Paused',
    message: `the annotation ${annotations.paused} keeps the operator from changing anything${waits ? ': what is left to do for the spec waits' : ''}`,
  };
}
