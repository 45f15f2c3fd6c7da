/**
 * Whether a shard is to be backed up now, with what, and for which moment. Everything follows from what is there and what was
 * done: a missed backlog is one backup, a full one satisfies the incremental ones before it, and a failure waits longer each
 * time. Pure.
 */
import type { BackupKind, ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import type { Timetable } from './timetable.ts';

export interface DueInput {
  readonly shard: string;
  readonly backup: ShardBackupStatus;
  /** Asked for by hand for all shards of the policy. */
  readonly askedOfAll?: { readonly type: BackupKind; readonly time: string } | undefined;
  readonly suspend: boolean;
  readonly times: Timetable;
  readonly now: Date;
}

/** Higher goes first. */
export const urgency = { schedule: 0, asked: 1, first: 2, broken: 3 } as const;

export interface Due {
  readonly type: BackupKind;
  /** The moment that it stands for. */
  readonly planned: Date;
  readonly urgency: number;
  /** In words. */
  readonly why: string;
}

const RETRY_MS = 60_000;
const RETRY_MAX_MS = 3_600_000;
/** A full backup that did not close the hole, or is damaged itself, is not made again and again. */
const AGAIN_MS = 30 * 60_000;

/** Undefined: nothing is. Failures put it off: see {@link retryAt}. */
export function dueBackup(input: DueInput): Due | undefined {
  const { backup, now } = input;
  if (backup.failed && now < retryAt(backup.failed)) return undefined;
  return dueWhenever(input);
}

/** When the next attempt may begin after failures. */
export function retryAt({ attempts, time }: { readonly attempts: number; readonly time: string }): Date {
  const waitMs = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** Math.min(20, attempts - 1));
  return new Date(Date.parse(time) + waitMs);
}

/** The same without regard to failures. */
export function dueWhenever({ shard, backup, askedOfAll, suspend, times, now }: DueInput): Due | undefined {
  const hasFull = (backup.records ?? []).some(({ type, error }) => type === 'full' && !error);
  const served = { full: timeOf(backup.served?.full), any: timeOf(backup.served?.any) };
  const asked = [backup.asked, askedOfAll].flatMap(each => {
    if (!each) return [];
    const planned = new Date(each.time);
    return planned.getTime() > served[each.type === 'full' ? 'full' : 'any'] ? [{ ...each, planned }] : [];
  });
  const full = asked.find(({ type }) => type === 'full') ?? (hasFull ? undefined : asked[0]);
  if (full) return due('full', full.planned, urgency.asked, 'it was asked for');
  if (suspend) {
    const [any] = asked;
    return any && due('incremental', any.planned, urgency.asked, 'it was asked for');
  }
  const without = hasFull ? undefined : againAfter(new Date(backup.since), served.full, now);
  if (without) return due('full', without, urgency.first, 'there is none yet');
  const hole = holeSince(backup, served.full, now);
  if (hole) return due('full', hole, urgency.broken, 'the archive has a hole');
  const [any] = asked;
  if (any) return due('incremental', any.planned, urgency.asked, 'it was asked for');
  return dueBySchedule(times, shard, Date.parse(backup.since), served);
}

function dueBySchedule(
  times: Timetable,
  shard: string,
  since: number,
  served: { readonly full: number; readonly any: number },
): Due | undefined {
  const full = times.last('full', shard);
  if (full && full.getTime() > Math.max(since, served.full)) {
    return due('full', full, urgency.schedule, 'it is time');
  }
  const incremental = times.last('incremental', shard);
  if (incremental && incremental.getTime() > Math.max(since, served.any)) {
    return due('incremental', incremental, urgency.schedule, 'it is time');
  }
  return undefined;
}

/** Since when there is a hole that no full backup has closed. */
function holeSince({ archive }: ShardBackupStatus, servedFull: number, now: Date): Date | undefined {
  return archive?.continuity === 'Broken' ? againAfter(new Date(archive.since), servedFull, now) : undefined;
}

/** At once if no full backup was made since; if one was and has not helped, after a while. */
function againAfter(since: Date, servedFull: number, now: Date): Date | undefined {
  if (servedFull < since.getTime()) return since;
  const again = new Date(servedFull + AGAIN_MS);
  return again <= now ? again : undefined;
}

function due(type: BackupKind, planned: Date, level: number, why: string): Due {
  return { type, planned, urgency: level, why };
}

function timeOf(text: string | undefined): number {
  return text === undefined ? -Infinity : Date.parse(text);
}
