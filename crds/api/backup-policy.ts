/** BackupPolicy: what may never be lost, as objectives that are measured. */
import { z } from 'zod';
import { destinations } from './backup/destination.ts';
import { drill, retention, schedule } from './backup/plan.ts';
import { backupKind } from './backup/shard-status.ts';
import { cron, duration, identifier, metadata, objectName, tableName, text } from './common.ts';
import { conditions } from './conditions.ts';
import { apiVersion } from './names.ts';
import { parseObject } from './parse.ts';
import { listAtomic, listMap, listSet, withRules } from './rules.ts';

const labelText = text({
  max: 253,
  pattern: /^([A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?)?$/,
  message: 'must be a label key or value',
});

const selector = z.object({
  matchLabels: z
    .record(z.string().max(253), labelText.describe('Value of the label.'))
    .meta({ maxProperties: 32 })
    .exactOptional()
    .describe('Labels that a ShardCluster must have.'),
  matchExpressions: listAtomic(
    z
      .array(
        z.object({
          key: labelText.describe('Key of the label.'),
          operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']).describe('How it is compared.'),
          values: listSet(z.array(labelText).max(32)).exactOptional().describe('With In and NotIn.'),
        }),
      )
      .max(16),
  )
    .exactOptional()
    .describe('Conditions on labels, all of which must hold.'),
});

export const backupPolicySpec = z.object({
  clusters: withRules(
    z.object({
      names: listSet(z.array(objectName).min(1).max(256)).exactOptional().describe('ShardClusters by name.'),
      selector: selector.exactOptional().describe('ShardClusters by their labels.'),
    }),
    {
      rule: 'has(self.names) != has(self.selector)',
      message: 'write exactly one of clusters.names and clusters.selector',
    },
  ).describe('The fleets that it is for.'),
  objectives: z
    .object({
      rpo: duration.describe('Newest data that may be lost, as a span of time.'),
      rto: duration.describe('Time in which a shard must be back from a backup.'),
    })
    .describe('What is promised; conditions say whether it is kept.'),
  schedule: schedule.describe('When backups are made.'),
  retention: retention
    .prefault({})
    .describe('Which backups are kept. The last good one always is, and whatever it stands on.'),
  destinations: destinations.describe('Where backups go.'),
  drill: drill
    .exactOptional()
    .describe('Restores made only to measure how long they take, and whether they are right.'),
  archive: z
    .object({
      schedule: cron
        .default('0 1 * * *')
        .describe('When old rows are looked for, in schedule.timeZone and with schedule.jitter.'),
      tables: listMap(
        z
          .array(
            z.object({
              name: tableName.describe('Name of the table.'),
              column: identifier.describe('Column with the time of a row.'),
              olderThan: withRules(duration, {
                rule: "self.matches('[1-9]')",
                message: 'must be an age of more than nothing, such as 366d: at 0 all rows would be old',
              }).describe('Age from which rows are archived.'),
            }),
          )
          .min(1)
          .max(64),
        'name',
      ).describe('The tables.'),
      format: z.enum(['parquet']).default('parquet').describe('Format of the files.'),
      deleteAfter: z.boolean().default(false).describe('Delete rows that are safely archived.'),
    })
    .exactOptional()
    .describe('Old rows that go to the object store as files.'),
});

export type BackupPolicySpec = z.infer<typeof backupPolicySpec>;

const count = z.int().min(0);
const time = z.string().max(40);

export const backupPolicyStatus = z.object({
  observedGeneration: count.exactOptional().describe('metadata.generation that the status was made for.'),
  phase: z.string().max(64).exactOptional().describe('The state in a word or two, for people.'),
  conditions: conditions.exactOptional(),
  clusters: count.exactOptional().describe('Fleets that it is for.'),
  shards: count.exactOptional().describe('Shards of these fleets.'),
  achieved: z
    .object({
      rpoSeconds: z.number().min(0).exactOptional().describe('Worst achieved RPO, in seconds.'),
      rpoShard: z.string().max(253).exactOptional().describe('The shard that has it.'),
      rpoMedianSeconds: z.number().min(0).exactOptional().describe('Median of all shards, in seconds.'),
      unknown: count.exactOptional().describe('Shards of which it is not known.'),
      rtoSeconds: z.number().min(0).exactOptional().describe('Longest of the last drills, in seconds.'),
      rtoShard: z.string().max(253).exactOptional().describe('The shard that was restored.'),
    })
    .exactOptional()
    .describe('What was measured.'),
  backups: z
    .object({
      running: count.describe('Under way.'),
      failed: count.describe('Shards whose last one failed.'),
      waiting: count.describe('Shards whose turn has not come yet.'),
      stored: count.describe('In the object store, of all shards.'),
      storedBytes: count.describe('Bytes of these.'),
    })
    .exactOptional()
    .describe('Backups of all shards.'),
  drills: z
    .object({
      running: count.describe('Under way, or about to be.'),
      passed: count.describe('Shards whose last one passed.'),
      failed: count.describe('Shards whose last one failed.'),
    })
    .exactOptional()
    .describe('Drills of all shards.'),
  archive: z
    .object({
      running: count.describe('Under way.'),
      failed: count.describe('Shards whose last run failed.'),
      waiting: count.describe('Shards whose turn has not come yet.'),
    })
    .exactOptional()
    .describe('Runs that archive old rows, of all shards.'),
  asked: z
    .object({
      type: backupKind.describe('Which.'),
      time: time.describe('When it was taken up.'),
    })
    .exactOptional()
    .describe('Backups of all shards that were asked for by hand.'),
  drillAsked: time.exactOptional().describe('When the last drill that was asked for by hand was taken up.'),
  archiveAsked: time
    .exactOptional()
    .describe('When the last archiving of old rows that was asked for by hand was taken up.'),
  drillTime: time.exactOptional().describe('Up to when drills of the schedule are done with.'),
  lastBackupTime: time.exactOptional().describe('When the last backup ended.'),
  lastDrillTime: time.exactOptional().describe('When the last drill ended.'),
  lastArchiveTime: time.exactOptional().describe('When the last run that archived old rows ended.'),
});

export type BackupPolicyStatus = z.infer<typeof backupPolicyStatus>;

export const backupPolicy = z.object({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('BackupPolicy'),
  metadata,
  spec: backupPolicySpec,
  status: backupPolicyStatus.exactOptional(),
});

export type BackupPolicy = z.infer<typeof backupPolicy>;

/** Parses what the API server returned. Throws InvalidObjectError. */
export function parseBackupPolicy(value: unknown): BackupPolicy {
  return parseObject('BackupPolicy', backupPolicy, value);
}
