/** Jobs that bring shards back, as facts: what they were made for, whether they have ended, and what they tell. */
import type { CatalogReport, RecoveryEngine, RecoveryReport } from '#engines/recovery.ts';
import type { Job } from '#kernel/resources.ts';
import { type JobFacts, jobFacts } from './job-facts.ts';

/** A Job of a recovery. `report` is undefined before its first word. */
export interface RecoveryJob<R> extends Omit<JobFacts, 'ended'> {
  readonly report: R | undefined;
}

type Engine = Pick<RecoveryEngine, 'parseReport'>;

export function catalogJobOf(engine: Engine, job: Job): RecoveryJob<CatalogReport> {
  const report = reportOf(engine, job);
  const { ended: _ended, ...view } = jobFacts(job);
  return {
    ...view,
    report: report?.kind === 'Catalog' && report.request === view.request ? report : undefined,
  };
}

export function recoverJobOf(engine: Engine, job: Job): RecoveryJob<RecoveryReport> {
  const report = reportOf(engine, job);
  const { ended: _ended, ...view } = jobFacts(job);
  return {
    ...view,
    report: report?.kind === 'Recovery' && report.request === view.request ? report : undefined,
  };
}

const reports = new WeakMap<Job, ReturnType<RecoveryEngine['parseReport']>>();

/** Parses once per state of the Job. */
function reportOf(engine: Engine, job: Job): ReturnType<RecoveryEngine['parseReport']> {
  if (reports.has(job)) return reports.get(job);
  const report = engine.parseReport(job);
  reports.set(job, report);
  return report;
}
