/** The controllers of the operator, each with its own field manager, events and workers. */
import { randomBytes } from 'node:crypto';
import { createBackupReconcilers, PREPARE_DRILL_MS } from '#controllers/backup-policy/controller.ts';
import { backupPolicySources, drillSources } from '#controllers/backup-policy/sources.ts';
import { byCluster, type Caches, indexKey } from '#controllers/caches.ts';
import { SecretReader } from '#controllers/secrets/secret-reader.ts';
import { Certificates } from '#controllers/shard/certificate.ts';
import type { ShardDeps } from '#controllers/shard/deps.ts';
import { shardOf } from '#controllers/shard/facts.ts';
import { failoverReconciler, failoverSources } from '#controllers/shard/failover.ts';
import { Memory } from '#controllers/shard/memory.ts';
import { shardReconciler } from '#controllers/shard/reconcile.ts';
import { SCHEMA_MS, schemaReconciler } from '#controllers/shard/schema.ts';
import { SchemaRuns } from '#controllers/shard/schema-runs.ts';
import { Sessions } from '#controllers/shard/sessions.ts';
import { shardSources } from '#controllers/shard/sources.ts';
import { Turns } from '#controllers/shard/turns.ts';
import { clusterOf } from '#controllers/shard-cluster/facts.ts';
import { clusterReconciler } from '#controllers/shard-cluster/reconcile.ts';
import { rolloutBudget } from '#controllers/shard-cluster/rollout-budget.ts';
import { SchemaWatch } from '#controllers/shard-cluster/schema-watch.ts';
import { clusterSources } from '#controllers/shard-cluster/sources.ts';
import { MapStore } from '#controllers/shard-map/map-store.ts';
import { COMPARISON_MS, createMigrationReconciler } from '#controllers/shard-migration/controller.ts';
import { migrationSources } from '#controllers/shard-migration/sources.ts';
import { terminalWhenInvalid } from '#controllers/terminal.ts';
import type { Engine } from '#engines/engine.ts';
import { Applier } from '#kernel/apply.ts';
import { type Clock, type Random } from '#kernel/clock.ts';
import { Controller } from '#kernel/controller.ts';
import { EventRecorder } from '#kernel/events.ts';
import { KubeClient } from '#kernel/kube-client.ts';
import type { Log } from '#kernel/log.ts';
import { Metrics } from '#kernel/metrics.ts';
import type { OperatorConfig } from './config.ts';

export interface ControllersOptions {
  readonly config: OperatorConfig;
  readonly engines: readonly Engine[];
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly maps: MapStore;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: Random;
  /** PEM of the authority behind the map service. */
  readonly mapCa: () => string;
}

