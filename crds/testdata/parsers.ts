/** The parser of each kind, by its name. */
import { parseBackupPolicy } from '../api/backup-policy.ts';
import { parseShard } from '../api/shard.ts';
import { parseShardCluster } from '../api/shard-cluster.ts';
import { parseShardMigration } from '../api/shard-migration.ts';

export const parsers: Readonly<Record<string, (value: unknown) => { readonly spec: unknown }>> = {
  ShardCluster: parseShardCluster,
  Shard: parseShard,
  ShardMigration: parseShardMigration,
  BackupPolicy: parseBackupPolicy,
};
