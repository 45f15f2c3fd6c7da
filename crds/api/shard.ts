/**
 * Shard: one replicated database of a fleet, whole in itself. The ShardCluster controller writes the spec, the Shard controller
 * needs nothing else.
 */
import { z } from 'zod';
import { shardBackupStatus } from './backup/shard-status.ts';
import { identifier, localReference, metadata, objectName, regionName, text } from './common.ts';
import { conditions } from './conditions.ts';
import { engineSpec } from './engine-spec.ts';
import { apiVersion } from './names.ts';
import { parseObject } from './parse.ts';
import { partition } from './partition.ts';
import { poolerSpec, resourcesSpec } from './resources-spec.ts';
import { immutable, listAtomic, listMap } from './rules.ts';
import { accessSpec, tlsSpec } from './shard-cluster.ts';
import { algorithm, keyType, shardOrdinal } from './sharding-spec.ts';
import { consistency, deletionPolicy, shardStorageSpec } from './storage-spec.ts';
import { schemaSources, shardTables } from './tables.ts';

export const shardState = z
  .enum(['active', 'readonly', 'maintenance'])
  .describe('`active`: reads and writes. `readonly`: reads only. `maintenance`: neither.');
export type ShardState = z.infer<typeof shardState>;

const generation = z.int().min(1);

export const shardSpec = z.object({
  cluster: immutable(localReference, 'cluster is immutable: the operator makes Shards').describe(
    'The ShardCluster that it belongs to. Immutable.',
  ),
  ordinal: immutable(shardOrdinal, 'ordinal is immutable: the operator makes Shards').describe(
    'Its number in the fleet, from 0. Immutable.',
  ),
  region: regionName.exactOptional().describe('Region that all its members run in; anywhere if absent.'),
  spreadRegions: listAtomic(z.array(regionName).max(32))
    .exactOptional()
    .describe('Regions to spread the members over, with placement.spread: region.'),
  generation: generation
    .default(1)
    .describe('Of what it owns: application logins carry it, so a client of an older map is refused.'),
  readerGeneration: generation.default(1).describe('The same for the read-only logins.'),
  state: shardState.default('active'),
  members: z.int().min(1).max(9).describe('Pods, the primary included.'),
  engine: engineSpec.describe('The database.'),
  image: z
    .string()
    .max(512)
    .exactOptional()
    .describe('Image of the members; the operator’s default if absent.'),
  resources: resourcesSpec.prefault({}).describe('Resources of the database container.'),
  pooler: poolerSpec.prefault({}).describe('The connection pooler.'),
  storage: shardStorageSpec.describe('The volume of each member.'),
  consistency: consistency.default('strong'),
  deletionPolicy: deletionPolicy.default('Retain'),
  access: accessSpec.prefault({}).describe('Who may connect, and how.'),
  tls: tlsSpec.prefault({}).describe('Who issues certificates.'),
  secrets: z
    .object({
      ca: objectName.describe('Secret with the certificate authority.'),
      internal: objectName.describe('Secret with the operator’s own passwords.'),
      app: objectName.describe('Secret with the application’s logins.'),
      tls: objectName.describe('Secret with the server certificate.'),
      version: z
        .string()
        .max(128)
        .exactOptional()
        .describe('Changes when the application’s passwords do: the logins are then made sure of again.'),
    })
    .describe('Names of the Secrets that it uses.'),
  sharding: z
    .object({
      algorithm,
      keyType,
      slots: z.int().min(256).max(1_048_576).describe('Slots of the fleet.'),
      geoColumn: identifier.exactOptional().describe('Column that holds the region. With geo.'),
      tables: shardTables.default([]).describe('Tables of the fleet.'),
      partition: partition.describe('What this shard owns.'),
      slotCount: z.int().min(0).exactOptional().describe('How many slots it owns.'),
    })
    .describe('How the fleet is sharded, and what of it is here.'),
  schema: z
    .object({
      configMaps: schemaSources.default([]),
      hash: z.string().max(128).describe('Hash of the files’ content; a change applies them.'),
    })
    .exactOptional()
    .describe('SQL files to apply.'),
  recovery: z
    .object({
      systemIdentifier: text({
        min: 1,
        max: 20,
        pattern: /^[0-9]+$/,
        message: 'must be the number that the database was given when it was first made',
      }).describe('Identifier of the database on the volume: members with empty volumes wait for it.'),
    })
    .exactOptional()
    .describe('Its first member’s volume was filled from a backup.'),
});

export type ShardSpec = z.infer<typeof shardSpec>;

