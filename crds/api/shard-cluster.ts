/** ShardCluster: a fleet of shards that act as one database. */
import { z } from 'zod';
import { cron, metadata, namespaceNames, objectName, regionName, text, timestamp } from './common.ts';
import { conditions } from './conditions.ts';
import { engineSpec } from './engine-spec.ts';
import { apiVersion } from './names.ts';
import { parseObject } from './parse.ts';
import { poolerSpec, resourcesSpec } from './resources-spec.ts';
import { listMap, withRules } from './rules.ts';
import { crossFieldRules } from './shard-cluster-rules.ts';
import { maxShards, shardingSpec, shardOrdinal } from './sharding-spec.ts';
import { consistency, deletionPolicy, storageSpec } from './storage-spec.ts';
import { schemaSources } from './tables.ts';

const region = z.object({
  name: regionName.describe('Value of the node label topology.kubernetes.io/region.'),
  weight: z.int().min(0).max(1000).default(1).describe('Share of the shards, relative to the other regions.'),
});

const placement = withRules(
  z.object({
    regions: listMap(z.array(region).max(32), 'name')
      .default([])
      .describe('Regions to use and their shares; anywhere if empty.'),
    spread: z
      .enum(['none', 'region'])
      .default('none')
      .describe(
        '`none`: all members of a shard in one region. `region`: the members of every shard over all regions. Not with geo.',
      ),
  }),
  {
    rule: 'self.regions.size() == 0 || self.regions.exists(region, region.weight > 0)',
    message: 'at least one region must have a weight above 0',
    fieldPath: '.regions',
  },
  {
    rule: "self.spread != 'region' || self.regions.size() > 1",
    message: 'spread: region needs two or more entries in placement.regions: add them, or write spread: none',
    fieldPath: '.spread',
  },
);

const rebalance = withRules(
  z.object({
    threshold: z.number().min(0).max(1).default(0.9).describe('Fill of a volume that starts a move of data.'),
    target: z.number().min(0).max(1).default(0.5).describe('Fill that a move aims at.'),
    batchSize: z.int().min(1).max(65_536).default(512).describe('Slots that move at a time.'),
    maxConcurrent: z.int().min(1).max(64).default(2).describe('Moves at a time.'),
    window: cron.exactOptional().describe('When moves may start, in UTC.'),
  }),
  {
    rule: 'self.target < self.threshold',
    message: 'target must be below threshold, or moves would never end',
    fieldPath: '.target',
  },
);

export const accessSpec = z.object({
  stableLogin: z
    .boolean()
    .default(false)
    .describe(
      'A login `app` that never changes, for clients without the library. A migration refuses a fleet that has it.',
    ),
  namespaces: namespaceNames
    .default([])
    .describe('Other namespaces whose pods may connect; the fleet’s own always may.'),
});

export const tlsSpec = z.object({
  issuerRef: z
    .object({
      name: objectName.describe('Name of the issuer.'),
      kind: z.enum(['Issuer', 'ClusterIssuer']).default('Issuer').describe('Its kind.'),
      group: z.enum(['cert-manager.io']).default('cert-manager.io').describe('Its API group.'),
    })
    .exactOptional()
    .describe('cert-manager issuer of the certificates; the operator’s own authority if absent.'),
});

const shardState = z.object({
  shard: shardOrdinal.describe('Ordinal of the shard: 2 for the shard social-2.'),
  state: z
    .enum(['readonly', 'maintenance'])
    .describe('`readonly`: reads only. `maintenance`: neither reads nor writes.'),
});

