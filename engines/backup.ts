/**
 * Backups of a shard, as objects to apply and reports to read: nothing here talks to a database or an object store. Pods do
 * the work and tell of it in one annotation (docs/adr/0004-backups.md): the meter on its own pod, a backup and a drill on their
 * Job, whose name - unlike that of its pod - is known beforehand, so that a Role can name it. Everything but `parseReport` is
 * pure rendering.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { ConnectTarget, MemberAddress, RenderContext } from './engine.ts';

/** Where the backups of one shard go. */
export interface Repository {
  /** Path in the bucket, without a leading slash: the fleet's incarnation. */
  readonly path: string;
  /** Name of the shard's own part of it. */
  readonly stanza: string;
  readonly s3: {
    /** `https://host[:port]`; that of Amazon S3 in the region if absent. */
    readonly endpoint?: string;
    readonly bucket: string;
    readonly region: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    /** PEM of the authority that signed the store's certificate; the system's authorities if absent. */
    readonly ca?: string;
  };
  readonly passphrase?: string;
}

/** What the meter of a shard is to keep. */
export interface MeterSettings {
  readonly rpoSeconds: number;
  /** Changes when settings do: reports name the version that they were made under. */
  readonly version: string;
}

/** What it stands on: nothing; the newest full one alone; the one before it, of whatever type, and all that that stands on. */
export type BackupType = 'full' | 'differential' | 'incremental';

export interface BackupRequest {
  /**
   * Unique for this shard and planned time: the annotation `shardwright.io/request` of the Job, and in its reports. The Job
   * itself is `shardChildren.backupJob(shard)`, so that there is never a second one beside it.
   */
  readonly name: string;
  readonly type: BackupType;
  /** Seconds that it may take in all. */
  readonly deadlineSeconds: number;
  /** Labels of backups to remove first, and all that stands on them. */
  readonly expire: readonly string[];
  /** The primary, and the replica to read from (the primary if absent): names of pods. */
  readonly primary: string;
  readonly replica?: string;
}

export interface DrillRequest {
  /** As for a backup; the Job is `shardChildren.drillJob(shard)`. */
  readonly name: string;
  readonly deadlineSeconds: number;
  /** Position to recover to, as the engine writes it; the end of the archive if absent. */
  readonly target?: string;
  /** Marks that must be found, and the content that the source had at the target. */
  readonly expect: DrillExpectation;
}

export interface DrillExpectation {
  /** The newest mark that the source wrote before the drill, from {@link BackupSession.mark}. */
  readonly mark?: string;
  /** Table by table: rows and hash at the target position; absent where the source could not be asked. */
  readonly contents?: readonly { readonly table: string; readonly rows: string; readonly hash: string }[];
}

/** One backup in the repository. Times are RFC 3339. */
export interface BackupRecord {
  readonly label: string;
  readonly type: BackupType;
  readonly started: string;
  readonly stopped: string;
  /** Bytes of the database, and bytes that this backup added to the repository. */
  readonly databaseBytes: number;
  readonly storedBytes: number;
  /** Label of the backup that it stands on. */
  readonly prior?: string;
  readonly error: boolean;
}

/** Archiving as the primary's meter sees it. */
export interface ArchiveReport {
  readonly kind: 'Archive';
  /** When it was written, RFC 3339. */
  readonly at: string;
  readonly settingsVersion: string;
  /** Upper bound of the age of the oldest commit that the loss of the shard would lose, in seconds; 0: none would be. */
  readonly rpoSeconds: number;
  readonly continuity: 'Verified' | 'Unverified' | 'Broken';
  /** Timeline and newest position that the archive reaches without a gap. */
  readonly timeline: number;
  readonly archivedTo?: string;
  /** Seconds that the last transfer of a segment took, and what it and all others came to since the meter began. */
  readonly transferSeconds?: number;
  readonly objects: number;
  readonly bytes: number;
  /** What the last failed attempt said, in one line without secrets; absent once one succeeded. */
  readonly failure?: string;
}

export interface BackupProgressReport {
  readonly kind: 'Backup';
  /** {@link BackupRequest.name}. */
  readonly request: string;
  readonly at: string;
  readonly state: 'Running' | 'Succeeded' | 'Failed';
  readonly type: BackupType;
  readonly doneBytes?: number;
  readonly totalBytes?: number;
  readonly failure?: string;
  /** The repository's records, newest last, once it has ended: all, or the newest where they are too many to tell. */
  readonly records?: readonly BackupRecord[];
}

export interface DrillStep {
  readonly name: 'Start' | 'Fetch' | 'Recover' | 'Check';
  readonly seconds: number;
}

export interface DrillReport {
  readonly kind: 'Drill';
  /** {@link DrillRequest.name}. */
  readonly request: string;
  readonly at: string;
  readonly state: 'Running' | 'Succeeded' | 'Failed';
  readonly steps: readonly DrillStep[];
  /**
   * From the creation of its Job until it answered queries, without waiting for the source to archive what the drill looks
   * for; the checks come after it.
   */
  readonly rtoSeconds?: number;
  /** How long the mark was in danger: from its commit (the source's clock) until the store had it (the store's clock). */
  readonly rpoSeconds?: number;
  readonly bytes?: number;
  readonly checks: readonly { readonly name: string; readonly passed: boolean; readonly message: string }[];
  readonly failure?: string;
}

export type BackupReport = ArchiveReport | BackupProgressReport | DrillReport;

export interface BackupEngine {
  /** Least `rpo` that can be kept, in seconds, and the arithmetic in words. */
  readonly leastRpo: { readonly seconds: number; readonly because: string };
  /** Data of the Secret `<shard>-backup`, by file name. */
  repositoryFiles(
    shard: Shard,
    repository: Repository,
    meter: MeterSettings,
  ): Readonly<Record<string, string>>;
  backupJob(shard: Shard, request: BackupRequest, context: RenderContext): KubeObject;
  drillJob(shard: Shard, request: DrillRequest, context: RenderContext): KubeObject;
  /** What a member's pod tells of archiving, or a Job of itself; undefined when it tells nothing, or what cannot be read. */
  parseReport(object: KubeObject): BackupReport | undefined;
}

export interface BackupTarget extends ConnectTarget {
  /** The replica that may hold its replay for a while, where there is one. */
  readonly replica?: MemberAddress;
}

/** Throws {@link UnreachableError} when the primary cannot be reached. */
export type OpenBackupSession = (
  shard: Shard,
  target: BackupTarget,
  signal: AbortSignal,
) => Promise<BackupSession>;

/** What a controller asks of the live database for a drill. */
export interface BackupSession extends AsyncDisposable {
  /** Writes a mark that a restore must bring back; returns its name. Call it before `contents`. */
  mark(): Promise<string>;
  /**
   * Rows and hashes of tables, the smallest first, at one position that a restore can be brought to. Undefined where no
   * replica can be asked.
   */
  contents(
    limitBytes: number,
  ): Promise<{ readonly target: string; readonly contents: DrillExpectation['contents'] } | undefined>;
}
