/** The ShardMigration controller, put together from what the operator has. */
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
import type { MigrationDeps } from './deps.ts';
import { InTurn } from './in-turn.ts';
import { MigrationMetrics } from './metrics.ts';
import { migrationObjects } from './objects.ts';
import { migrationReconciler } from './reconcile.ts';
import { StatusMemory } from './status-memory.ts';

/** Comparing all rows of a large shard takes long; it gives way to whatever a person asks for meanwhile. */
export const COMPARISON_MS = 6 * 3_600_000;
const SESSION_MS = 60_000;

export interface MigrationControllerOptions
  extends Pick<MigrationDeps, 'maps' | 'events' | 'clock' | 'onAction'> {
  readonly client: KubeClient;
  readonly applier: Applier;
  readonly caches: Caches;
  readonly secrets: SecretReader;
  readonly engine: (of: { readonly spec: Pick<Shard['spec'], 'engine'> }) => Engine;
  readonly metrics: Metrics;
}

export function createMigrationReconciler(options: MigrationControllerOptions): Reconcile {
  const { client, applier, caches, secrets, engine, metrics, ...rest } = options;
  return migrationReconciler({
    ...rest,
    caches,
    objects: migrationObjects(client, applier),
    shards: {
      find: key => gatherShard(caches, engine, key),
      connectTarget: async (shard, primary, signal) =>
        (await connection(secrets, shard, primary, signal)).target,
      openTransfer: of => engine(of).openTransfer,
    },
    statuses: new StatusMemory(caches.shardMigrations),
    planning: new InTurn(),
    metrics: new MigrationMetrics(metrics, caches.shardMigrations),
    sessionMs: SESSION_MS,
    comparisonMs: COMPARISON_MS,
  });
}
