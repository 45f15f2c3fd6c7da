/** Jobs of a shard as facts: what they were made for, whether they have ended, and what they tell of themselves. */
import { type ArchiveOutcome, parseOutcome } from '#archive/outcome.ts';
import { jobFacts } from '#controllers/job-facts.ts';
import type { BackupEngine, BackupProgressReport, BackupReport, DrillReport } from '#engines/backup.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Job, Pod } from '#kernel/resources.ts';
import type { JobView } from './facts.ts';

type Engine = Pick<BackupEngine, 'parseReport'>;

const reports = new WeakMap<KubeObject, BackupReport | undefined>();

/** Parses once per state of the object. */
export function reportOf(object: KubeObject, engine: Engine): BackupReport | undefined {
  if (reports.has(object)) return reports.get(object);
  const report = engine.parseReport(object);
  reports.set(object, report);
  return report;
}

export function backupJobOf(job: Job | undefined, engine: Engine): JobView<BackupProgressReport> | undefined {
  if (!job || job.metadata.deletionTimestamp !== undefined) return undefined;
  const report = reportOf(job, engine);
  const view = viewOf(job);
  return {
    ...view,
    report: report?.kind === 'Backup' && report.request === view.request ? report : undefined,
  };
}

export function drillJobOf(job: Job | undefined, engine: Engine): JobView<DrillReport> | undefined {
  if (!job || job.metadata.deletionTimestamp !== undefined) return undefined;
  const report = reportOf(job, engine);
  const view = viewOf(job);
  return {
    ...view,
    report: report?.kind === 'Drill' && report.request === view.request ? report : undefined,
  };
}

/** It has no access to the API server: what it tells is the last message of its pod. `pods`: those that work for the shard. */
export function archiveJobOf(
  job: Job | undefined,
  pods: readonly Pod[],
): JobView<ArchiveOutcome> | undefined {
  if (!job || job.metadata.deletionTimestamp !== undefined) return undefined;
  const its = pods.filter(({ metadata }) =>
    metadata.ownerReferences?.some(({ uid }) => uid === job.metadata.uid),
  );
  const [report] = its.flatMap(({ status }) =>
    (status?.containerStatuses ?? []).flatMap(({ state }) => parseOutcome(state?.terminated?.message) ?? []),
  );
  return { ...viewOf(job), report };
}

function viewOf(job: Job): Omit<JobView<never>, 'report'> {
  const { namespace = '', creationTimestamp = '' } = job.metadata;
  return { ...jobFacts(job), namespace, created: creationTimestamp };
}
