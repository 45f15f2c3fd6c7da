/** `rebuild`: has one shard made again from its backups. What they do not hold is gone with it, so it wants a `--yes`. */
import { safeMoment } from '#crds/api/backup/shard-status.ts';
import { annotations } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import { CliError } from '../errors.ts';
import type { Io } from '../io.ts';
import { clock } from '../units.ts';
import type { Backups } from './backups.ts';

const LOOK_EVERY_MS = 1000;
/** Looks after which what the operator says is of this order, and not of one before. */
const NOTICED_AFTER = 5;

export interface RebuildOptions {
  /** RFC 3339; the newest if absent. */
  readonly to?: string;
  readonly discardVolumes: boolean;
  readonly yes: boolean;
  readonly wait: boolean;
}

/** Resolves with the exit code: 1 where it was refused, failed or called off. Throws CliError. */
export async function rebuildShard(
  io: Io,
  backups: Backups,
  name: string,
  options: RebuildOptions,
): Promise<number> {
  const shard = await shardNamed(backups, name);
  const to = options.to ?? 'latest';
  const safe = safeMoment(shard.status?.backup);
  if (!options.yes)
    throw new CliError(
      'NotConfirmed',
      `${name} would be stopped and made again from its backups${to === 'latest' ? (safe === undefined ? '' : `: what was committed after ${safe} may be gone`) : `, as it was at ${to}`}`,
      `Add --yes if that is meant. Without --discard-volumes nothing that is on its volumes is deleted.`,
    );
  // A new try of what failed is a new value.
  const marks = {
    [annotations.rebuild]: to,
    [annotations.retry]: io.now().toISOString(),
    [annotations.discardVolumes]: options.discardVolumes ? 'true' : null,
  };
  await backups.annotate({ kind: 'Shard', shard }, marks);
  io.out(`${name}: it will be made again from its backups (${to})\n`);
  return options.wait ? follow(io, backups, name, shard.status?.rebuild?.request) : 0;
}

async function follow(io: Io, backups: Backups, name: string, before: string | undefined): Promise<number> {
  let last = '';
  for (let looks = 1; ; looks++) {
    const { status, metadata } = await shardNamed(backups, name);
    const rebuild = status?.rebuild;
    const refused = status?.conditions?.find(
      ({ type, status: holds }) => type === 'Stalled' && holds === 'True',
    );
    const says = rebuild && rebuild.request !== before ? rebuild.message : (refused?.message ?? 'waiting');
    if (says !== last) io.out(`${clock(io.now())} ${name}: ${says}\n`);
    last = says;
    const ours = rebuild !== undefined && rebuild.request !== before;
    if (ours && rebuild.state === 'Done' && metadata.annotations?.[annotations.rebuild] === undefined)
      return 0;
    if (ours && (rebuild.state === 'Failed' || rebuild.state === 'Cancelled')) return 1;
    if (!ours && refused !== undefined && looks > NOTICED_AFTER) return 1;
    await io.sleep(LOOK_EVERY_MS);
  }
}

async function shardNamed(backups: Backups, name: string): Promise<Shard> {
  const subject = await backups.subject(name);
  if (subject.kind === 'Shard') return subject.shard;
  throw new CliError(
    'NotAShard',
    `${name} is a BackupPolicy`,
    'Name one shard: kubectl shardwright backups lists them.',
  );
}
