/** How the fleet's own kinds are addressed. */
import type { BackupPolicy } from '#crds/api/backup-policy.ts';
import { apiVersion, resources } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { ShardMigration } from '#crds/api/shard-migration.ts';
import type { KubeObject } from '#kernel/object.ts';
import { defineResource, type Resource } from '#kernel/resource.ts';

/** As the API server returns them: fields without a value are absent, and so are some that have a default in zod. */
export type ShardClusterObject = KubeObject & Pick<ShardCluster, 'spec' | 'status'>;
export type ShardMigrationObject = KubeObject & Pick<ShardMigration, 'spec' | 'status'>;
export type BackupPolicyObject = KubeObject & Pick<BackupPolicy, 'spec' | 'status'>;
export type ShardObject = KubeObject & Pick<Shard, 'spec' | 'status'>;

function define<T extends KubeObject>(kind: keyof typeof resources): Resource<T> {
  const { kind: name, plural } = resources[kind];
  return defineResource<T>({ apiVersion, kind: name, plural, namespaced: true });
}

export const ShardClusters = define<ShardClusterObject>('shardCluster');
export const Shards = define<ShardObject>('shard');
export const ShardMigrations = define<ShardMigrationObject>('shardMigration');
export const BackupPolicies = define<BackupPolicyObject>('backupPolicy');

export const fleetResources: readonly Resource[] = [ShardClusters, Shards, ShardMigrations, BackupPolicies];
