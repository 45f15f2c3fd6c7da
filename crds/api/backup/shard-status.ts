/** What a Shard's status says of its backups. The BackupPolicy controller writes it. */
import { z } from 'zod';
import { listAtomic } from '../rules.ts';
import { coldTier } from './cold-tier.ts';

const time = z.string().max(40);
const seconds = z.number().min(0);
const count = z.int().min(0);
const name = z.string().max(253);
const words = z.string().max(1024);
const label = z.string().max(128);

/** A list that is longer loses its oldest in status; the repository keeps them. */
export const RECORDS_SHOWN = 400;

/** What is planned, or asked for by hand. */
export const backupKind = z.enum(['full', 'incremental']);

export type BackupKind = z.infer<typeof backupKind>;

/** What is made: by the tiers of the retention an incremental backup may stand on the newest full one alone. */
const backupType = z.enum(['full', 'differential', 'incremental']);

const record = z.object({
  label: label.describe('Name in the repository.'),
  type: backupType.describe(
    'What it stands on: nothing, the newest full one (differential), or the one before it (incremental).',
  ),
  started: time.describe('When it began.'),
  stopped: time.describe('When it ended.'),
  databaseBytes: count.describe('Size of the database.'),
  storedBytes: count.describe('Bytes that it added to the repository.'),
  prior: label.exactOptional().describe('The backup that it stands on.'),
  error: z.boolean().describe('Damaged pages were found in it.'),
});

const last = z.object({
  label: label.describe('Name in the repository.'),
  time: time.describe('When it ended.'),
});

const archive = z.object({
  at: time.describe('When the primary told of it.'),
  rpoSeconds: seconds.describe('Age, then, of the oldest commit that was not in the object store yet.'),
  continuity: z
    .enum(['Verified', 'Unverified', 'Broken'])
    .describe('Whether the archive reaches from the last backup to now without a gap.'),
  since: time.describe('When that was first told.'),
  settingsVersion: z.string().max(128).describe('Settings that it was told under.'),
  timeline: count.describe('Timeline of the archive.'),
  archivedTo: z.string().max(64).exactOptional().describe('Newest position that it reaches.'),
  transferSeconds: seconds.exactOptional().describe('How long the last segment took.'),
  objects: count.describe('Objects written since the primary began to tell.'),
  bytes: count.describe('Bytes of these.'),
  failure: words.exactOptional().describe('What the last attempt failed with.'),
});

const running = z.object({
  request: name.describe('Which one it is.'),
  type: backupType.describe('What is made.'),
  started: time.describe('When it was begun.'),
  doneBytes: count.exactOptional().describe('Bytes that are done.'),
  totalBytes: count.exactOptional().describe('Bytes in all.'),
  percent: z.int().min(0).max(100).exactOptional().describe('How much is done.'),
  bytesPerSecond: count.exactOptional().describe('Rate since it began.'),
});

const failed = z.object({
  request: name.describe('Which one it was.'),
  attempts: z.int().min(1).describe('How often in a row.'),
  time: time.describe('When it was noticed.'),
  message: words.describe('Why.'),
});

const drillResult = z.object({
  request: name.describe('Which one it was.'),
  time: time.describe('When it ended.'),
  passed: z.boolean().describe('Whether all was as it should be.'),
  rtoSeconds: seconds.exactOptional().describe('From its beginning until the restored shard answered.'),
  rpoSeconds: seconds.exactOptional().describe('How long the newest commit was in danger.'),
  bytes: count.exactOptional().describe('Size of what was restored.'),
  steps: listAtomic(
    z
      .array(
        z.object({
          name: z.string().max(64).describe('The step.'),
          seconds: seconds.describe('How long it took.'),
        }),
      )
      .max(16),
  ).describe('Step by step.'),
  checks: listAtomic(
    z
      .array(
        z.object({
          name: z.string().max(64).describe('The check.'),
          passed: z.boolean().describe('Whether it held.'),
          message: words.describe('What was found.'),
        }),
      )
      .max(32),
  ).describe('What was looked at.'),
  failure: words.exactOptional().describe('Why it failed.'),
});

export const shardBackupStatus = z.object({
  policy: name.describe('The BackupPolicy that it is under.'),
  since: time.describe('Since when.'),
  place: z
    .string()
    .max(128)
    .describe('Changes when backups go elsewhere: what is told here is of this place.'),
  archive: archive.exactOptional().describe('Archiving, as the primary last told of it.'),
  records: listAtomic(z.array(record).max(RECORDS_SHOWN))
    .exactOptional()
    .describe('Backups in the repository, the newest last.'),
  lastFull: last.exactOptional().describe('The last full backup.'),
  lastIncremental: last.exactOptional().describe('The last incremental backup.'),
  served: z
    .object({
      full: time.exactOptional().describe('Up to which full ones.'),
      any: time.exactOptional().describe('Up to which of any kind.'),
    })
    .exactOptional()
    .describe('Moments of the schedule that are done with.'),
  asked: z
    .object({
      type: backupKind.describe('Which.'),
      time: time.describe('When it was taken up.'),
    })
    .exactOptional()
    .describe('A backup that was asked for by hand.'),
  running: running.exactOptional().describe('The backup under way.'),
  finished: name.exactOptional().describe('The last one whose end is noted here.'),
  failed: failed.exactOptional().describe('Failures since the last one that succeeded.'),
  drill: z
    .object({
      wanted: time.exactOptional().describe('When one was decided on that has not ended.'),
      running: z.boolean().exactOptional().describe('Whether it has begun.'),
      last: drillResult.exactOptional().describe('How the last one ended.'),
    })
    .exactOptional()
    .describe('Restores made to measure.'),
  coldTier: coldTier
    .exactOptional()
    .describe('Old rows that go to the object store, where the policy says so.'),
});

export type ShardBackupStatus = z.infer<typeof shardBackupStatus>;
export type DrillResult = z.infer<typeof drillResult>;

/** The moment before which every commit is in the object store, by what the shard's primary last told; ISO 8601. */
export function safeMoment(backup: ShardBackupStatus | undefined): string | undefined {
  const told = backup?.archive;
  return told && new Date(Date.parse(told.at) - told.rpoSeconds * 1000).toISOString();
}
