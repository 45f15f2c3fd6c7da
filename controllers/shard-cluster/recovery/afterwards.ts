/** What a fleet that came back still needs of its recovery, and what it needs no more. Pure. */

import type { RecoveryJob } from '#controllers/recovery-job.ts';
import type { ClusterAction } from '#controllers/shard-cluster/decide.ts';
import { clusterChildren } from '#crds/api/names.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { RecoveryReport } from '#engines/recovery.ts';

/** What a fleet that is there again needs no more. */
export function decideAfterwards(
  cluster: ShardCluster,
  jobs: readonly RecoveryJob<unknown>[],
): readonly ClusterAction[] {
  if (jobs.length === 0) return [];
  const { name } = cluster.metadata;
  const secrets = jobs.flatMap(job => {
    const index = sourceOf(name, job.name);
    return index === undefined ? [] : [index];
  });
  return [
    ...secrets.map(
      (index): ClusterAction => ({
        kind: 'DeleteSecret',
        name: clusterChildren.recoverySecret(name, index),
      }),
    ),
    ...jobs.map((job): ClusterAction => ({ kind: 'DeleteJob', name: job.name, uid: job.uid })),
  ];
}

function sourceOf(cluster: string, job: string): number | undefined {
  const prefix = clusterChildren.catalogJob(cluster, 0).slice(0, -1);
  return job.startsWith(prefix) ? Number(job.slice(prefix.length)) : undefined;
}

/** System identifiers by the name of the shard. */
export function databasesOf(
  recoveries: ReadonlyMap<string, RecoveryJob<RecoveryReport>>,
): ReadonlyMap<string, string> {
  return new Map(
    [...recoveries].flatMap(([name, { report }]) =>
      report?.result ? [[name, report.result.systemIdentifier] as const] : [],
    ),
  );
}
