/** Names of backups, drills and runs of the archive: what is wanted and for which moment, so that the same thing always has the same name. */
import type { BackupType } from '#engines/backup.ts';

export interface RequestParts {
  readonly what: BackupType | 'drill' | 'archive';
  readonly planned: Date;
  readonly attempt: number;
}

export function requestName({ what, planned, attempt }: RequestParts): string {
  const stamp = planned
    .toISOString()
    .replaceAll(/[-:]|\.\d+/g, '')
    .toLowerCase();
  return `${what}-${stamp}-${attempt}`;
}

/** Undefined for a name that was not made here. */
export function parseRequest(name: string): RequestParts | undefined {
  const found =
    /^(full|differential|incremental|drill|archive)-(\d{4})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)z-(\d{1,6})$/.exec(
      name,
    ) ?? undefined;
  if (!found) return undefined;
  const [, what, year, month, day, hour, minute, second, attempt] = found;
  if (
    what !== 'full' &&
    what !== 'differential' &&
    what !== 'incremental' &&
    what !== 'drill' &&
    what !== 'archive'
  )
    return undefined;
  return {
    what,
    planned: new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`),
    attempt: Number(attempt),
  };
}
