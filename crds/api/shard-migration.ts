/** ShardMigration: one change of who owns what, carried out in phases that can be watched, suspended and undone. */
import { z } from 'zod';
import { cron, duration, localReference, metadata, objectName, quantity, regionName } from './common.ts';
import { conditions } from './conditions.ts';
import { apiVersion } from './names.ts';
import { parseObject } from './parse.ts';
import { immutable, listAtomic, listSet, withRules } from './rules.ts';

const slot = z.int().min(0).max(1_048_575);

const split = z.object({
  shard: objectName.describe('The Shard to split.'),
  into: z.int().min(2).max(64).default(2).describe('Shards that it becomes, itself included.'),
});

const merge = withRules(
  z.object({
    shards: listSet(z.array(objectName).min(2).max(64)).describe('The Shards to merge.'),
    into: objectName.exactOptional().describe('The one that remains; the first of them if absent.'),
  }),
  {
    rule: '!has(self.into) || self.into in self.shards',
    message: 'merge.into must be one of merge.shards',
    fieldPath: '.into',
  },
);

const move = z.object({
  shard: objectName.describe('The Shard to move.'),
  region: regionName.describe('Region that it moves to.'),
});

const slots = withRules(
  z.object({
    from: objectName.describe('Shard that owns the slots.'),
    to: objectName.describe('Shard that is to own them.'),
    ranges: listAtomic(
      z
        .array(
          withRules(
            z.object({
              first: slot.describe('First slot.'),
              last: slot.describe('Last slot, itself included.'),
            }),
            {
              rule: 'self.first <= self.last',
              message: 'a range of slots is written with the lower one as first',
            },
          ),
        )
        .min(1)
        .max(1024),
    ).describe('The slots to move.'),
  }),
  {
    rule: 'self.from != self.to',
    message: 'slots.from and slots.to must be two different shards',
    fieldPath: '.to',
  },
);

const cutover = z.object({
  mode: z
    .enum(['Automatic', 'Manual'])
    .default('Automatic')
    .describe('`Automatic`: as soon as it is safe. `Manual`: when `approved` is set.'),
  approved: z.boolean().default(false).describe('With mode Manual: go ahead.'),
  maxLag: quantity.prefault('1Mi').describe('Write-ahead log still to be copied at which writes may switch.'),
  lockTimeout: duration.default('300ms').describe('Longest wait for a lock before another attempt.'),
  maxWriteStall: duration
    .default('1s')
    .describe('Longest time that writes may wait; beyond it the attempt is given up.'),
  window: cron.exactOptional().describe('When the cutover may start, in UTC.'),
});

const verbs = ['split', 'merge', 'move', 'slots'] as const;

export const shardMigrationSpec = withRules(
  z.object({
    cluster: immutable(
      localReference,
      'cluster is immutable: delete this ShardMigration and make a new one',
    ).describe('The ShardCluster. Immutable.'),
    split: split.exactOptional().describe('Split one shard. Immutable.'),
    merge: merge.exactOptional().describe('Merge several shards. Immutable.'),
    move: move.exactOptional().describe('Move a shard to another region. Immutable.'),
    slots: slots.exactOptional().describe('Move slots between two shards. Immutable.'),
    cutover: cutover.prefault({}).describe('When and how ownership changes.'),
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
    suspend: z.boolean().default(false).describe('Stay where it is.'),
    abort: z
      .boolean()
      .default(false)
      .describe('Before the cutover: undo everything. After it, within rollbackWindow: roll back.'),
    dryRun: z.boolean().default(false).describe('Write the plan into status and touch nothing.'),
  }),
  {
    rule: `[${verbs.map(verb => `has(self.${verb})`).join(', ')}].filter(set, set).size() == 1`,
    message: 'write exactly one of split, merge, move and slots',
  },
  {
    rule: verbs
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

const count = z.int().min(0);
const time = z.string().max(40);

export const migrationPhase = z.enum([
  'Pending',
  'SetupReplication',
  'BulkCopy',
  'SyncChanges',
  'SwitchReads',
  'SwitchWrites',
  'VerifyAndCleanup',
  'Completed',
  'Aborted',
  'RolledBack',
  'Failed',
]);
export type MigrationPhase = z.infer<typeof migrationPhase>;

export const shardMigrationStatus = z.object({
  observedGeneration: count.exactOptional().describe('metadata.generation that the status was made for.'),
  phase: migrationPhase.exactOptional().describe('How far it is.'),
  conditions: conditions.exactOptional(),
  plan: listAtomic(z.array(z.string().max(512)).max(64))
    .exactOptional()
    .describe('What will be done, in order.'),
  progress: z
    .object({
      rowsCopied: count.exactOptional().describe('Rows copied.'),
      rowsTotal: count.exactOptional().describe('Rows to copy, estimated.'),
      percent: z.int().min(0).max(100).exactOptional().describe('The same in percent.'),
      lagBytes: count.exactOptional().describe('Write-ahead log not applied yet, in bytes.'),
    })
    .exactOptional()
    .describe('Measured progress.'),
  cutover: z
    .object({
      time: time.exactOptional().describe('When ownership changed.'),
      writeStallMs: count.exactOptional().describe('How long writes waited, in milliseconds.'),
      epoch: count.exactOptional().describe('Epoch of the map that says so.'),
    })
    .exactOptional()
    .describe('The change of ownership.'),
  startTime: time.exactOptional().describe('When it started.'),
  completionTime: time.exactOptional().describe('When it ended.'),
});

export type ShardMigrationStatus = z.infer<typeof shardMigrationStatus>;

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
