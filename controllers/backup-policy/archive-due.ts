/**
 * Whether a shard's old rows are to be archived now: once a day, at a moment of the shard's own, so that a fleet spreads over the
 * day. The Job that is there says what was done last: nothing else is kept. Pure.
 */
import type { BackupPolicySpec } from '#crds/api/backup-policy.ts';
import type { ShardMigration } from '#crds/api/shard-migration.ts';
import { offsetMs } from './timetable.ts';

export interface ArchiveInput {
  readonly shard: string;
  readonly archive: BackupPolicySpec['archive'];
  /** The destination has a passphrase for backups. */
  readonly encrypted: boolean;
  /** The shard, or its fleet, is paused or on its way out. */
  readonly paused: boolean;
  /** A primary takes writes. */
  readonly serving: boolean;
  /** A migration has a part in the shard. */
  readonly migrating: boolean;
  /** The Job of the last run, if it is still there; `failure`: the code that it ended with. */
  readonly job:
    | { readonly created: Date; readonly running: boolean; readonly failure?: string | undefined }
    | undefined;
  readonly now: Date;
}

export type ArchiveDue =
  | { readonly kind: 'Nothing' }
  | { readonly kind: 'Refused'; readonly reason: string; readonly message: string }
  /** The Job of the last run makes room. */
  | { readonly kind: 'RemoveJob' }
  | { readonly kind: 'Start'; readonly planned: Date }
  | { readonly kind: 'Wait'; readonly until: Date };

const DAY_MS = 86_400_000;
const AGAIN_MS = 3_600_000;

export function archiveDue(input: ArchiveInput): ArchiveDue {
  const { shard, archive, job, now } = input;
  if (!archive) return job && !job.running ? { kind: 'RemoveJob' } : { kind: 'Nothing' };
  if (job?.running) return { kind: 'Nothing' };
  if (input.encrypted)
    return {
      kind: 'Refused',
      reason: 'ArchiveNotEncrypted',
      message:
        'files of the archive are not encrypted, while this destination names a passphrase for backups: take archive into a policy without encryption, with a bucket that encrypts what it stores',
    };
  if (input.paused || !input.serving || input.migrating) return { kind: 'Nothing' };
  const offset = offsetMs(shard, DAY_MS);
  const planned = Math.floor((now.getTime() - offset) / DAY_MS) * DAY_MS + offset;
  // One that met a migration has done nothing, and there is none any more that is known of here.
  const again = job?.failure === 'Migrating' && now.getTime() - job.created.getTime() >= AGAIN_MS;
  const done = job !== undefined && job.created.getTime() >= planned && !again;
  if (done) return { kind: 'Wait', until: new Date(planned + DAY_MS) };
  return job ? { kind: 'RemoveJob' } : { kind: 'Start', planned: new Date(planned) };
}

const ended: ReadonlySet<string> = new Set(['Completed', 'Aborted', 'RolledBack', 'Failed']);

/** Shards that take part in a migration: those that it names, and those that its plan has found. */
export function migratingShards(migrations: readonly ShardMigration[]): ReadonlySet<string> {
  return new Set(
    migrations
      .filter(({ status }) => !ended.has(status?.phase ?? ''))
      .flatMap(({ spec: { split, merge, move, slots }, status }) => [
        ...(split ? [split.shard] : []),
        ...(merge ? merge.shards : []),
        ...(move ? [move.shard] : []),
        ...(slots ? [slots.from, slots.to] : []),
        ...(status?.transfers ?? []).flatMap(({ source, target }) => [source, target]),
      ]),
  );
}
