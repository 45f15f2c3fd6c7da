/**
 * Puts the operator together from its configuration: caches, controllers, the shard-map service, health and metrics. Every
 * replica fills its caches and serves maps; the one that leads reconciles. Tests and measurements use this very function,
 * with other engines or clocks.
 */
import { randomBytes } from 'node:crypto';
import { backupPolicyReconciler } from '#controllers/backup-policy/controller.ts';
import { byCluster, type Caches, createCaches, indexKey, ownResources } from '#controllers/caches.ts';
import { SecretReader } from '#controllers/secrets/secret-reader.ts';
import { Certificates } from '#controllers/shard/certificate.ts';
import { shardOf } from '#controllers/shard/facts.ts';
import { failoverReconciler, failoverSources } from '#controllers/shard/failover.ts';
import { Memory } from '#controllers/shard/memory.ts';
import { shardReconciler } from '#controllers/shard/reconcile.ts';
import { Sessions } from '#controllers/shard/sessions.ts';
import { shardSources } from '#controllers/shard/sources.ts';
import { Turns } from '#controllers/shard/turns.ts';
import { clusterOf } from '#controllers/shard-cluster/facts.ts';
import { MapReader } from '#controllers/shard-cluster/map-reader.ts';
import { clusterReconciler } from '#controllers/shard-cluster/reconcile.ts';
import { rolloutBudget } from '#controllers/shard-cluster/rollout-budget.ts';
import { SchemaWatch } from '#controllers/shard-cluster/schema-watch.ts';
import { clusterSources } from '#controllers/shard-cluster/sources.ts';
import { migrationReconciler } from '#controllers/shard-migration/controller.ts';
import { terminalWhenInvalid } from '#controllers/terminal.ts';
import type { Engine } from '#engines/engine.ts';
import { Applier } from '#kernel/apply.ts';
import type { Authenticator } from '#kernel/auth.ts';
import { type Clock, type Random, realClock } from '#kernel/clock.ts';
import { Controller } from '#kernel/controller.ts';
import { EventRecorder } from '#kernel/events.ts';
import { Health } from '#kernel/health.ts';
import { KubeClient, type KubeClientOptions } from '#kernel/kube-client.ts';
import { LeaderElector } from '#kernel/leader.ts';
import { leaseStore } from '#kernel/lease-store.ts';
import type { Log } from '#kernel/log.ts';
import { Manager } from '#kernel/manager.ts';
import { Metrics } from '#kernel/metrics.ts';
import { specChanged, toSelf, watching } from '#kernel/source.ts';
import { CachedMaps } from './cached-maps.ts';
import type { OperatorConfig } from './config.ts';
import { registerFleetMetrics } from './fleet-metrics.ts';
import { startHttpServer } from './http-server.ts';
import { startMapService } from './map-service/server.ts';
import { ensureMapTls } from './map-tls.ts';
import { mapAuthorizer } from './map-tokens.ts';

/** How often the map service's certificate is looked at. */
const MAP_TLS_EVERY_MS = 3_600_000;

export interface OperatorOptions {
  readonly config: OperatorConfig;
  readonly auth: Authenticator;
  readonly log: Log;
  readonly engines: readonly Engine[];
  readonly clock?: Clock;
  readonly random?: Random;
  /** Of the client that controllers write with: measurements count its requests. */
  readonly clientOptions?: Partial<Omit<KubeClientOptions, 'auth'>>;
  /** Only fleets in these; default: in all. */
  readonly namespaces?: readonly string[];
}

export interface Operator {
  readonly caches: Caches;
  readonly metrics: Metrics;
  readonly health: Health;
  /** Caches and controllers alone, without any port. Resolves after a complete stop. */
  reconcile(stop: AbortSignal): Promise<void>;
  /** Everything. Resolves after a complete stop. Rejects when a port or the API server cannot be had at the start. */
  run(stop: AbortSignal): Promise<void>;
}

