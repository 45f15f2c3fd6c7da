/** The database that a shard runs: in ShardCluster, where a person writes it, and in Shard, where the engine reads it. */
import { z } from 'zod';
import { identifier, text } from './common.ts';
import { immutable, intOrString, withRules } from './rules.ts';

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
  'hot_standby_feedback',
  'primary_conninfo',
  'primary_slot_name',
  'synchronous_standby_names',
  'synchronous_commit',
  'sync_replication_slots',
  'synchronized_standby_slots',
  'fsync',
  'full_page_writes',
  'wal_log_hints',
  'restore_command',
  'password_encryption',
  'session_preload_libraries',
  'shared_preload_libraries',
] as const;

/** Families of such parameters, by how their names begin. */
export const ownedParameterPrefixes = ['ssl', 'archive_', 'recovery_target'] as const;

const moveData = 'make a new ShardCluster and move the data';

const parameters = withRules(
  z
    .record(
      z.string().max(63),
      intOrString(z.union([z.int(), z.string().max(1024)]).transform(String)).describe('The value.'),
    )
    .meta({ maxProperties: 128 }),
  {
    rule: "self.all(name, name.matches('^[a-z_][a-z0-9_]*([.][a-z_][a-z0-9_]*)?$'))",
    message: 'a parameter is named as in postgresql.conf, such as shared_buffers',
  },
  {
    rule: "self.all(name, !string(self[name]).matches('[[:cntrl:]]'))",
    message: 'the value of a parameter is one line without control characters',
  },
  {
    rule: `self.all(name, !(name in ${JSON.stringify(ownedParameters)}) && ${ownedParameterPrefixes
      .map(prefix => `!name.startsWith('${prefix}')`)
      .join(' && ')})`,
    message: `the operator sets these itself, remove them: ${ownedParameters.join(', ')} and all that begin with ${ownedParameterPrefixes.join(', ')} (spec.consistency decides how commits wait)`,
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
    .literal([1, 2, 4, 8, 16, 32, 64])
    .default(4)
    .describe(
      'Size of one write-ahead log file, in MB. Each that is archived is written in full length, however little is in it.',
    ),
});

const database = withRules(
  identifier,
  {
    rule: "!(self in ['postgres', 'template0', 'template1', 'pgbouncer'])",
    message: 'postgres, template0, template1 and pgbouncer are taken: choose another name, such as app',
  },
  { rule: 'self == oldSelf', message: `database is immutable: ${moveData}` },
);

export const engineSpec = z.object({
  type: immutable(z.enum(['postgresql']), `type is immutable: ${moveData}`).describe(
    'The database. Immutable.',
  ),
  version: z.enum(['17']).default('17').describe('Its major version.'),
  database: database
    .default('app')
    .describe('Name of the database that holds the tables, the same on every shard. Immutable.'),
  image: text({
    min: 1,
    max: 512,
    pattern: /^[A-Za-z0-9][A-Za-z0-9._:@/-]*$/,
    message: 'must be an image reference such as registry.example/postgres:17',
  })
    .exactOptional()
    .describe('Image of the members; the operator has a default. A change rolls through the members.'),
  parameters: parameters
    .prefault({})
    .describe(
      'Settings of postgresql.conf. A change is reloaded, or rolled through the members where it needs a restart. Write on and off in quotes.',
    ),
  initdb: immutable(initdb, `initdb is fixed when the data directory is made: ${moveData}`)
    .prefault({})
    .describe('What is fixed when the data directory is made. Immutable.'),
});

export type EngineSpec = z.infer<typeof engineSpec>;
