/** PostgreSQL's part of a recovery, as the controllers see it. */
import type { RecoveryEngine } from '#engines/recovery.ts';
import { sourceFiles } from '../backup/repository.ts';
import { firstClaim } from '../stateful-set.ts';
import { about } from './about.ts';
import { catalogJob } from './catalog-job.ts';
import { forgetMembers } from './forget-members.ts';
import { recoverJob } from './recover-job.ts';
import { parseReport } from './report.ts';

export const recovery: RecoveryEngine = {
  about,
  sourceFiles,
  catalogJob,
  recoverJob,
  firstClaim,
  forgetMembers,
  parseReport,
};
