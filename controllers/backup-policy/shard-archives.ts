/**
 * What becomes of a Shard's status when the Job that archives its old rows goes on, ends or is gone. Pure. An end is noted once:
 * `finished` names it, so that a kill or the Job's removal neither loses it nor counts it twice.
 */
import type { ArchiveOutcome, TableOutcome } from '#archive/outcome.ts';
import type { ArchiveRun, ColdTier } from '#crds/api/backup/cold-tier.ts';
import { timestamp } from '#kernel/conditions.ts';
import type { JobView } from './facts.ts';
import { parseRequest } from './requests.ts';

export interface ArchivesStep {
  readonly coldTier: ColdTier;
  /** What has ended just now. */
  readonly ended: ArchiveRun | undefined;
}

/** The end of a Job may be seen before its pod's. */
const LAST_WORDS_MS = 10_000;

export function stepArchives(
  before: ColdTier | undefined,
  job: JobView<ArchiveOutcome> | undefined,
  now: Date,
): ArchivesStep {
  if (!before) return { coldTier: beginning(job, now), ended: undefined };
  const { running, ...idle } = before;
  if (!job || job.request === before.finished) {
    // Seen under way, and now neither there nor noted: somebody has removed it.
    return running && running.request !== before.finished
      ? end(idle, running.request, now, { message: 'its Job was removed before it had ended' })
      : { coldTier: idle, ended: undefined };
  }
  const silent = job.report === undefined;
  const patient = silent && now.getTime() - Date.parse(job.ended ?? job.created) < LAST_WORDS_MS;
  if (job.state === 'Running' || patient) {
    return {
      coldTier: { ...idle, running: { request: job.request, started: job.created } },
      ended: undefined,
    };
  }
  return end(idle, job.request, now, job);
}

/** Of a policy, or of a place, that archives from now on: moments before do not count, nor does a Job of the place before. */
function beginning(job: JobView<ArchiveOutcome> | undefined, now: Date): ColdTier {
  // What is asked for at this very moment counts.
  const served = timestamp(new Date(now.getTime() - 1000));
  return { served, ...(job ? { finished: job.request } : {}) };
}

type Ended = Partial<Pick<JobView<ArchiveOutcome>, 'state' | 'report' | 'message' | 'created'>>;

function end(before: Omit<ColdTier, 'running'>, request: string, now: Date, job: Ended): ArchivesStep {
  const { attempts = 0, ...rest } = before;
  const last = runOf(request, now, job);
  if (!last.succeeded) {
    return { coldTier: { ...rest, finished: request, attempts: attempts + 1, last }, ended: last };
  }
  // What was planned before it began is done with, also when it began late.
  const planned = parseRequest(request)?.planned ?? now;
  const served = timestamp(new Date(Math.max(planned.getTime(), Date.parse(job.created ?? '') || 0)));
  const { asked, ...unasked } = rest;
  const open = asked !== undefined && asked > served ? { asked } : {};
  return { coldTier: { ...unasked, ...open, served, finished: request, last }, ended: last };
}

function runOf(request: string, now: Date, { state, report, message }: Ended): ArchiveRun {
  const succeeded = state === 'Complete' && report?.state === 'Succeeded';
  const tables = (report?.tables ?? []).slice(0, 64);
  const sum = (of: (table: TableOutcome) => number) => tables.reduce((total, table) => total + of(table), 0);
  const told = report?.failure;
  const failure = told
    ? { code: told.code, message: `${told.message}. ${told.remedy}` }
    : { code: 'JobFailed', message: message ?? 'it ended without a word' };
  return {
    request,
    time: timestamp(now),
    succeeded,
    rows: sum(({ rows }) => rows),
    files: sum(({ parts }) => parts),
    bytes: sum(({ bytes }) => bytes),
    deleted: sum(({ deleted }) => deleted),
    kept: sum(({ kept }) => kept),
    tables: tables.map(({ parts, ...table }) => ({ ...table, files: parts })),
    ...(succeeded
      ? {}
      : { failure: { code: failure.code.slice(0, 64), message: failure.message.slice(0, 1024) } }),
  };
}
