/** BackupPolicy: what may never be lost, as objectives that are measured. */
import { z } from 'zod';
import { cron, duration, identifier, metadata, objectName, regionName, tableName, text } from './common.ts';
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

const secretName = z.object({
  secretName: objectName.describe('Name of the Secret, in the same namespace.'),
});

const destination = z.object({
  region: regionName
    .exactOptional()
    .describe('Region whose shards use it; those of all other regions if absent.'),
  s3: z
    .object({
      endpoint: text({
        min: 8,
        max: 512,
        pattern: /^https?:\/\/[A-Za-z0-9.-]+(:[0-9]{1,5})?$/,
        message: 'must be the URL of the object store without a path, such as https://s3.example:9000',
      })
        .exactOptional()
        .describe('URL of the object store; that of Amazon S3 in the region if absent.'),
      bucket: text({
        min: 3,
        max: 63,
        pattern: /^[a-z0-9][a-z0-9.-]*[a-z0-9]$/,
        message: 'must be the name of a bucket: lower-case letters, digits, - and .',
      }).describe('The bucket.'),
      prefix: text({
        max: 512,
        pattern: /^([A-Za-z0-9_.-][A-Za-z0-9_./-]*)?$/,
        message: 'must be a path without a leading /, such as backups/social',
      })
        .default('')
        .describe('Path within it.'),
      region: text({
        min: 1,
        max: 63,
        pattern: /^[a-z0-9-]+$/,
        message: 'must be a region of the object store, such as eu-west-1',
      })
        .default('us-east-1')
        .describe('Region of the object store.'),
      credentials: secretName.describe('Secret with access-key-id and secret-access-key.'),
    })
    .describe('A bucket.'),
  encryption: secretName
    .exactOptional()
    .describe('Secret with the passphrase that backups are encrypted with.'),
});

const retention = z.object({
  full: duration.default('30d').describe('How long full backups are kept.'),
  hourly: duration.exactOptional().describe('How long one point in time an hour is kept.'),
  daily: duration.exactOptional().describe('How long one a day is kept.'),
  weekly: duration.exactOptional().describe('How long one a week is kept.'),
});

const schedule = z.object({
  full: cron.describe('When full backups are made.'),
  incremental: cron.exactOptional().describe('When incremental backups are made; never if absent.'),
  timeZone: text({
    min: 1,
    max: 64,
    pattern: /^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/,
    message: 'must be the name of a time zone, such as Etc/UTC or Europe/Berlin',
  })
    .default('Etc/UTC')
    .describe('Time zone of the schedules.'),
  maxConcurrent: z.int().min(1).max(256).default(4).describe('Backups at a time.'),
  suspend: z.boolean().default(false).describe('Make no backups by schedule. Archiving goes on.'),
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
  retention: retention.prefault({}).describe('How long backups are kept.'),
  destinations: withRules(listAtomic(z.array(destination).min(1).max(32)), {
    rule: 'self.all(a, self.exists_one(b, (has(a.region) ? a.region : "") == (has(b.region) ? b.region : "")))',
    message: 'one destination for each region, and at most one without a region',
  }).describe('Where backups go.'),
  drill: z
    .object({
      schedule: cron.describe('When a drill is made.'),
      sample: z.int().min(1).max(100).default(1).describe('Shards that are restored each time.'),
    })
    .exactOptional()
    .describe('Restores made only to measure how long they take, and whether they are right.'),
  archive: z
    .object({
      tables: listMap(
        z
          .array(
            z.object({
              name: tableName.describe('Name of the table.'),
              column: identifier.describe('Column with the time of a row.'),
              olderThan: duration.describe('Age from which rows are archived.'),
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
      rtoSeconds: z.number().min(0).exactOptional().describe('RTO of the last drill, in seconds.'),
      rtoShard: z.string().max(253).exactOptional().describe('The shard that was restored.'),
    })
    .exactOptional()
    .describe('What was measured.'),
  lastBackupTime: time.exactOptional().describe('When the last backup ended.'),
  lastDrillTime: time.exactOptional().describe('When the last drill ended.'),
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
