/**
 * The runtime's Prometheus metrics, in a registry of their own to which the program adds its own. Labels have few values:
 * never the name of an object.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { RequestSample } from '#kernel/api-caller.ts';

export type ReconcileOutcome = 'success' | 'requeue' | 'error' | 'conflict' | 'terminal' | 'stopped';

const seconds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export class Metrics {
  readonly registry = new Registry();

  readonly queueDepth = new Gauge({
    name: 'shardwright_queue_depth',
    help: 'Keys in the work queue: ready, delayed or running.',
    labelNames: ['controller', 'state'],
    registers: [this.registry],
    collect: () => this.#collect(),
  });
  readonly queueWait = new Histogram({
    name: 'shardwright_queue_wait_seconds',
    help: 'How long a key that was due waited for a worker.',
    labelNames: ['controller'],
    buckets: seconds,
    registers: [this.registry],
  });
  readonly reconcileTime = new Histogram({
    name: 'shardwright_reconcile_duration_seconds',
    help: 'Time of one reconcile, by its result.',
    labelNames: ['controller', 'result'],
    buckets: seconds,
    registers: [this.registry],
  });
  readonly watchStaleness = new Gauge({
    name: 'shardwright_watch_staleness_seconds',
    help: 'Time since the API server was last heard of on a watch; bookmarks come about once a minute.',
    labelNames: ['resource'],
    registers: [this.registry],
  });
  readonly watchRestarts = new Counter({
    name: 'shardwright_watch_restarts_total',
    help: 'Watches that were opened again, by reason.',
    labelNames: ['resource', 'reason'],
    registers: [this.registry],
  });
  readonly cachedObjects = new Gauge({
    name: 'shardwright_cached_objects',
    help: 'Objects held in memory.',
    labelNames: ['resource'],
    registers: [this.registry],
  });
  readonly handlerErrors = new Counter({
    name: 'shardwright_event_handler_errors_total',
    help: 'Exceptions thrown by handlers of watch events.',
    labelNames: ['resource'],
    registers: [this.registry],
  });
  readonly apiRequests = new Counter({
    name: 'shardwright_api_requests_total',
    help: 'Requests to the API server.',
    labelNames: ['verb', 'resource', 'code'],
    registers: [this.registry],
  });
  readonly apiRequestTime = new Histogram({
    name: 'shardwright_api_request_duration_seconds',
    help: 'Time of requests to the API server; for a watch, until it is open.',
    labelNames: ['verb', 'resource'],
    buckets: seconds,
    registers: [this.registry],
  });
  readonly leader = new Gauge({
    name: 'shardwright_leader',
    help: '1 in the replica that holds the lease.',
    registers: [this.registry],
  });
  readonly eventsDropped = new Counter({
    name: 'shardwright_events_dropped_total',
    help: 'Kubernetes events that were not written, by reason.',
    labelNames: ['reason'],
    registers: [this.registry],
  });

  readonly #collectors = new Set<() => void>();

  /** Fits KubeClientOptions.onRequest. */
  readonly onRequest = (sample: RequestSample): void => {
    const { verb, resource, code, durationMs } = sample;
    this.apiRequests.inc({ verb, resource, code });
    this.apiRequestTime.observe({ verb, resource }, durationMs / 1000);
  };

  /** Sets gauges just before they are read. */
  onCollect(collector: () => void): Disposable {
    this.#collectors.add(collector);
    return { [Symbol.dispose]: () => this.#collectors.delete(collector) };
  }

  /** Adds the process's own: memory, CPU, event loop lag. */
  collectProcessMetrics(): void {
    collectDefaultMetrics({ register: this.registry });
  }

  #collect(): void {
    for (const collector of this.#collectors) collector();
  }
}
