/** What a decision about a fleet that is to come back is made from. */
import type { RecoveryJob } from '#controllers/recovery-job.ts';
import type { Problem } from '#controllers/shard-cluster/problems.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { CatalogReport, RecoverRequest, RecoveryReport } from '#engines/recovery.ts';

export type RecoverySpec = NonNullable<NonNullable<ShardCluster['spec']['bootstrap']>['recovery']>;

/** One place that the policy sends backups to. */
export interface RecoverySource {
  readonly index: number;
  /** Of the shards that it is for; all others if absent. */
  readonly region?: string;
  /** The folder of the lost fleet's incarnations, without a leading slash. */
  readonly path: string;
  /** Data of the Secret, by file name. */
  readonly files: Readonly<Record<string, string>>;
}

export interface RecoveryFacts {
  readonly spec: RecoverySpec;
  /** Changes with each `shardwright.io/retry`. */
  readonly attempt: string;
  /** What must be put right before the store can be looked into. */
  readonly problem: Problem | undefined;
  readonly sources: readonly RecoverySource[];
  /** By the index of the source. */
  readonly catalogs: ReadonlyMap<number, RecoveryJob<CatalogReport>>;
  /** By the name of the shard that is to be. */
  readonly recoveries: ReadonlyMap<string, RecoveryJob<RecoveryReport>>;
  /** Names of claims of the fleet; those that this recovery made are marked with its fleet's uid. */
  readonly claims: ReadonlyMap<string, { readonly recoveredFor: string | undefined }>;
}

export type { RecoverRequest };