export function createOperator(options: OperatorOptions): Operator {
  const { config, auth, log, engines, clock = realClock, random = Math.random } = options;
  const metrics = new Metrics();
  const health = new Health();
  // The lease has a client of its own: a renewal never waits behind a burst of other requests.
  const leaseClient = new KubeClient({
    auth,
    clock,
    onRequest: metrics.onRequest,
    userAgent: 'shardwright-lease',
  });
  const elector = new LeaderElector({
    store: leaseStore(leaseClient, config.namespace, config.serviceName),
    identity: config.podName,
    log,
    metrics,
    clock,
    random,
  });
  const client = new KubeClient({
    clock,
    resources: ownResources,
    onRequest: metrics.onRequest,
    userAgent: 'shardwright',
    // Patroni keeps its state in Endpoints, deprecated or not.
    onWarning: (text, request) =>
      text.includes('v1 Endpoints is deprecated')
        ? undefined
        : log.warn({ path: request.path, warning: text }, 'heeding a warning of the API server'),
    ...options.clientOptions,
    auth,
    ...(config.leaderElection ? { guardWrite: elector.assertLeading } : {}),
  });
  const caches = createCaches({ client, log, metrics, namespaces: options.namespaces });
  const reflectors = Object.values(caches);
  const maps = new MapReader(caches.configMaps);
  const secrets = new SecretReader({ client, clock });
  let mapCa = '';

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
    new Applier({ client, fieldManager, caches: reflectors, clock });
  const shared = { log, metrics, clock, random, resyncMs: config.resyncMs };
  const engineOf = ({ spec }: { readonly spec: { readonly engine: { readonly type: string } } }): Engine => {
    const engine = engines.find(candidate => candidate.type === spec.engine.type);
    if (!engine) throw new Error(`no engine for ${spec.engine.type}`);
    return engine;
  };

  const shardApplier = applier('shardwright-shard');
  const turns = turnsOf(caches);
  const controllers = [
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
          mapService: { url: mapUrl(config), ca: () => mapCa },
          enableCommand: namespace => enableCommand(config, namespace),
        }),
      ),
    }),
    new Controller({
      ...shared,
      name: 'shard',
      workers: config.workers.shards,
      sources: [...shardSources(caches, engines), turns],
      reconcile: terminalWhenInvalid(
        shardReconciler({
          client,
          applier: shardApplier,
          caches,
          secrets,
          certificates: new Certificates({ secrets, applier: shardApplier, clock }),
          sessions: new Sessions(config.workers.sessions),
          memory: new Memory(),
          turns,
          engine: engineOf,
          context: {
            image: config.image,
            imagePullPolicy: config.imagePullPolicy,
            operator: { namespace: config.namespace, labels: config.podLabels },
          },
          events: recorder('shard-controller'),
          clock,
          random,
          statisticsMs: config.statisticsMs,
          sessionMs: 60_000,
        }),
      ),
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
      workers: 2,
      sources: [watching({ reflector: caches.shardMigrations, map: toSelf, predicate: specChanged })],
      reconcile: terminalWhenInvalid(
        migrationReconciler(caches, {
          applier: applier('shardwright-shard-migration'),
          events: recorder('shard-migration-controller'),
          clock,
        }),
      ),
    }),
    new Controller({
      ...shared,
      name: 'backup-policy',
      workers: 2,
      sources: [watching({ reflector: caches.backupPolicies, map: toSelf, predicate: specChanged })],
      reconcile: terminalWhenInvalid(
        backupPolicyReconciler(caches, {
          applier: applier('shardwright-backup-policy'),
          events: recorder('backup-policy-controller'),
          clock,
        }),
      ),
    }),
  ];
  registerFleetMetrics(metrics, caches);
  const manager = new Manager({
    reflectors,
    controllers,
    ...(config.leaderElection ? { elector } : {}),
    health,
    log,
  });

  return {
    caches,
    metrics,
    health,
    async reconcile(stop) {
      try {
        await manager.run(stop);
      } finally {
        client.close();
        leaseClient.close();
      }
    },
    async run(stop) {
      await using resources = new AsyncDisposableStack();
      resources.defer(() => {
        client.close();
        leaseClient.close();
      });
      resources.use(await startHttpServer(health, metrics, config.httpPort));
      const tlsOptions = {
        client: leaseClient,
        clock,
        log,
        namespace: config.namespace,
        serviceName: config.serviceName,
      };
      const tls = await ensureMapTls(tlsOptions);
      mapCa = tls.ca;
      const store = resources.use(new CachedMaps(caches.configMaps));
      const service = resources.use(
        await startMapService(
          {
            store,
            authorize: mapAuthorizer({
              secrets: new SecretReader({ client, clock, ttlMs: 30_000 }),
              clock,
              exists: (namespace, name) => caches.shardClusters.get({ namespace, name }) !== undefined,
            }),
            tls,
            clock,
            onError: error => log.warn({ err: error }, 'answering 500 from the map service'),
          },
          config.mapPort,
        ),
      );
      resources.use(
        every(clock, MAP_TLS_EVERY_MS, async () => {
          try {
            const renewed = await ensureMapTls(tlsOptions);
            mapCa = renewed.ca;
            service.replaceTls(renewed);
          } catch (error) {
            log.warn({ err: error }, 'keeping the certificate of the map service for now');
          }
        }),
      );
      log.info({ mapPort: service.port, namespace: config.namespace }, 'serving');
      await manager.run(stop);
    },
  };
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

function every(clock: Clock, ms: number, act: () => Promise<void>): Disposable {
  let timer: Disposable;
  const tick = () => {
    void act();
    timer = clock.after(ms, tick);
  };
  timer = clock.after(ms, tick);
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}
