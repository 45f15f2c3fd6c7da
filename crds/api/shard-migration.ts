/** ShardMigration: one change of who owns what, carried out in phases that can be watched, suspended and undone. */
import { z } from 'zod';
import { duration, localReference, metadata } from './common.ts';
import { cutover } from './migration/cutover.ts';
import { merge, move, operations, slots, split } from './migration/operations.ts';
import { shardMigrationStatus } from './migration/status.ts';
import { apiVersion } from './names.ts';
import { parseObject } from './parse.ts';
import { immutable, listSet, withRules } from './rules.ts';

export const shardMigrationSpec = withRules(
  z.object({
    cluster: immutable(
      localReference,
      'cluster is immutable: delete this ShardMigration and make a new one',
    ).describe('The ShardCluster. Immutable.'),
    split: split.exactOptional().describe('Split one shard. Immutable.'),
    merge: merge.exactOptional().describe('Merge several shards. Immutable.'),
    move: move
      .exactOptional()
      .describe('Move a shard to another region, or onto another storage class. Immutable.'),
    slots: slots.exactOptional().describe('Move slots between two shards. Immutable.'),
    cutover: cutover.prefault({}).describe('When and how ownership changes.'),
    preflight: z
      .object({
        ignore: listSet(z.array(z.string().min(1).max(64)).max(64))
          .default([])
          .describe('Checks whose findings are accepted: warnings, and errors that say they can be.'),
      })
      .prefault({})
      .describe('Checks before anything is touched.'),
    verification: z
      .object({
        mode: z
          .enum(['Full', 'Sample'])
          .default('Full')
          .describe('`Full`: every row is compared. `Sample`: some slots are.'),
      })
      .prefault({})
      .describe('How the copy is compared with its source, before reads switch and after writes have.'),
    rollbackWindow: duration
      .default('24h')
      .describe('How long changes flow back after the cutover, so that it can be undone.'),
    suspend: z.boolean().default(false).describe('Stay where it is: changes go on being copied.'),
    abort: z
      .boolean()
      .default(false)
      .describe('Before the cutover: undo everything. After it, within rollbackWindow: roll back.'),
    dryRun: z.boolean().default(false).describe('Write the plan into status and touch nothing.'),
  }),
  {
    rule: `[${operations.map(verb => `has(self.${verb})`).join(', ')}].filter(set, set).size() == 1`,
    message: 'write exactly one of split, merge, move and slots',
  },
  {
    rule: operations
      .map(
        verb =>
          `has(self.${verb}) == has(oldSelf.${verb}) && (!has(self.${verb}) || self.${verb} == oldSelf.${verb})`,
      )
      .join(' && '),
    message: 'what a migration does is immutable: abort this ShardMigration and make a new one',
  },
  {
    rule: '!oldSelf.abort || self.abort',
    message: 'an abort cannot be taken back: make a new ShardMigration',
    fieldPath: '.abort',
  },
  {
    rule: 'oldSelf.dryRun || !self.dryRun',
    message:
      'a migration that was started cannot become a dry run: make a new ShardMigration with dryRun: true',
    fieldPath: '.dryRun',
  },
);

export type ShardMigrationSpec = z.infer<typeof shardMigrationSpec>;

export const shardMigration = z.object({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('ShardMigration'),
  metadata,
  spec: shardMigrationSpec,
  status: shardMigrationStatus.exactOptional(),
});

export type ShardMigration = z.infer<typeof shardMigration>;

/** Parses what the API server returned. Throws InvalidObjectError. */
export function parseShardMigration(value: unknown): ShardMigration {
  return parseObject('ShardMigration', shardMigration, value);
}
