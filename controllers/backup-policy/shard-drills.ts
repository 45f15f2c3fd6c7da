/** What becomes of a Shard's status when its drill goes on or ends, and which shards a drill is made with. Pure. */
import type { DrillResult, ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import type { DrillReport } from '#engines/backup.ts';
import { timestamp } from '#kernel/conditions.ts';
import type { JobView, ShardView } from './facts.ts';
import { requestName } from './requests.ts';

export interface DrillsStep {
  readonly backup: ShardBackupStatus;
  /** What has ended just now. */
  readonly ended: DrillResult | undefined;
}

/** A Job's end may be seen before its last words. */
const LAST_WORDS_MS = 10_000;

/** Of the drill that is wanted. */
export function drillRequest(wanted: string): string {
  return requestName({ what: 'drill', planned: new Date(wanted), attempt: 0 });
}

export function stepDrills(
  backup: ShardBackupStatus,
  job: JobView<DrillReport> | undefined,
  now: Date,
): DrillsStep {
  const { drill } = backup;
  if (drill?.wanted === undefined) return { backup, ended: undefined };
  const { running: _, ...waiting } = drill;
  const same = (next: ShardBackupStatus['drill']): DrillsStep => ({
    backup: { ...backup, ...(next ? { drill: next } : {}) },
    ended: undefined,
  });
  if (job?.request !== drillRequest(drill.wanted)) return same(waiting);
  if (job.state === 'Running') return same({ ...waiting, running: true });
  const told = job.report?.state === 'Succeeded' || job.report?.state === 'Failed';
  if (!told && now.getTime() - Date.parse(job.ended ?? job.created) < LAST_WORDS_MS) {
    return same({ ...waiting, running: true });
  }
  const last = resultOf(job, now);
  return { backup: { ...backup, drill: { last } }, ended: last };
}

function resultOf({ request, state, report, message }: JobView<DrillReport>, now: Date): DrillResult {
  const checks = (report?.checks ?? []).slice(0, 32);
  const passed = state === 'Complete' && report?.state === 'Succeeded' && checks.every(check => check.passed);
  const wrong = checks.find(check => !check.passed);
  const why =
    report?.failure ?? (wrong && `${wrong.name}: ${wrong.message}`) ?? message ?? 'it ended without a word';
  return {
    request,
    time: timestamp(now),
    passed,
    ...(report?.rtoSeconds === undefined ? {} : { rtoSeconds: report.rtoSeconds }),
    ...(report?.rpoSeconds === undefined ? {} : { rpoSeconds: report.rpoSeconds }),
    ...(report?.bytes === undefined ? {} : { bytes: Math.round(report.bytes) }),
    steps: (report?.steps ?? []).slice(0, 16).map(step => ({ ...step })),
    checks: checks.map(check => ({ ...check, message: check.message.slice(0, 1024) })),
    ...(passed ? {} : { failure: why.slice(0, 1024) }),
  };
}

/** What choosing a sample needs to know of a shard. */
export interface DrillCandidate {
  readonly view: Pick<ShardView, 'paused'>;
  readonly name: string;
  readonly backup: ShardBackupStatus;
}

/**
 * Up to `sample` shards for the drill of this moment: first those whose last one failed, then those that never had one, then
 * those for whom it is longest ago. Those that were chosen for the same moment before - by a pass that was cut off - count.
 */
export function chooseDrills(
  candidates: readonly DrillCandidate[],
  sample: number,
  moment: string,
): readonly string[] {
  const request = drillRequest(moment);
  const chosen = candidates.filter(
    ({ backup: { drill } }) => drill?.wanted === moment || drill?.last?.request === request,
  );
  const free = candidates.filter(
    ({ view, backup }) =>
      !view.paused &&
      backup.drill?.wanted === undefined &&
      backup.drill?.last?.request !== request &&
      (backup.records ?? []).some(record => !record.error),
  );
  return free
    .toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1))
    .slice(0, Math.max(0, sample - chosen.length))
    .map(({ name }) => name);
}

function rank({ name, backup: { drill } }: DrillCandidate): string {
  const last = drill?.last;
  if (!last) return `1 ${name}`;
  return last.passed ? `2 ${last.time} ${name}` : `0 ${last.time} ${name}`;
}
