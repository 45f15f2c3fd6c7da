/**
 * What becomes of a Shard's status when its backup Job goes on, ends or is gone. Pure. An end is noted once: `finished` names
 * it, so that whatever happens afterwards - a kill, the Job's removal - it is neither lost nor counted twice.
 */
import { RECORDS_SHOWN, type ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import type { BackupProgressReport, BackupRecord } from '#engines/backup.ts';
import { timestamp } from '#kernel/conditions.ts';
import type { JobView } from './facts.ts';
import { parseRequest } from './requests.ts';

export type BackupEnd =
  | { readonly kind: 'Succeeded'; readonly request: string; readonly type: string }
  | { readonly kind: 'Failed'; readonly request: string; readonly message: string };

export interface BackupsStep {
  readonly backup: ShardBackupStatus;
  /** What has ended just now. */
  readonly ended: BackupEnd | undefined;
}

/** A Job's end may be seen before its last words. */
const LAST_WORDS_MS = 10_000;

export function stepBackups(
  backup: ShardBackupStatus,
  job: JobView<BackupProgressReport> | undefined,
  now: Date,
): BackupsStep {
  const { running, ...idle } = backup;
  if (!job || job.request === backup.finished) {
    // Seen under way, and now neither there nor noted: somebody has removed it.
    return running && running.request !== backup.finished
      ? failed(idle, running.request, 'its Job was removed before it had ended', now)
      : { backup: idle, ended: undefined };
  }
  if (job.state === 'Running') return { backup: { ...idle, running: progress(job, now) }, ended: undefined };
  const { report } = job;
  const told = report?.state === 'Succeeded' || report?.state === 'Failed';
  if (!told && now.getTime() - Date.parse(job.ended ?? job.created) < LAST_WORDS_MS) {
    return { backup: { ...idle, running: progress(job, now) }, ended: undefined };
  }
  if (job.state === 'Complete' && report?.state === 'Succeeded') return succeeded(idle, job, report, now);
  const why = report?.failure ?? job.message ?? 'it ended without a word';
  return failed(withRecords(idle, report?.records), job.request, why, now);
}

function succeeded(
  backup: ShardBackupStatus,
  job: JobView<BackupProgressReport>,
  report: BackupProgressReport,
  now: Date,
): BackupsStep {
  const { failed: _, ...rest } = withRecords(backup, report.records);
  const planned = parseRequest(job.request)?.planned ?? now;
  // What was planned before it began is done with, also when it began late.
  const served = timestamp(new Date(Math.max(planned.getTime(), Date.parse(job.created) || 0)));
  const before = rest.served ?? {};
  const { type } = report;
  return {
    backup: withoutServed({
      ...rest,
      finished: job.request,
      served: {
        ...before,
        ...(type === 'full' ? { full: later(before.full, served) } : {}),
        any: later(before.any, served),
      },
    }),
    ended: { kind: 'Succeeded', request: job.request, type },
  };
}

/** What was asked for is forgotten once it is there. */
function withoutServed(backup: ShardBackupStatus): ShardBackupStatus {
  const { asked, ...rest } = backup;
  if (!asked) return backup;
  const served = asked.type === 'full' ? backup.served?.full : backup.served?.any;
  return served !== undefined && served >= asked.time ? rest : backup;
}

function failed(backup: ShardBackupStatus, request: string, message: string, now: Date): BackupsStep {
  return {
    backup: {
      ...backup,
      finished: request,
      failed: {
        request,
        attempts: (backup.failed?.attempts ?? 0) + 1,
        time: timestamp(now),
        message: message.slice(0, 1024),
      },
    },
    ended: { kind: 'Failed', request, message },
  };
}

function withRecords(
  backup: ShardBackupStatus,
  records: readonly BackupRecord[] | undefined,
): ShardBackupStatus {
  if (!records) return backup;
  const { lastFull: _full, lastIncremental: _incremental, ...rest } = backup;
  const shown = records
    .toSorted((a, b) => Date.parse(a.stopped) - Date.parse(b.stopped))
    .slice(-RECORDS_SHOWN);
  const full = shown.findLast(({ type }) => type === 'full');
  const incremental = shown.findLast(({ type }) => type !== 'full');
  return {
    ...rest,
    records: shown.map(record => ({
      ...record,
      databaseBytes: Math.round(record.databaseBytes),
      storedBytes: Math.round(record.storedBytes),
    })),
    ...(full ? { lastFull: { label: full.label, time: full.stopped } } : {}),
    ...(incremental ? { lastIncremental: { label: incremental.label, time: incremental.stopped } } : {}),
  };
}

function progress(
  { request, created, report }: JobView<BackupProgressReport>,
  now: Date,
): NonNullable<ShardBackupStatus['running']> {
  const doneBytes = rounded(report?.doneBytes);
  const totalBytes = rounded(report?.totalBytes);
  const seconds = (Date.parse(report?.at ?? now.toISOString()) - Date.parse(created)) / 1000;
  const what = parseRequest(request)?.what;
  return {
    request,
    type: what === 'full' || what === 'differential' ? what : 'incremental',
    started: created,
    ...(doneBytes === undefined ? {} : { doneBytes }),
    ...(totalBytes === undefined ? {} : { totalBytes }),
    ...(doneBytes !== undefined && totalBytes
      ? { percent: Math.max(0, Math.min(100, Math.floor((doneBytes / totalBytes) * 100))) }
      : {}),
    ...(doneBytes !== undefined && seconds > 0 ? { bytesPerSecond: Math.round(doneBytes / seconds) } : {}),
  };
}

function rounded(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value);
}

function later(a: string | undefined, b: string): string {
  return a !== undefined && a > b ? a : b;
}
