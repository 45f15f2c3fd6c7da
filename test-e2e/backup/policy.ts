/** BackupPolicies of the tests, and what their tests ask again and again. */

import type { DrillResult, ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import type { BackupPolicySpec } from '#crds/api/backup-policy.ts';
import { annotations, apiVersion } from '#crds/api/names.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { DeepPartial } from '#test-e2e/support/deep-partial.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import type { NamespaceObjectStore } from '#test-e2e/support/object-store.ts';
import { Shards } from '#test-e2e/support/resources.ts';

/** Of `fleet`: nothing by schedule while a test runs, and objectives that a busy machine of two cores can keep. */
export function policy(
  store: NamespaceObjectStore,
  spec: DeepPartial<BackupPolicySpec> = {},
): KubeObject & { spec: DeepPartial<BackupPolicySpec> } {
  return {
    apiVersion,
    kind: 'BackupPolicy',
    metadata: { name: 'nightly' },
    spec: {
      clusters: { names: ['fleet'] },
      objectives: { rpo: '20s', rto: '10m' },
      schedule: { full: '0 2 1 1 *', jitter: '1s' },
      destinations: [{ s3: store.s3 }],
      retention: { full: '400d' },
      drill: { schedule: '0 4 1 1 *' },
      ...spec,
    },
  };
}

export async function backupOf(namespace: TestNamespace, shard: string): Promise<ShardBackupStatus> {
  const { status } = await namespace.get(Shards, shard);
  if (!status?.backup) throw new Error(`${shard} says nothing of backups`);
  return status.backup;
}

/** Asks for a drill of the shard, and returns how it ended. */
export async function drillNow(namespace: TestNamespace, shard: string): Promise<DrillResult> {
  const before = (await backupOf(namespace, shard)).drill?.last?.request;
  await namespace.patch(Shards, shard, { metadata: { annotations: { [annotations.drillNow]: 'test' } } });
  let result: DrillResult | undefined;
  await namespace.until(
    Shards,
    shard,
    found => {
      result = found?.status?.backup?.drill?.last;
      return result === undefined || result.request === before ? 'its drill has not ended' : undefined;
    },
    { deadlineMs: 400_000 },
  );
  if (result === undefined) throw new Error('unreachable: the drill has ended');
  return result;
}
