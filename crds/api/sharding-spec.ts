/** How rows are spread over the shards of a fleet. */
import { z } from 'zod';
import { identifier, keyValue, text } from './common.ts';
import { immutable, listMap, listSet, type Rule, withRules } from './rules.ts';
import { shardTables } from './tables.ts';

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

const splitPoint = text({ min: 1, max: 256 });

const slotCounts = Array.from({ length: 13 }, (_, power) => 2 ** (power + 8));

const slots = withRules(
  z.int().min(256).max(1_048_576),
  {
    rule: `self in ${JSON.stringify(slotCounts)}`,
    message: 'must be a power of two from 256 to 1048576, such as 16384',
  },
  { rule: 'self == oldSelf', message: 'slots is immutable: make a new ShardCluster and move the data' },
);

const range = z.object({
  splitPoints: listSet(z.array(splitPoint).max(4096)).describe(
    'First key of every shard but the first, ascending: one fewer than spec.shards at creation.',
  ),
});

const directory = z.object({
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
});

const geo = z.object({
  column: identifier.describe('Column of every sharded table that holds the name of the row’s region.'),
});

/** Refuses a field's first appearance and its going, which a rule on the field itself does not see. */
function fixedAtCreation(field: string, remedy: string): Rule {
  return {
    rule: `has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`,
    message: `${field} is read when the fleet is made and immutable after it: ${remedy}`,
    fieldPath: `.${field}`,
  };
}

const migrate = 'a ShardMigration changes who owns what';

const splitPointRules: readonly Rule[] = [
  {
    rule: "!has(self.range) || self.keyType != 'bigint' || self.range.splitPoints.all(point, point.matches('^(0|-?[1-9][0-9]{0,17}|-?[1-8][0-9]{18})$'))",
    message: 'with keyType bigint, split points are whole numbers in quotes, such as "1000000"',
    fieldPath: '.range.splitPoints',
  },
  {
    rule: "!has(self.range) || self.keyType != 'uuid' || self.range.splitPoints.all(point, point.matches('^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'))",
    message:
      'with keyType uuid, split points are UUIDs in lower case, such as 80000000-0000-0000-0000-000000000000',
    fieldPath: '.range.splitPoints',
  },
  {
    rule: "!has(self.range) || (self.keyType == 'bigint' ? !self.range.splitPoints.all(point, point.matches('^(0|-?[1-9][0-9]{0,17}|-?[1-8][0-9]{18})$')) || self.range.splitPoints.map(point, int(point)).isSorted() : self.range.splitPoints.isSorted())",
    message: 'split points must ascend: bigint as numbers, text in the order of COLLATE "C"',
    fieldPath: '.range.splitPoints',
  },
];

export const shardingSpec = withRules(
  z.object({
    algorithm: immutable(algorithm, 'algorithm is immutable: make a new ShardCluster and move the data'),
    keyType: immutable(keyType, 'keyType is immutable: make a new ShardCluster and move the data').default(
      'bigint',
    ),
    slots: slots
      .default(16_384)
      .describe(
        'Fixed hash buckets that keys fall into: a power of two. Far more than there will ever be shards. Immutable.',
      ),
    assignment: assignment
      .exactOptional()
      .describe(
        'How slots are dealt to shards when the fleet is made; even runs if absent. With hash and geo.',
      ),
    range: range
      .exactOptional()
      .describe('The ranges when the fleet is made; migrations change them later. With range.'),
    directory: directory
      .exactOptional()
      .describe('The directory when the fleet is made; migrations change it later. With directory.'),
    geo: geo
      .exactOptional()
      .describe(
        'Rows never leave the region that this column names; within it they spread by slot over its shards. With geo.',
      ),
    tables: shardTables
      .default([])
      .describe('The tables: sharded by a key column, or whole on every shard as a reference.'),
  }),
  {
    rule: "has(self.range) == (self.algorithm == 'range')",
    message: 'range: {splitPoints: [...]} belongs to algorithm range, which needs it: write both or neither',
    fieldPath: '.range',
  },
  {
    rule: "has(self.directory) == (self.algorithm == 'directory')",
    message:
      'directory: {defaultShard: 0, entries: [...]} belongs to algorithm directory, which needs it: write both or neither',
    fieldPath: '.directory',
  },
  {
    rule: "has(self.geo) == (self.algorithm == 'geo')",
    message: 'geo: {column: ...} belongs to algorithm geo, which needs it: write both or neither',
    fieldPath: '.geo',
  },
  {
    rule: "!has(self.assignment) || self.algorithm in ['hash', 'geo']",
    message: 'assignment deals out slots, which only hash and geo use: remove it',
    fieldPath: '.assignment',
  },
  fixedAtCreation('assignment', migrate),
  fixedAtCreation('range', migrate),
  fixedAtCreation('directory', migrate),
  fixedAtCreation('geo', 'make a new ShardCluster and move the data'),
  ...splitPointRules,
);
export type ShardingSpec = z.infer<typeof shardingSpec>;