const memberStatus = z.object({
  name: z.string().max(253).describe('Name of the pod.'),
  role: z.enum(['primary', 'replica', 'unknown']).describe('What it is at present.'),
  ready: z.boolean().describe('Whether it takes connections.'),
  synchronous: z.boolean().exactOptional().describe('Has every acknowledged commit.'),
  lagBytes: z
    .int()
    .min(0)
    .exactOptional()
    .describe('Write-ahead log that it has not replayed yet, in bytes.'),
  node: z.string().max(253).exactOptional().describe('Node that it runs on.'),
});
export type ShardMemberStatus = z.infer<typeof memberStatus>;

const rebuildStatus = z.object({
  request: z.string().max(64).describe('Which one it is.'),
  to: z.string().max(40).describe('`latest`, or the time that it is brought back to.'),
  discard: z.boolean().describe('Whether what was on its old volumes goes.'),
  state: z
    .enum(['Running', 'Failed', 'Done', 'Cancelled'])
    .describe('How far it is. While it runs, and where it failed, nobody is let in.'),
  message: z.string().max(4096).describe('What it is at, or why it failed.'),
  since: z.string().max(40).describe('When it was taken up.'),
  ended: z.string().max(40).exactOptional().describe('When it was over, and no longer asked for.'),
  follows: z.string().max(40).exactOptional().describe('When the one before was over.'),
  safeBefore: z
    .string()
    .max(40)
    .exactOptional()
    .describe('What was committed before this was in the object store, as the lost primary last told.'),
  lastCommit: z.string().max(40).exactOptional().describe('Time of the newest commit that came back.'),
});
export type ShardRebuildStatus = z.infer<typeof rebuildStatus>;

export const shardStatus = z.object({
  observedGeneration: z
    .int()
    .min(0)
    .exactOptional()
    .describe('metadata.generation that the status was made for.'),
  phase: z.string().max(64).exactOptional().describe('The state in a word or two, for people.'),
  conditions: conditions.exactOptional(),
  primary: z.string().max(253).exactOptional().describe('Pod that takes writes.'),
  readyMembers: z.int().min(0).exactOptional().describe('Members that are ready.'),
  members: listMap(z.array(memberStatus).max(16), 'name').exactOptional().describe('The members.'),
  timeline: z.int().min(0).exactOptional().describe('PostgreSQL timeline: +1 with every promotion.'),
  swept: z
    .object({
      timeline: z.int().min(0).describe('The timeline.'),
      members: listAtomic(z.array(z.string().max(253)).max(16)).describe('Names of the members.'),
    })
    .exactOptional()
    .describe('Members rid of what they kept from timelines before: slots and settings of primaries.'),
  sizeBytes: z.int().min(0).exactOptional().describe('Size of the database, in bytes.'),
  lagBytes: z.int().min(0).exactOptional().describe('Greatest lag of a replica, in bytes.'),
  generation: z.int().min(0).exactOptional().describe('Generation in force in the database.'),
  readerGeneration: z.int().min(0).exactOptional().describe('Reader generation in force in the database.'),
  state: shardState.exactOptional(),
  secretsVersion: z
    .string()
    .max(128)
    .exactOptional()
    .describe('spec.secrets.version in force in the database.'),
  accessHash: z
    .string()
    .max(128)
    .exactOptional()
    .describe('Hash of the logins and grants that the database was last given.'),
  schema: z
    .object({
      hash: z.string().max(128).exactOptional().describe('Hash of the files that were all applied.'),
      files: z.int().min(0).describe('Files that are applied.'),
      failed: z
        .object({
          file: z.string().max(512).describe('File that failed.'),
          message: z.string().max(4096).describe('What the server said.'),
          hash: z.string().max(128).exactOptional().describe('Hash of the files at that time.'),
        })
        .exactOptional()
        .describe('The file that stopped the rest.'),
    })
    .exactOptional()
    .describe('SQL files that are applied.'),
  referenceVersion: z
    .string()
    .max(20)
    .exactOptional()
    .describe('Version of the reference tables here, as a decimal number.'),
  certificateExpiry: z.string().max(40).exactOptional().describe('When the server certificate runs out.'),
  rebuild: rebuildStatus.exactOptional().describe('The last time that it was rebuilt from its backups.'),
  achievedRpoSeconds: z
    .number()
    .min(0)
    .exactOptional()
    .describe('Age of the oldest commit that the loss of the whole shard would lose, in seconds.'),
  backup: shardBackupStatus.exactOptional().describe('Backups; the BackupPolicy controller writes it.'),
});

export type ShardStatus = z.infer<typeof shardStatus>;

export const shard = z.object({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('Shard'),
  metadata,
  spec: shardSpec,
  status: shardStatus.exactOptional(),
});

export type Shard = z.infer<typeof shard>;

/** Parses what the API server returned. Throws InvalidObjectError. */
export function parseShard(value: unknown): Shard {
  return parseObject('Shard', shard, value);
}
