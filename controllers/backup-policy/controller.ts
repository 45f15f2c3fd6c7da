/** The controllers of backups, put together from what the operator has. */
import type { Caches } from '#controllers/caches.ts';
import { connection } from '#controllers/connect-target.ts';
import type { SecretReader } from '#controllers/secrets/secret-reader.ts';
import { gatherShard } from '#controllers/shard/facts.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { Engine } from '#engines/engine.ts';
import type { Applier } from '#kernel/apply.ts';
import type { Reconcile } from '#kernel/controller.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { Metrics } from '#kernel/metrics.ts';
import { type ArchiveImage, archiveJob } from './archive-job.ts';
import type { BackupDeps } from './deps.ts';
import { BackupMemory, Newest } from './memory.ts';
import { BackupMetrics } from './metrics.ts';
import { backupObjects } from './objects.ts';
import { drillReconciler } from './prepare-drill.ts';
import { backupPolicyReconciler } from './reconcile.ts';

/** Tables are taken down row by row; a replica holds its replay meanwhile. */
export const PREPARE_DRILL_MS = 15 * 60_000;

export interface BackupControllerOptions
  extends Pick<BackupDeps, 'events' | 'clock' | 'context' | 'enableCommand' | 'onWrite'> {
  readonly client: KubeClient;
  readonly applier: Applier;
  readonly caches: Caches;
  readonly secrets: SecretReader;
  readonly engine: (of: { readonly spec: Pick<Shard['spec'], 'engine'> }) => Engine;
  readonly metrics: Metrics;
  /** Of the Jobs that archive old rows. */
  readonly archiveImage: ArchiveImage;
}

export function createBackupReconcilers(options: BackupControllerOptions): {
  readonly policies: Reconcile;
  readonly drills: Reconcile;
} {
  const { client, applier, caches, secrets, engine, metrics, clock, archiveImage, ...rest } = options;
  const deps: BackupDeps = {
    ...rest,
    clock,
    caches,
    secrets,
    objects: backupObjects(client, applier),
    backups: of => engine(of).backups,
    archiveJob: (shard, request) =>
      archiveJob(shard, request, engine(shard).serverNames(shard)[0] ?? '', archiveImage),
    memory: new BackupMemory(clock),
    newest: {
      policies: new Newest(caches.backupPolicies, clock),
      shards: new Newest(caches.shards, clock),
    },
    metrics: new BackupMetrics(metrics, caches),
  };
  return {
    policies: backupPolicyReconciler(deps),
    drills: drillReconciler({
      ...deps,
      access: {
        find: key => gatherShard(caches, engine, key),
        connectTarget: async (shard, primary, signal) =>
          (await connection(secrets, shard, primary, signal)).target,
        openSession: of => engine(of).openBackupSession,
      },
    }),
  };
}
