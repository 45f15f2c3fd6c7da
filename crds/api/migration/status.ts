/** What is found out about a ShardMigration, and the plan that it follows: written before anything is touched. */
import { z } from 'zod';
import { conditions } from '../conditions.ts';
import { partition } from '../partition.ts';
import { listAtomic, listMap } from '../rules.ts';

const count = z.int().min(0);
const time = z.string().max(40);
const name = z.string().max(253);

/** The phases of one that is at work, in order. */
export const migrationStep = z.enum([
  'SetupReplication',
  'BulkCopy',
  'SyncChanges',
  'SwitchReads',
  'SwitchWrites',
  'VerifyAndCleanup',
]);
export type MigrationStep = z.infer<typeof migrationStep>;

/** How a migration can end once it has touched something. */
export const migrationEnding = z.enum(['Completed', 'Aborted', 'RolledBack']);
export type MigrationEnding = z.infer<typeof migrationEnding>;

/** The last phases of all. One that failed has touched nothing. */
export const migrationEnd = z.enum([...migrationEnding.options, 'Failed']);
export type MigrationEnd = z.infer<typeof migrationEnd>;

export const migrationPhase = z.enum(['Pending', ...migrationStep.options, ...migrationEnd.options]);
export type MigrationPhase = z.infer<typeof migrationPhase>;

export const migrationTransfer = z.object({
  id: z.string().max(20).describe('Names what the transfer makes in both databases.'),
  source: name.describe('Shard that has the data at first.'),
  target: name.describe('Shard that is to have it.'),
  partition: partition.describe('What moves.'),
  whole: z.boolean().describe('It is all that the source owns.'),
  targetEmpty: z.boolean().describe('The target owns nothing before.'),
  phase: migrationPhase.exactOptional().describe('How far this transfer is.'),
});
export type MigrationTransfer = z.infer<typeof migrationTransfer>;

export const migrationNewShard = z.object({
  name: name.describe('Its name.'),
  ordinal: count.describe('Its number in the fleet.'),
  region: z.string().max(63).exactOptional().describe('Region that it is made in.'),
  storageClassName: name
    .exactOptional()
    .describe('Storage class of its volumes; the cluster’s default class if absent.'),
});
export type MigrationNewShard = z.infer<typeof migrationNewShard>;

export const migrationFinding = z.object({
  check: z.string().max(64).describe('Name of the check.'),
  severity: z
    .enum(['error', 'warning'])
    .describe('An `error` stops the migration before anything is touched.'),
  message: z.string().max(1024).describe('What was found, and where.'),
  remedy: z.string().max(1024).describe('What to do about it.'),
  overridable: z.boolean().exactOptional().describe('Can be accepted in spec.preflight.ignore.'),
});
export type MigrationFinding = z.infer<typeof migrationFinding>;

export const migrationPhaseStatus = z.object({
  name: z.string().max(32).describe('The phase.'),
  startTime: time.describe('When it began.'),
  endTime: time.exactOptional().describe('When it ended.'),
  rows: count.exactOptional().describe('Rows that it has copied or compared.'),
  bytes: count.exactOptional().describe('Bytes that it has copied.'),
  rowsPerSecond: count.exactOptional().describe('Rows in a second, on average.'),
  bytesPerSecond: count.exactOptional().describe('Bytes in a second, on average.'),
  lagBytes: count.exactOptional().describe('Write-ahead log not applied yet, in bytes.'),
  secondsLeft: count.exactOptional().describe('Time left at this pace, in seconds.'),
});
export type MigrationPhaseStatus = z.infer<typeof migrationPhaseStatus>;

export const shardMigrationStatus = z.object({
  observedGeneration: count.exactOptional().describe('metadata.generation that the status was made for.'),
  phase: migrationPhase.exactOptional().describe('How far it is: as far as the transfer that is least so.'),
  operation: z.string().max(512).exactOptional().describe('What it does, in words.'),
  conditions: conditions.exactOptional(),
  plan: listAtomic(z.array(z.string().max(512)).max(128))
    .exactOptional()
    .describe('What will be done, in order.'),
  transfers: listMap(z.array(migrationTransfer).max(63), 'id')
    .exactOptional()
    .describe('What moves from where to where: made once, before anything is touched.'),
  newShard: migrationNewShard
    .exactOptional()
    .describe('Shard that a move has made for it: chosen once, with the plan.'),
  clusterUid: z
    .string()
    .max(64)
    .exactOptional()
    .describe('metadata.uid of the ShardCluster that was planned for.'),
  estimate: z
    .object({
      rows: count.describe('Rows that move.'),
      bytes: count.describe('Bytes that move.'),
    })
    .exactOptional()
    .describe('What moves, estimated from statistics.'),
  preflight: z
    .object({
      time: time.describe('When the checks were last made.'),
      findings: listAtomic(z.array(migrationFinding).max(128)).describe('What they found.'),
    })
    .exactOptional()
    .describe('Checks before anything is touched.'),
  waitingFor: z
    .string()
    .max(1024)
    .exactOptional()
    .describe('Another ShardMigration that has to end first, by name.'),
  phases: listMap(z.array(migrationPhaseStatus).max(16), 'name')
    .exactOptional()
    .describe('The phases that were gone through.'),
  progress: z
    .object({
      rowsCopied: count.exactOptional().describe('Rows copied.'),
      rowsTotal: count.exactOptional().describe('Rows to copy, estimated.'),
      bytesCopied: count.exactOptional().describe('Bytes copied.'),
      bytesTotal: count.exactOptional().describe('Bytes to copy.'),
      percent: z.int().min(0).max(100).exactOptional().describe('The same in percent.'),
      lagBytes: count.exactOptional().describe('Write-ahead log not applied yet, in bytes.'),
    })
    .exactOptional()
    .describe('Measured progress.'),
  copies: count
    .exactOptional()
    .describe('Copies that were begun; more than transfers when one had to be made again.'),
  verification: z
    .object({
      time: time.describe('When rows were last compared.'),
      stream: z
        .enum(['forward', 'back'])
        .describe('`forward`: before reads switch. `back`: after writes have.'),
      matches: z.boolean().describe('No row differed.'),
      rows: count.describe('Rows that were compared.'),
      differences: listAtomic(z.array(z.string().max(512)).max(16)).describe('Some of the rows that differ.'),
    })
    .exactOptional()
    .describe('The last comparison of rows.'),
  cutover: z
    .object({
      time: time.exactOptional().describe('When ownership last changed.'),
      writeStallMs: count.exactOptional().describe('Longest time that writes waited, in milliseconds.'),
      epoch: count.exactOptional().describe('Epoch of the map that says so.'),
      tries: count.exactOptional().describe('Attempts that undid themselves.'),
      lastUndone: z.string().max(1024).exactOptional().describe('Why the last of them did.'),
      lastUndoneTime: time.exactOptional().describe('When it did.'),
    })
    .exactOptional()
    .describe('The change of ownership.'),
  rollbackUntil: time.exactOptional().describe('Until when it can be rolled back.'),
  ending: migrationEnding
    .exactOptional()
    .describe('What it is being cleaned up as: from here on there is no way back.'),
  startTime: time.exactOptional().describe('When it started.'),
  completionTime: time.exactOptional().describe('When it ended.'),
});

export type ShardMigrationStatus = z.infer<typeof shardMigrationStatus>;
