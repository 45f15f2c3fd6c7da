/** The fields of a Shard's status that the BackupPolicy controller writes; all others are the Shard controller's. */

const FIELDS: ReadonlySet<string> = new Set(['backup', 'achievedRpoSeconds']);

export function isBackupField(name: string): boolean {
  return FIELDS.has(name);
}

export function isShardField(name: string): boolean {
  return !FIELDS.has(name);
}

/** A status without them. */
export function withoutBackupFields<T extends object>(status: T): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- they are optional
  return Object.fromEntries(Object.entries(status).filter(([name]) => isShardField(name))) as T;
}
