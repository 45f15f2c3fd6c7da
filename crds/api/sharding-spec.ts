/** How rows are spread over the shards of a fleet. */
import { z } from 'zod';
import { identifier, keyValue } from './common.ts';
import { shardTables } from './engine-spec.ts';
import { intOrString, listMap } from './rules.ts';

export const algorithm = z
  .enum(['hash', 'range', 'directory', 'geo'])
  .describe(
    '`hash`: evenly, by a hash of the key. `range`: by the key’s order. `directory`: by a list of keys. `geo`: by a column that names the region. Immutable.',
  );
export type Algorithm = z.infer<typeof algorithm>;

export const keyType = z
  .enum(['bigint', 'text', 'uuid'])
  .describe('Type of the key columns. Text is ordered as COLLATE "C". Immutable.');
export type KeyType = z.infer<typeof keyType>;

export const maxShards = 100_000;
export const shardOrdinal = z
  .int()
  .min(0)
  .max(maxShards - 1);

const assignment = z.object({
  strategy: z
    .enum(['even', 'ring'])
    .default('even')
    .describe('`even`: equal runs of slots. `ring`: consistent hashing, as other systems do it.'),
  hash: z.enum(['md5', 'crc32']).default('md5').describe('Hash that places the points of a ring.'),
  virtualNodes: z.int().min(1).max(1000).default(150).describe('Points of each shard on a ring.'),
});
export type Assignment = z.infer<typeof assignment>;

/** What an absent `assignment` means. */
export const defaultAssignment: Assignment = { strategy: 'even', hash: 'md5', virtualNodes: 150 };

const splitPoint = intOrString(z.union([z.int(), z.string().max(256)]).transform(String));

export const shardingSpec = z.object({
  algorithm,
  keyType: keyType.default('bigint'),
  slots: z
    .int()
    .min(256)
    .max(1_048_576)
    .default(16_384)
    .describe(
      'Fixed hash buckets that keys fall into: a power of two. Far more than there will ever be shards. Immutable.',
    ),
  assignment: assignment
    .exactOptional()
    .describe(
      'How slots are dealt to shards when the fleet is made; even runs if absent. Only hash and geo.',
    ),
  range: z
    .object({
      splitPoints: z
        .array(splitPoint)
        .max(4096)
        .describe(
          'First key of every shard but the first, ascending: one fewer than spec.shards at creation.',
        ),
    })
    .exactOptional()
    .describe('The ranges when the fleet is made; migrations change them later. Needed by range.'),
  directory: z
    .object({
      defaultShard: shardOrdinal.describe('Ordinal of the shard for keys without an entry.'),
      entries: listMap(
        z
          .array(
            z.object({
              key: keyValue.describe('Value of the key, in its text form.'),
              shard: shardOrdinal.describe('Ordinal of the shard that holds it.'),
            }),
          )
          .max(4096),
        'key',
      )
        .default([])
        .describe('Keys with a shard of their own.'),
    })
    .exactOptional()
    .describe('The directory when the fleet is made; migrations change it later. Needed by directory.'),
  geo: z
    .object({
      column: identifier.describe('Column of every sharded table that holds the name of the row’s region.'),
    })
    .exactOptional()
    .describe(
      'Rows never leave the region that this column names; within it they spread by slot over its shards. Needed by geo.',
    ),
  tables: shardTables
    .default([])
    .describe('The tables: sharded by a key column, or whole on every shard as a reference.'),
});
export type ShardingSpec = z.infer<typeof shardingSpec>;
