/**
 * The operator as the image runs it - its configuration, leader election, map service and all -, but with databases that
 * answer at once, since no fake node runs one. Tells its parent what it used. Started by reconcile.ts.
 */
import type { Engine, ShardSession } from '#engines/engine.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import { inClusterAuth } from '#kernel/auth.ts';
import { createLog } from '#kernel/log.ts';
import { parseConfig } from '#operator/config.ts';
import { createOperator } from '#operator/operator.ts';

/** What the operator has used since its process began. */
export interface Usage {
  readonly rssBytes: number;
  readonly peakRssBytes: number;
  readonly heapBytes: number;
  readonly buffersBytes: number;
  readonly cpuSeconds: number;
  /** By `<verb> <resource> <code>`. */
  readonly apiRequests: Readonly<Record<string, number>>;
  /** Reconciles of Shards that have ended. */
  readonly shardReconciles: number;
  /** Nothing is due, and nothing is at work. */
  readonly idle: boolean;
  /** Since the controllers began; undefined before. */
  readonly workedMs: number | undefined;
}

const session: ShardSession = {
  ensureAccess: () => Promise.resolve([]),
  applySchema: () => Promise.resolve({ applied: [] }),
  referenceVersion: () => Promise.resolve(0n),
  broadcastsSince: () => Promise.resolve([]),
  applyBroadcast: () => Promise.resolve(),
  statistics: () => Promise.resolve({ sizeBytes: 8_000_000, lagBytes: {} }),
  sweep: () => Promise.resolve({ changes: [], unreached: [] }),
  restart: () => Promise.resolve(),
  switchover: () => Promise.resolve(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};
const engine: Engine = { ...postgresql, connect: () => Promise.resolve(session) };

const config = parseConfig(process.env);
const log = createLog({ level: config.logLevel, name: 'shardwright' });
const auth = await inClusterAuth(process.env, process.env['BENCH_ACCOUNT']);
const operator = createOperator({ config, auth, log, engines: [engine] });
operator.metrics.collectProcessMetrics();

let beganAt: number | undefined;

async function usage(): Promise<Usage> {
  const { apiRequests, reconcileTime, queueDepth, leader } = operator.metrics;
  const [requests, reconciles, depths, leading] = await Promise.all([
    apiRequests.get(),
    reconcileTime.get(),
    queueDepth.get(),
    leader.get(),
  ]);
  if (leading.values.some(({ value }) => value === 1)) beganAt ??= performance.now();
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  const memory = process.memoryUsage();
  return {
    rssBytes: memory.rss,
    heapBytes: memory.heapTotal,
    buffersBytes: memory.arrayBuffers,
    peakRssBytes: maxRSS * 1024,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    apiRequests: Object.fromEntries(
      requests.values.map(({ labels: { verb, resource, code }, value }) => [
        `${verb} ${resource} ${code}`,
        value,
      ]),
    ),
    shardReconciles: sum(
      reconciles.values.filter(
        ({ metricName, labels }) => metricName?.endsWith('_count') === true && labels.controller === 'shard',
      ),
    ),
    idle: sum(depths.values.filter(({ labels }) => labels.state !== 'delayed')) === 0,
    workedMs: beganAt === undefined ? undefined : performance.now() - beganAt,
  };
}

function sum(values: readonly { readonly value: number }[]): number {
  return values.reduce((total, { value }) => total + value, 0);
}

const stop = new AbortController();
const running = operator.run(stop.signal);
const answering = () => void usage().then(answer => process.send?.(answer));
process.on('message', answering);
process.once('SIGTERM', () => {
  process.removeListener('message', answering);
  process.disconnect();
  stop.abort(new Error('the bench is done'));
});
await running;
