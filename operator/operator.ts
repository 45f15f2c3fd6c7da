/**
 * Puts the operator together from its configuration: caches, controllers, the shard-map service, health and metrics. Every
 * replica fills its caches and serves maps; the one that leads reconciles. Tests and measurements use this very function,
 * with other engines or clocks.
 */
import { type Caches, createCaches, ownResources } from '#controllers/caches.ts';
import { SecretReader } from '#controllers/secrets/secret-reader.ts';
import { MapStore } from '#controllers/shard-map/map-store.ts';
import type { Engine } from '#engines/engine.ts';
import type { Authenticator } from '#kernel/auth.ts';
import { type Clock, type Random, realClock } from '#kernel/clock.ts';
import { Health } from '#kernel/health.ts';
import { KubeClient, type KubeClientOptions } from '#kernel/kube-client.ts';
import { LeaderElector } from '#kernel/leader.ts';
import { leaseStore } from '#kernel/lease-store.ts';
import type { Log } from '#kernel/log.ts';
import { Manager } from '#kernel/manager.ts';
import { Metrics } from '#kernel/metrics.ts';
import { CachedMaps } from './cached-maps.ts';
import type { OperatorConfig } from './config.ts';
import { createControllers } from './controllers.ts';
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
  const maps = new MapStore({ client, configMaps: caches.configMaps, clock });
  let mapCa = '';

  const controllers = createControllers({
    config,
    engines,
    client,
    caches,
    maps,
    log,
    metrics,
    clock,
    random,
    mapCa: () => mapCa,
  });
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

function every(clock: Clock, ms: number, act: () => Promise<void>): Disposable {
  let timer: Disposable;
  const tick = () => {
    void act();
    timer = clock.after(ms, tick);
  };
  timer = clock.after(ms, tick);
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}