export function createControllers(options: ControllersOptions): readonly Controller[] {
  const { config, engines, client, caches, maps, log, metrics, clock, random, mapCa } = options;
  const secrets = new SecretReader({ client, clock });
  const recorder = (controller: string): EventRecorder =>
    new EventRecorder({
      client,
      controller: `shardwright.io/${controller}`,
      instance: config.podName,
      log,
      metrics,
      clock,
    });
  const applier = (fieldManager: string): Applier =>
    new Applier({ client, fieldManager, caches: Object.values(caches), clock });
  const shared = { log, metrics, clock, random, resyncMs: config.resyncMs };
  const engineOf = ({ spec }: { readonly spec: { readonly engine: { readonly type: string } } }): Engine => {
    const engine = engines.find(candidate => candidate.type === spec.engine.type);
    if (!engine) throw new Error(`no engine for ${spec.engine.type}`);
    return engine;
  };

  const shardApplier = applier('shardwright-shard');
  const turns = turnsOf(caches);
  const context = {
    image: config.image,
    imagePullPolicy: config.imagePullPolicy,
    operator: { namespace: config.namespace, labels: config.podLabels },
  };
  const shardDeps: ShardDeps = {
    client,
    applier: shardApplier,
    caches,
    secrets,
    certificates: new Certificates({ secrets, applier: shardApplier, clock }),
    sessions: new Sessions(config.workers.sessions),
    memory: new Memory(),
    schemas: new SchemaRuns(),
    turns,
    engine: engineOf,
    context,
    events: recorder('shard-controller'),
    clock,
    random,
    statisticsMs: config.statisticsMs,
    sessionMs: 60_000,
  };
  const backups = createBackupReconcilers({
    client,
    caches,
    metrics,
    applier: applier('shardwright-backup-policy'),
    secrets,
    engine: engineOf,
    context,
    archiveImage: config.operatorImage,
    enableCommand: namespace => enableCommand(config, namespace),
    events: recorder('backup-policy-controller'),
    clock,
  });
  return [
    new Controller({
      ...shared,
      name: 'shard-cluster',
      workers: config.workers.shardClusters,
      sources: clusterSources(caches, clock),
      reconcile: terminalWhenInvalid(
        clusterReconciler({
          client,
          applier: applier('shardwright-shard-cluster'),
          caches,
          secrets,
          maps,
          schemas: new SchemaWatch({ client, clock }),
          events: recorder('shard-cluster-controller'),
          clock,
          randomBytes,
          defaultImage: config.image,
          recovery: of => engineOf(of).recovery,
          context,
          mapService: { url: mapUrl(config), ca: mapCa },
          enableCommand: namespace => enableCommand(config, namespace),
        }),
      ),
    }),
    new Controller({
      ...shared,
      name: 'shard',
      workers: config.workers.shards,
      sources: [...shardSources(caches, engines), turns, shardDeps.schemas.outcomes],
      reconcile: terminalWhenInvalid(shardReconciler(shardDeps)),
    }),
    new Controller({
      ...shared,
      name: 'schema',
      workers: config.workers.shards,
      deadlineMs: SCHEMA_MS,
      sources: [shardDeps.schemas.orders],
      reconcile: terminalWhenInvalid(schemaReconciler(shardDeps)),
    }),
    new Controller({
      ...shared,
      name: 'failover',
      workers: 16,
      backoff: { baseMs: 50, maxMs: 1000 },
      sources: failoverSources(caches, engines),
      reconcile: terminalWhenInvalid(
        failoverReconciler({ client, caches, engine: engineOf, events: recorder('failover-controller') }),
      ),
    }),
    new Controller({
      ...shared,
      name: 'shard-migration',
      workers: config.workers.migrations,
      // What was decided in a database must reach the map soon, also after an outage.
      backoff: { baseMs: 100, maxMs: 2000 },
      deadlineMs: COMPARISON_MS + 60_000,
      sources: migrationSources(caches, clock),
      reconcile: terminalWhenInvalid(
        createMigrationReconciler({
          client,
          caches,
          metrics,
          applier: applier('shardwright-shard-migration'),
          secrets,
          maps,
          engine: engineOf,
          events: recorder('shard-migration-controller'),
          clock,
        }),
      ),
    }),
    new Controller({
      ...shared,
      name: 'backup-policy',
      workers: 4,
      // It measures: what cannot be written for one shard must not keep it from looking at the others.
      backoff: { baseMs: 250, maxMs: 10_000 },
      sources: backupPolicySources(caches, clock),
      reconcile: terminalWhenInvalid(backups.policies),
    }),
    new Controller({
      ...shared,
      name: 'backup-drill',
      workers: 4,
      backoff: { baseMs: 500, maxMs: 10_000 },
      deadlineMs: PREPARE_DRILL_MS,
      sources: drillSources(caches),
      reconcile: terminalWhenInvalid(backups.drills),
    }),
  ];
}

function turnsOf(caches: Caches): Turns {
  return new Turns({
    shardsOf: (namespace, cluster) =>
      caches.shards.byIndex(byCluster, indexKey(namespace, cluster)).map(shardOf),
    budgetOf: (namespace, name) => {
      const raw = caches.shardClusters.get({ namespace, name });
      return rolloutBudget(raw ? clusterOf(raw).spec.shards : 1);
    },
  });
}

export function mapUrl(config: OperatorConfig): string {
  const port = config.mapServicePort === 443 ? '' : `:${config.mapServicePort}`;
  return `https://${config.serviceName}.${config.namespace}.svc${port}`;
}

/** What lets the operator into a namespace. */
export function enableCommand(config: OperatorConfig, namespace: string): string {
  const { serviceName } = config;
  return (
    `kubectl create rolebinding ${serviceName} --namespace=${namespace} ` +
    `--clusterrole=${serviceName}-namespaced --serviceaccount=${config.namespace}:${serviceName}`
  );
}
