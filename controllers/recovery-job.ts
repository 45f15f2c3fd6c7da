/** Jobs that bring shards back, as facts: what they were made for, whether they have ended, and what they tell. */
import { annotations } from '#crds/api/names.ts';
import type { CatalogReport, RecoveryEngine, RecoveryReport } from '#engines/recovery.ts';
import type { Job } from '#kernel/resources.ts';

/** A Job of a recovery. `report` is undefined before its first word. */
export interface RecoveryJob<R> {
  readonly name: string;
  readonly uid: string | undefined;
  /** The try that it was made for. */
  readonly request: string;
  readonly state: 'Running' | 'Complete' | 'Failed';
  /** Why it failed, as far as Kubernetes knows. */
  readonly message: string | undefined;
  readonly report: R | undefined;
}

type Engine = Pick<RecoveryEngine, 'parseReport'>;

export function catalogJobOf(engine: Engine, job: Job): RecoveryJob<CatalogReport> {
  const report = reportOf(engine, job);
  const view = viewOf(job);
  return {
    ...view,
    report: report?.kind === 'Catalog' && report.request === view.request ? report : undefined,
  };
}

export function recoverJobOf(engine: Engine, job: Job): RecoveryJob<RecoveryReport> {
  const report = reportOf(engine, job);
  const view = viewOf(job);
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

function viewOf({ metadata, status }: Job): Omit<RecoveryJob<never>, 'report'> {
  const end = status?.conditions?.find(
    ({ type, status: holds }) => holds === 'True' && (type === 'Complete' || type === 'Failed'),
  );
  const why = [end?.reason, end?.message].filter(Boolean).join(': ');
  return {
    name: metadata.name,
    uid: metadata.uid,
    request: metadata.annotations?.[annotations.request] ?? '',
    // One that is being deleted is not yet gone, and no end of another.
    state:
      end === undefined || metadata.deletionTimestamp
        ? 'Running'
        : end.type === 'Complete'
          ? 'Complete'
          : 'Failed',
    message: why === '' ? undefined : why,
  };
}
