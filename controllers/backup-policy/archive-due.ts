/**
 * Whether a shard's old rows are to be archived, and for which moment. As with backups, a missed backlog is one run, and a failure
 * waits longer each time. Pure.
 */
import type { ColdTier } from '#crds/api/backup/cold-tier.ts';
import { retryAt } from './due.ts';
import type { Timetable } from './timetable.ts';

export interface ArchiveDueInput {
  readonly shard: string;
  readonly coldTier: ColdTier;
  /** Asked for by hand for all shards of the policy. */
  readonly askedOfAll: string | undefined;
  readonly suspend: boolean;
  readonly times: Timetable;
}

export interface DueArchive {
  /** The moment that it stands for. */
  readonly planned: Date;
  readonly asked: boolean;
}

/** Undefined: nothing is. Without regard to failures. */
export function dueArchive(input: ArchiveDueInput): DueArchive | undefined {
  const { shard, coldTier, askedOfAll, suspend, times } = input;
  const served = Date.parse(coldTier.served);
  const [asked] = [coldTier.asked, askedOfAll]
    .flatMap(time => (time === undefined ? [] : [Date.parse(time)]))
    .filter(time => time > served)
    .toSorted((a, b) => b - a);
  if (asked !== undefined) return { planned: new Date(asked), asked: true };
  const planned = suspend ? undefined : times.last('archive', shard);
  return planned && planned.getTime() > served ? { planned, asked: false } : undefined;
}

/** By failures, unless it was asked for since. */
export function isPutOff({ planned, asked }: DueArchive, { attempts, last }: ColdTier, now: Date): boolean {
  if (!attempts || !last) return false;
  // Times are whole seconds, and no run begins and ends within one.
  if (asked && planned.getTime() >= Date.parse(last.time)) return false;
  return now < retryAt({ attempts, time: last.time });
}
