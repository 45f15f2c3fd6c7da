/** Shards by state, from the cache: counted when Prometheus asks. */
import { Gauge } from 'prom-client';
import type { Caches } from '#controllers/caches.ts';
import { conditionStatus } from '#controllers/conditions.ts';
import { shardOf } from '#controllers/shard/facts.ts';
import type { Metrics } from '#kernel/metrics.ts';

export function registerFleetMetrics(metrics: Metrics, caches: Caches): void {
  const gauge = new Gauge({
    name: 'shardwright_shards',
    help: 'Shards by state and readiness, over all fleets.',
    labelNames: ['state', 'ready'],
    registers: [metrics.registry],
    collect() {
      gauge.reset();
      for (const raw of caches.shards.values()) {
        const shard = shardOf(raw);
        gauge.inc({
          state: shard.spec.state,
          ready: conditionStatus(shard, 'Ready') === 'True' ? 'true' : 'false',
        });
      }
    },
  });
  const clusters = new Gauge({
    name: 'shardwright_shard_clusters',
    help: 'ShardClusters.',
    registers: [metrics.registry],
    collect() {
      clusters.set(caches.shardClusters.size);
    },
  });
}