export const shardClusterSpec = withRules(
  z.object({
    engine: engineSpec.describe('The database that every shard runs.'),
    sharding: shardingSpec.describe('How rows are spread over the shards.'),
    shards: z
      .int()
      .min(1)
      .max(maxShards)
      .default(1)
      .describe('Number of shards: the scale subresource. Migrations move data towards it.'),
    members: z.int().min(1).max(9).default(2).describe('Pods per shard, the primary included.'),
    placement: placement.prefault({}).describe('Where shards and their members run.'),
    storage: storageSpec.describe('The volume of every member.'),
    consistency: consistency.default('strong'),
    resources: resourcesSpec.prefault({}).describe('Resources of the database container of every member.'),
    pooler: poolerSpec.prefault({}).describe('The connection pooler that every member runs.'),
    rebalance: rebalance
      .exactOptional()
      .describe('Moves of data that the operator may start itself; none if absent.'),
    deletionPolicy: deletionPolicy.default('Retain'),
    bootstrap: z
      .object({
        recovery: z
          .object({
            policy: objectName.describe('BackupPolicy whose backups to use.'),
            cluster: objectName.describe('ShardCluster that was backed up.'),
            incarnation: text({
              min: 8,
              max: 8,
              pattern: /^[0-9a-f]{8}$/,
              message: 'must be the first 8 characters of the uid of the ShardCluster that was backed up',
            })
              .exactOptional()
              .describe(
                'Which of several ShardClusters that had this name: the first 8 characters of its uid; the newest that reaches the time if absent.',
              ),
            targetTime: timestamp
              .exactOptional()
              .describe('Point in time to go back to; the newest if absent.'),
          })
          .exactOptional()
          .describe('Start from a backup instead of empty.'),
      })
      .exactOptional()
      .describe('Where the first data comes from. Immutable.'),
    schema: z
      .object({ configMaps: schemaSources })
      .exactOptional()
      .describe('Tables and other definitions, applied once on every shard, also on shards that come later.'),
    access: accessSpec.prefault({}).describe('Who may connect, and how.'),
    tls: tlsSpec.prefault({}).describe('Who issues certificates.'),
    shardStates: listMap(z.array(shardState).max(4096), 'shard')
      .default([])
      .describe('Shards that take no writes, or no traffic at all, for a while.'),
  }),
  ...crossFieldRules,
);

export type ShardClusterSpec = z.infer<typeof shardClusterSpec>;

const count = z.int().min(0);

export const shardClusterStatus = z.object({
  observedGeneration: count.exactOptional().describe('metadata.generation that the status was made for.'),
  phase: z.string().max(64).exactOptional().describe('The state in a word or two, for people.'),
  conditions: conditions.exactOptional(),
  shards: count.exactOptional().describe('Shards that exist.'),
  readyShards: count.exactOptional().describe('Shards that are Ready.'),
  selector: z
    .string()
    .max(512)
    .exactOptional()
    .describe('Label selector of the pods, for the scale subresource.'),
  map: z
    .object({
      epoch: count.describe('Version of the shard map.'),
      pages: count.describe('ConfigMaps that hold its slots.'),
    })
    .exactOptional()
    .describe('The shard map.'),
  states: z
    .object({
      active: count.describe('Shards that take reads and writes.'),
      readonly: count.describe('Shards that take reads only.'),
      maintenance: count.describe('Shards that take no traffic.'),
    })
    .exactOptional()
    .describe('Shards by state.'),
  worst: z
    .object({
      lagBytes: count.exactOptional().describe('Greatest replication lag of a shard, in bytes.'),
      lagShard: z.string().max(253).exactOptional().describe('The shard that has it.'),
      sizeBytes: count.exactOptional().describe('Size of the largest shard, in bytes.'),
      sizeShard: z.string().max(253).exactOptional().describe('The shard that has it.'),
      notReadySince: z
        .string()
        .max(40)
        .exactOptional()
        .describe('Since when the shard that is out longest is not Ready.'),
      notReadyShard: z.string().max(253).exactOptional().describe('The shard that is out longest.'),
    })
    .exactOptional()
    .describe('Worst cases over all shards.'),
  sizeBytes: count.exactOptional().describe('Size of all shards together, in bytes.'),
  schemaHash: z
    .string()
    .max(128)
    .exactOptional()
    .describe('Content of spec.schema that the shards were last given.'),
  referenceVersion: z
    .string()
    .max(20)
    .exactOptional()
    .describe('Version of the reference tables that every shard has, as a decimal number.'),
  certificateExpiry: z.string().max(40).exactOptional().describe('When the first certificate runs out.'),
});

export type ShardClusterStatus = z.infer<typeof shardClusterStatus>;

export const shardCluster = z.object({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('ShardCluster'),
  metadata,
  spec: shardClusterSpec,
  status: shardClusterStatus.exactOptional(),
});

export type ShardCluster = z.infer<typeof shardCluster>;

/** Parses what the API server returned. Throws InvalidObjectError. */
export function parseShardCluster(value: unknown): ShardCluster {
  return parseObject('ShardCluster', shardCluster, value);
}
