/** `backup`, `drill` and `archive`: asking for one now, and waiting for how it ends. */

import type { BackupKind } from '#crds/api/backup/shard-status.ts';
import { annotations } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import { CliError } from '../errors.ts';
import type { Io } from '../io.ts';
import { clock } from '../units.ts';
import type { Backups, Subject } from './backups.ts';
import { archiveTold, seconds } from './show.ts';

const LOOK_EVERY_MS = 1000;

export interface AskOptions {
  readonly wait: boolean;
}

/** Resolves with the exit code: 1 where one failed. */
export async function askForBackup(
  io: Io,
  backups: Backups,
  name: string,
  type: BackupKind,
  { wait }: AskOptions,
): Promise<number> {
  const subject = await underPolicy(backups, name);
  await backups.annotate(subject, { [annotations.backupNow]: type });
  io.out(`${name}: ${type === 'full' ? 'a full' : 'an incremental'} backup will be made\n`);
  if (!wait) return 0;
  const asked = await takenUp(io, backups, name, annotations.backupNow);
  return follow(io, backups, asked, shard => {
    const backup = shard.status?.backup;
    const since = timeAsked(asked, shard);
    const served = type === 'full' ? backup?.served?.full : backup?.served?.any;
    if (backup?.failed && (since === undefined || backup.failed.time >= since)) {
      return { passed: false, says: `failed: ${backup.failed.message}; it will be tried again` };
    }
    // One shard forgets what it was asked for once that is there.
    if (since === undefined || (served !== undefined && served >= since))
      return { passed: true, says: 'done' };
    const percent = backup?.running?.percent;
    return { says: percent === undefined ? 'waiting' : `${percent} %` };
  });
}

export async function askForDrill(
  io: Io,
  backups: Backups,
  name: string,
  { wait }: AskOptions,
): Promise<number> {
  const subject = await underPolicy(backups, name);
  const before = new Map(
    (await shardsOf(backups, subject)).map(shard => [shard.metadata.name, drillOf(shard)]),
  );
  await backups.annotate(subject, { [annotations.drillNow]: io.now().toISOString() });
  io.out(`${name}: a drill will be made\n`);
  if (!wait) return 0;
  const asked = await takenUp(io, backups, name, annotations.drillNow);
  return follow(io, backups, asked, shard => {
    const drill = shard.status?.backup?.drill;
    if (drill?.wanted !== undefined) return { says: drill.running === true ? 'restoring' : 'preparing' };
    const last = drill?.last;
    // Not of the sample.
    if (!last || drillOf(shard) === before.get(shard.metadata.name)) return undefined;
    const steps = last.steps.map(step => `${step.name} ${seconds(step.seconds)}`).join(', ');
    return last.passed
      ? { passed: true, says: `restored in ${seconds(last.rtoSeconds)} and as it should be (${steps})` }
      : { passed: false, says: `failed: ${last.failure ?? ''} (${steps})` };
  });
}

export async function askForArchive(
  io: Io,
  backups: Backups,
  name: string,
  { wait }: AskOptions,
): Promise<number> {
  const subject = await underPolicy(backups, name);
  const archives =
    subject.kind === 'Policy'
      ? subject.policy.spec.archive !== undefined
      : subject.shard.status?.backup?.coldTier !== undefined;
  if (!archives) {
    throw new CliError(
      'NoArchive',
      `${subject.kind === 'Policy' ? `BackupPolicy ${name}` : `the BackupPolicy of shard ${name}`} has no spec.archive`,
      'Name there the tables and the age from which their rows are old.',
    );
  }
  await backups.annotate(subject, { [annotations.archiveNow]: io.now().toISOString() });
  io.out(`${name}: old rows will be archived\n`);
  if (!wait) return 0;
  const asked = await takenUp(io, backups, name, annotations.archiveNow);
  const since = archiveAsked(asked);
  return follow(io, backups, asked, shard => {
    const { served, running: run, last } = shard.status?.backup?.coldTier ?? {};
    if (since === undefined || (served !== undefined && served >= since)) {
      return { passed: true, says: last ? archiveTold(last) : 'done' };
    }
    if (last && !last.succeeded && last.time > since) {
      return { passed: false, says: `${archiveTold(last)}; it will be tried again` };
    }
    return { says: run ? 'archiving' : 'waiting' };
  });
}

function archiveAsked(subject: Subject): string | undefined {
  return subject.kind === 'Policy'
    ? subject.policy.status?.archiveAsked
    : subject.shard.status?.backup?.coldTier?.asked;
}

/** A shard that is under no policy has nobody to take it up. */
async function underPolicy(backups: Backups, name: string): Promise<Subject> {
  const subject = await backups.subject(name);
  if (subject.kind === 'Policy' || subject.shard.status?.backup !== undefined) return subject;
  throw new CliError(
    'NoPolicy',
    `shard ${name} is under no BackupPolicy`,
    'Make one for its fleet, or look at those there are: kubectl shardwright backups.',
  );
}

/** The operator takes the annotation away when it has noted what it asks for. */
async function takenUp(io: Io, backups: Backups, name: string, annotation: string): Promise<Subject> {
  for (;;) {
    const subject = await backups.subject(name);
    const object = subject.kind === 'Policy' ? subject.policy : subject.shard;
    if (object.metadata.annotations?.[annotation] === undefined) return subject;
    await io.sleep(LOOK_EVERY_MS);
  }
}

function timeAsked(subject: Subject, shard: Shard): string | undefined {
  return subject.kind === 'Policy' ? subject.policy.status?.asked?.time : shard.status?.backup?.asked?.time;
}

function drillOf(shard: Shard): string | undefined {
  return shard.status?.backup?.drill?.last?.request;
}

async function shardsOf(backups: Backups, subject: Subject): Promise<readonly Shard[]> {
  if (subject.kind === 'Policy') return backups.shards(subject.policy.metadata.name);
  const again = await backups.subject(subject.shard.metadata.name);
  return again.kind === 'Shard' ? [again.shard] : [];
}

interface Story {
  /** Present when it has ended. */
  readonly passed?: boolean;
  readonly says: string;
}

/** A line for each change of each shard, until all have ended. */
async function follow(
  io: Io,
  backups: Backups,
  subject: Subject,
  tell: (shard: Shard) => Story | undefined,
): Promise<number> {
  const last = new Map<string, string>();
  for (;;) {
    const shards = await shardsOf(backups, subject);
    const stories = shards.flatMap(shard => {
      const story = tell(shard);
      return story ? [{ name: shard.metadata.name, ...story }] : [];
    });
    for (const { name, says } of stories) {
      if (last.get(name) !== says) io.out(`${clock(io.now())} ${name}: ${says}\n`);
      last.set(name, says);
    }
    if (stories.length > 0 && stories.every(({ passed }) => passed !== undefined)) {
      return stories.every(({ passed }) => passed) ? 0 : 1;
    }
    await io.sleep(LOOK_EVERY_MS);
  }
}
