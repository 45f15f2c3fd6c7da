/** What the BackupPolicy controller works with: small seams, so that its whole logic runs in memory too. */
import type { SecretReader } from '#controllers/secrets/secret-reader.ts';
import type { ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import type { BackupPolicyStatus } from '#crds/api/backup-policy.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { BackupEngine, OpenBackupSession } from '#engines/backup.ts';
import type { ConnectTarget, MemberFacts, RenderContext } from '#engines/engine.ts';
import type { Clock } from '#kernel/clock.ts';
import type { EventRecorder } from '#kernel/events.ts';
import type { KubeObject, ObjectKey } from '#kernel/object.ts';
import type { Job, Pod } from '#kernel/resources.ts';
import type { Request } from '#kernel/source.ts';
import type { ArchiveRequest } from './archive-job.ts';
import type { BackupMemory, Newest } from './memory.ts';
import type { BackupMetrics } from './metrics.ts';

export interface BackupDeps {
  readonly caches: BackupCaches;
  readonly objects: BackupObjects;
  readonly secrets: Pick<SecretReader, 'read'>;
  /** Undefined for an engine that makes no backups. */
  readonly backups: (of: { readonly spec: Pick<Shard['spec'], 'engine'> }) => BackupEngine | undefined;
  readonly context: RenderContext;
  /** The Job that archives old rows, without its owner. */
  readonly archiveJob: (shard: Shard, request: ArchiveRequest) => KubeObject;
  /** What lets the operator into a namespace. */
  readonly enableCommand: (namespace: string) => string;
  readonly memory: BackupMemory;
  readonly newest: {
    readonly policies: Pick<Newest, 'of' | 'keep'>;
    readonly shards: Pick<Newest, 'of' | 'keep'>;
  };
  readonly events: Pick<EventRecorder, 'emit' | 'conditionsChanged'>;
  readonly metrics: {
    readonly backupsEnded: Pick<BackupMetrics['backupsEnded'], 'inc'>;
    readonly drillsEnded: Pick<BackupMetrics['drillsEnded'], 'inc'>;
    readonly restoreTime: Pick<BackupMetrics['restoreTime'], 'observe'>;
    readonly archivesEnded: Pick<BackupMetrics['archivesEnded'], 'inc'>;
    readonly archivedRows: Pick<BackupMetrics['archivedRows'], 'inc'>;
    readonly archivedBytes: Pick<BackupMetrics['archivedBytes'], 'inc'>;
    readonly erasedRows: Pick<BackupMetrics['erasedRows'], 'inc'>;
  };
  readonly clock: Clock;
  /** Called before each write, for tests that end a pass between two of them. */
  readonly onWrite?: (what: string) => void;
}

interface Watched {
  get(key: ObjectKey): KubeObject | undefined;
  values(): Iterable<KubeObject>;
}

interface Indexed {
  byIndex(index: string, value: string): readonly KubeObject[];
}

/** Copies of what the API server has, as far as they are read. */
export interface BackupCaches {
  readonly backupPolicies: Watched;
  readonly shardClusters: Watched;
  readonly shards: Pick<Watched, 'get'> & Indexed;
  readonly shardMigrations: Pick<Watched, 'values'>;
  readonly pods: { byIndex(index: string, value: string): readonly Pod[] };
  readonly jobs: { get(key: ObjectKey): Job | undefined };
}

/** What is written. Throws KubeError. */
export interface BackupObjects {
  /** All that this controller says in a Shard's status; returns the object with it. */
  shardStatus(
    raw: KubeObject,
    status: { readonly achievedRpoSeconds?: number; readonly backup?: ShardBackupStatus },
    signal: AbortSignal,
  ): Promise<KubeObject>;
  policyStatus(raw: KubeObject, status: BackupPolicyStatus, signal: AbortSignal): Promise<KubeObject>;
  /** Returns its version, which is another one whenever it has changed. */
  applySecret(secret: KubeObject, signal: AbortSignal): Promise<string>;
  /** Sets an annotation of a pod, if it is there. */
  annotatePod(pod: KubeObject, annotation: string, value: string, signal: AbortSignal): Promise<void>;
  /** Only one of ours: a Secret of that name that somebody else has made stays. */
  deleteSecret(key: Request, signal: AbortSignal): Promise<void>;
  /** False if there is one of that name already. */
  createJob(job: KubeObject, signal: AbortSignal): Promise<boolean>;
  /** With its pods. One that is gone already, or was made again, is left alone. */
  deleteJob(job: Request & { readonly uid: string | undefined }, signal: AbortSignal): Promise<void>;
  /** Takes an annotation away if it still has this value; returns the object, undefined if it has not. */
  removeAnnotation(
    raw: KubeObject,
    annotation: string,
    value: string,
    signal: AbortSignal,
  ): Promise<KubeObject | undefined>;
}

/** The live database of a shard, for what a drill is compared with. */
export interface DrillAccess {
  /** Undefined when there is no such Shard. */
  find(key: Request): { readonly shard: Shard; readonly members: readonly MemberFacts[] } | undefined;
  /** Throws CredentialsMissingError, KubeError. */
  connectTarget(shard: Shard, primary: MemberFacts, signal: AbortSignal): Promise<ConnectTarget>;
  openSession(of: { readonly spec: Pick<Shard['spec'], 'engine'> }): OpenBackupSession | undefined;
}
