/**
 * What one database needs to run: shared by ShardCluster, where a person writes it, and Shard, where the engine reads it.
 */
import { z } from 'zod';
import { identifier, objectName, quantity, text } from './common.ts';
import { immutable, intOrString, listMap, listSet, withRules } from './rules.ts';

/** Parameters that the operator sets itself; a person's value would cut it off from the database or break a guarantee. */
export const ownedParameters = [
  'listen_addresses',
  'port',
  'unix_socket_directories',
  'data_directory',
  'config_file',
  'hba_file',
  'ident_file',
  'external_pid_file',
  'cluster_name',
  'wal_level',
  'hot_standby',
  'primary_conninfo',
  'primary_slot_name',
  'synchronous_standby_names',
  'synchronous_commit',
  'fsync',
  'full_page_writes',
  'restore_command',
  'recovery_target_timeline',
  'password_encryption',
  'session_preload_libraries',
  'shared_preload_libraries',
  'sync_replication_slots',
  'synchronized_standby_slots',
  'hot_standby_feedback',
  'wal_log_hints',
] as const;

const parameters = withRules(
  z
    .record(
      z.string().max(63),
      intOrString(z.union([z.int(), z.string().max(1024)]).transform(String)).describe('The value.'),
    )
    .meta({ maxProperties: 128 }),
  {
    rule: 'self.all(name, name.matches("^[a-z_][a-z0-9_]*([.][a-z_][a-z0-9_]*)?$"))',
    message: 'a parameter is named as in postgresql.conf, such as shared_buffers',
  },
  {
    rule: `self.all(name, !(name in ${JSON.stringify(ownedParameters)}) && !name.startsWith("ssl") && !name.startsWith("archive_") && !name.startsWith("recovery_target"))`,
    message:
      'the operator owns listen_addresses, port, *_file, data_directory, cluster_name, wal_level, hot_standby*, primary_*, synchronous_*, fsync, full_page_writes, restore_command, password_encryption, *_preload_libraries, wal_log_hints, ssl*, archive_* and recovery_target*: remove them from parameters (consistency sets how commits wait)',
  },
);

const initdb = z.object({
  dataChecksums: z.boolean().default(true).describe('Checksums on every data page.'),
  encoding: z.enum(['UTF8']).default('UTF8').describe('Encoding of the database.'),
  localeProvider: z
    .enum(['builtin', 'libc', 'icu'])
    .default('builtin')
    .describe('Who sorts text. `builtin` cannot change under the data when the operating system is updated.'),
  locale: text({
    min: 1,
    max: 64,
    pattern: /^[A-Za-z0-9_.@-]+$/,
    message: 'must be the name of a locale, such as C.UTF-8 or en_US.UTF-8',
  })
    .default('C.UTF-8')
    .describe('Collation and character classes, by a name that the provider knows.'),
  walSegmentSizeMB: z
    .union([
      z.literal(1),
      z.literal(2),
      z.literal(4),
      z.literal(8),
      z.literal(16),
      z.literal(32),
      z.literal(64),
    ])
    .default(16)
    .describe('Size of one write-ahead log file, in MB.'),
});

export const engineSpec = z.object({
  type: z.enum(['postgresql']).describe('The database.'),
  version: z.enum(['17']).default('17').describe('Its major version.'),
  database: immutable(identifier, 'engine.database is immutable: make a new ShardCluster and move the data')
    .default('app')
    .describe('Name of the database that holds the tables, the same on every shard.'),
  image: text({
    min: 1,
    max: 512,
    pattern: /^[A-Za-z0-9][A-Za-z0-9._:@/-]*$/,
    message: 'must be an image reference such as registry.example/postgres:17',
  })
    .exactOptional()
    .describe('Image of the members; the operator has a default. A change rolls through the members.'),
  parameters: parameters
    .default({})
    .describe(
      'Settings of postgresql.conf. A change is reloaded, or rolled through the members where it needs a restart.',
    ),
  initdb: initdb.prefault({}).describe('What is fixed when the data directory is made. Immutable.'),
});

export type EngineSpec = z.infer<typeof engineSpec>;

const resourceAmounts = z.object({
  cpu: quantity.exactOptional().describe('Processor time: 500m is half of one core.'),
  memory: quantity.exactOptional().describe('Memory.'),
});

export const resourcesSpec = z.object({
  requests: resourceAmounts.exactOptional().describe('What the scheduler sets aside.'),
  limits: resourceAmounts.exactOptional().describe('What is never exceeded.'),
});

export type ResourcesSpec = z.infer<typeof resourcesSpec>;

export const poolerSpec = z.object({
  poolSize: z
    .int()
    .min(1)
    .max(10_000)
    .default(20)
    .describe('Server connections of a member, for each login.'),
  reservePoolSize: z
    .int()
    .min(0)
    .max(1000)
    .default(5)
    .describe('More of them when clients have waited too long.'),
  maxClientConnections: z
    .int()
    .min(1)
    .max(100_000)
    .default(1000)
    .describe('Client connections that a member accepts.'),
  resources: resourcesSpec.prefault({}).describe('Resources of the pooler container.'),
});

export type PoolerSpec = z.infer<typeof poolerSpec>;

export const storageSpec = z.object({
  size: quantity.describe('Size of a member’s volume. It can grow where the storage class allows it.'),
  storageClassName: objectName
    .exactOptional()
    .describe('Storage class; the cluster’s default class if absent. Immutable.'),
  accessModes: listSet(
    z
      .array(z.enum(['ReadWriteOnce', 'ReadWriteOncePod']))
      .min(1)
      .max(2),
  )
    .default(['ReadWriteOnce'])
    .describe('Access modes of the volume. Immutable.'),
});

export type StorageSpec = z.infer<typeof storageSpec>;

export const consistency = z
  .enum(['strong', 'eventual'])
  .describe(
    '`strong`: a commit is acknowledged when two members have it, so no single fault loses it. `eventual`: when the primary has it.',
  );

export const deletionPolicy = z
  .enum(['Forbid', 'Retain', 'Delete'])
  .describe(
    'The volumes when this is deleted. `Forbid`: deletion waits until the policy is changed. `Retain`: they stay. `Delete`: they go.',
  );

const configMapKey = z.object({
  name: objectName.describe('Name of the ConfigMap.'),
  key: text({
    min: 1,
    max: 253,
    pattern: /^[-._a-zA-Z0-9]+$/,
    message: 'must be a key of the ConfigMap: letters, digits, -, _ and .',
  })
    .exactOptional()
    .describe('One key of it; all keys in alphabetical order if absent.'),
});

export const schemaSources = z
  .array(configMapKey)
  .max(64)
  .describe('ConfigMaps with SQL files, applied in this order, the keys of each in alphabetical order.');

export const shardTables = listMap(
  z
    .array(
      z.object({
        name: text({
          min: 1,
          max: 127,
          pattern: /^[a-z_][a-z0-9_]*([.][a-z_][a-z0-9_]*)?$/,
          message:
            'must be a plain table name such as users or sales.orders: lower-case letters, digits and _',
        }).describe('Name of the table, with its schema if that is not public.'),
        key: identifier
          .exactOptional()
          .describe('Column whose value decides the shard. Rows with equal keys live together.'),
        reference: z
          .boolean()
          .exactOptional()
          .describe('The table is whole on every shard; it is written by broadcast only.'),
      }),
    )
    .max(512),
  'name',
);
