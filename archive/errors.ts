/** Why a run of the archive ends early. Each carries a code to branch on and a remedy to show; nothing is lost by any of them. */

export abstract class ArchiveError extends Error {
  abstract readonly code: string;
  /** What a person should do next, in one sentence. */
  abstract readonly remedy: string;
}

/** The table cannot be archived as the policy says. */
export class UnsuitableTableError extends ArchiveError {
  override readonly name = 'UnsuitableTableError';
  readonly code = 'UnsuitableTable';
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

/** A migration has a part in this database: which rows are whose is not for sure. */
export class MigratingError extends ArchiveError {
  override readonly name = 'MigratingError';
  readonly code = 'Migrating';
  readonly remedy = 'None is needed: it goes on after the ShardMigration.';
}

/** Another run works on the same table of the same shard. */
export class AlreadyRunningError extends ArchiveError {
  override readonly name = 'AlreadyRunningError';
  readonly code = 'AlreadyRunning';
  readonly remedy = 'Let the other run end.';
}

/** What was read back from the object store is not what the database had. No row was deleted because of it. */
export class MismatchError extends ArchiveError {
  override readonly name = 'MismatchError';
  readonly code = 'ArchiveMismatch';
  readonly remedy =
    'Look at the object store, which does not give back what it was given. A file that its manifest calls Exported is written anew by the next run; restore any other from an older version of the object.';
}

/** The object store does not answer as it should. */
export class StoreError extends ArchiveError {
  override readonly name = 'StoreError';
  readonly code = 'ObjectStore';
  readonly remedy =
    'Check that the object store answers, and the bucket, endpoint and credentials of the BackupPolicy.';
}

/** A column came or went between the writing of a file and the deleting: the file does not hold the rows as they are now. */
export class ChangedTableError extends ArchiveError {
  override readonly name = 'ChangedTableError';
  readonly code = 'ChangedTable';
  readonly remedy = 'None is needed: rows that are left are archived as they are now by the next run.';
}

/** A row to delete is still referenced by another table. */
export class ReferencedRowsError extends ArchiveError {
  override readonly name = 'ReferencedRowsError';
  readonly code = 'ReferencedRows';
  readonly remedy = 'Archive the table that references it too, and list it before this one.';
}

/** A manifest in the store is not one of this program. */
export class ManifestError extends ArchiveError {
  override readonly name = 'ManifestError';
  readonly code = 'BadManifest';
  readonly remedy =
    'Restore the manifest from an older version of the object, or move the folder away to begin anew.';
}

const forPeople: ReadonlySet<string> = new Set([
  'UnsuitableTable',
  'ReferencedRows',
  'BadManifest',
  'ArchiveMismatch',
] satisfies ArchiveCode[]);

/** Whether what ended a run with this code stays until a person has put something right. */
export function needsPerson(code: string): boolean {
  return forPeople.has(code);
}

type ArchiveCode = (UnsuitableTableError | ReferencedRowsError | ManifestError | MismatchError)['code'];
