/** Everything that a decision about a policy is made from. */

import type { ArchiveOutcome } from '#archive/outcome.ts';
import type { JobFacts } from '#controllers/job-facts.ts';
import type { BackupDestination } from '#crds/api/backup/destination.ts';
import type { ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import type { BackupPolicy, BackupPolicyStatus } from '#crds/api/backup-policy.ts';
import { parseBackupPolicy } from '#crds/api/backup-policy.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { BackupProgressReport, DrillReport } from '#engines/backup.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Achieved } from './achieved.ts';
import type { Binding } from './bindings.ts';
import type { ArchiveStatus } from './shard-archive.ts';

export interface PolicyFacts {
  /** As the API server sent it. */
  readonly raw: KubeObject;
  readonly policy: BackupPolicy;
  /** The newest that is known of its status. */
  readonly status: BackupPolicyStatus;
  readonly binding: Binding;
  /** What a person has to put right. */
  readonly problems: readonly Problem[];
  /** Those under the policy. */
  readonly shards: readonly ShardView[];
  /** Those whose status says that they are under it, and that are under none any more. */
  readonly released: readonly ShardView[];
}

export interface Problem {
  readonly reason: string;
  /** Names the object and says what to do. */
  readonly message: string;
  /** Nothing is begun while it lasts: the plan itself cannot be followed. */
  readonly plan: boolean;
}

export interface ShardView {
  readonly raw: KubeObject;
  readonly shard: Shard;
  /** The newest that is known of Shard.status.backup and achievedRpoSeconds. */
  readonly backup: ShardBackupStatus | undefined;
  readonly shownRpoSeconds: number | undefined;
  /** Where its backups go; undefined while that is not known. */
  readonly place: string | undefined;
  /** What a primary last told of archiving to the present place, and what follows for this moment. */
  readonly archive: ArchiveStatus | undefined;
  readonly achieved: Achieved;
  readonly backupJob: JobView<BackupProgressReport> | undefined;
  readonly drillJob: JobView<DrillReport> | undefined;
  readonly archiveJob: JobView<ArchiveOutcome> | undefined;
  /** Where its old rows go; undefined while that is not known, or is not to be. */
  readonly coldPlace: ColdPlace | undefined;
  /** The ShardMigration that has a part in it. */
  readonly migration: string | undefined;
  /** It, or its fleet, is paused or on its way out: nothing is begun. */
  readonly paused: boolean;
}

export interface ColdPlace {
  readonly destination: Pick<BackupDestination, 's3'>;
  /** In the bucket, of the fleet's incarnation. */
  readonly path: string;
}

export interface JobView<Report> extends JobFacts {
  readonly namespace: string;
  readonly created: string;
  readonly report: Report | undefined;
}

const parsed = new WeakMap<KubeObject, BackupPolicy>();

/** Parses once per state of the object. Throws InvalidObjectError. */
export function backupPolicyOf(raw: KubeObject): BackupPolicy {
  const known = parsed.get(raw);
  if (known) return known;
  const policy = parseBackupPolicy(raw);
  parsed.set(raw, policy);
  return policy;
}
