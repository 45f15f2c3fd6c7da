/** When backups and drills are made, and how long backups are kept. */
import { z } from 'zod';
import { cron, duration, text } from '../common.ts';
import { intOrString, withRules } from '../rules.ts';

/** A span of time, or how many. Parses to a string also where a number was written. */
const keep = withRules(
  intOrString(z.union([z.int().min(1).max(9999), z.string().min(1).max(32)]).transform(String)),
  {
    rule: "string(self).matches('^([1-9][0-9]{0,3}|([0-9]{1,9}(ms|s|m|h|d|w))+)$')",
    message: 'must be how many to keep, such as 4, or for how long, such as 24h or 30d',
  },
);

export const retention = z.object({
  full: keep
    .default('30d')
    .describe('Full backups, each with what stands on it: how many are kept, or for how long.'),
  hourly: keep.exactOptional().describe('The first backup of each hour: of how many hours, or for how long.'),
  daily: keep.exactOptional().describe('The first of each day, in UTC.'),
  weekly: keep.exactOptional().describe('The first of each week, which begins on Monday.'),
});

export type Retention = z.infer<typeof retention>;

export const schedule = z.object({
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
  jitter: duration
    .default('10m')
    .describe(
      'Backups begin up to this much later, each shard at a moment of its own; at most half of the time between two of them.',
    ),
  maxConcurrent: z.int().min(1).max(256).default(4).describe('Backups at a time.'),
  deadline: duration.default('6h').describe('Time after which a backup is given up and tried again.'),
  suspend: z
    .boolean()
    .default(false)
    .describe('Make no backups but those that are asked for. Archiving goes on.'),
});

export type BackupSchedule = z.infer<typeof schedule>;

export const drill = z.object({
  schedule: cron.describe('When a drill is made, in schedule.timeZone.'),
  sample: z
    .int()
    .min(1)
    .max(100)
    .default(1)
    .describe('Shards that are restored each time: those first whose last drill failed or is longest ago.'),
  deadline: duration.default('2h').describe('Time after which a drill has failed.'),
  contents: text({
    min: 1,
    max: 16,
    pattern: /^(0|[1-9][0-9]{0,5}(Mi|Gi))$/,
    message: 'must be a size such as 256Mi or 2Gi, or 0',
  })
    .default('256Mi')
    .describe('Bytes of tables that are compared row by row with the source, the smallest tables first.'),
});

export type DrillPlan = z.infer<typeof drill>;
