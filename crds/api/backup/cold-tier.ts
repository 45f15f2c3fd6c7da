/** What a Shard's status says of the runs that move its old rows to the cold tier. The BackupPolicy controller writes it. */
import { z } from 'zod';
import { listAtomic } from '../rules.ts';

const time = z.string().max(40);
const count = z.int().min(0);
const name = z.string().max(253);

const figures = {
  rows: count.describe('Rows that were written to files and read back.'),
  files: count.describe('Files of these.'),
  bytes: count.describe('Bytes of these.'),
  deleted: count.describe('Rows that were deleted from the database.'),
  kept: count.describe('Rows that stayed since they had changed; the next run takes them.'),
};

const table = z.object({
  table: z.string().max(127).describe('The table, as the policy names it.'),
  ...figures,
  upTo: z
    .string()
    .max(64)
    .exactOptional()
    .describe('Rows before this are done with; absent where it failed.'),
});

const run = z.object({
  request: name.describe('Which one it was.'),
  time: time.describe('When it ended.'),
  succeeded: z.boolean().describe('Whether all tables are done with.'),
  ...figures,
  tables: listAtomic(z.array(table).max(64)).describe('Table by table.'),
  failure: z
    .object({
      code: z.string().max(64).describe('What failed, as one CamelCase word for programs.'),
      message: z.string().max(1024).describe('What failed, and what to do next.'),
    })
    .exactOptional()
    .describe('Why it failed.'),
});

export const coldTier = z.object({
  served: time.describe('Moments of the schedule up to then are done with.'),
  asked: time.exactOptional().describe('When a run was asked for by hand that has not succeeded yet.'),
  running: z
    .object({ request: name.describe('Which one it is.'), started: time.describe('When it was begun.') })
    .exactOptional()
    .describe('The run under way.'),
  finished: name.exactOptional().describe('The last one whose end is noted here.'),
  attempts: z.int().min(1).exactOptional().describe('Failures since the last one that succeeded.'),
  last: run.exactOptional().describe('How the last one ended.'),
});

export type ColdTier = z.infer<typeof coldTier>;
export type ArchiveRun = z.infer<typeof run>;
