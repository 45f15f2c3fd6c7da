/** PostgreSQL's part of backups, as the controllers see it. */
import type { BackupEngine } from '#engines/backup.ts';
import { backupJob } from './backup-job.ts';
import { drillJob } from './drill-job.ts';
import { parseReport } from './report.ts';
import { repositoryFiles } from './repository.ts';

export const backups: BackupEngine = {
  leastRpo: {
    seconds: 4,
    because:
      'commits are looked at once a second, a segment ends when its oldest commit has used half of the objective, and the store takes up to a second to have it: 1 s + 4 s / 2 + 1 s',
  },
  repositoryFiles,
  backupJob,
  drillJob,
  parseReport,
};
