/**
 * From `kubectl apply` to Ready, for one and for eight shards of two members, beside as many bare Patroni StatefulSets in the
 * same run. Ready means more for a shard: logins, grants and TLS are there, and under strong consistency a synchronous
 * replica; for a bare one, two ready pods and a leader are enough (`bareSeconds`, `ratio`). Its Patroni is in synchronous mode,
 * too: `bareSynchronousSeconds` is until it has recorded a synchronous replica, `ratioSynchronous` the ratio to that.
 */
import { ensureDeployed } from '#hack/deploy.ts';
import { useCluster } from '#test-e2e/support/cluster.ts';
import { fleet } from '#test-e2e/support/fleet.ts';
import { onlyLeft } from '#test-e2e/support/leaks.ts';
import { clearNamespace, createNamespace } from '#test-e2e/support/lifecycle.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { ShardClusters } from '#test-e2e/support/resources.ts';
import { applyBare, applyWithKubectl, bareReady, bareSynchronous, removeBare } from './bare-fleet.ts';
import { median, report, round } from './bench.ts';

interface Bare {
  readonly readySeconds: number;
  readonly synchronousSeconds: number;
}

interface Figures {
  readonly readySeconds: number;
  readonly bareSeconds: number;
  readonly ratio: number;
  readonly bareSynchronousSeconds: number;
  readonly ratioSynchronous: number;
}

/** Times each is measured; the median counts. */
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 3);

export async function run(): Promise<object> {
  const { cluster } = await ensureDeployed();
  const { kube } = await useCluster(cluster);
  const namespace = await createNamespace('bench-provision', { podSecurity: 'privileged' });
  try {
    return { bench: 'provision', one: await measure(namespace, 1), eight: await measure(namespace, 8) };
  } finally {
    await clearNamespace(namespace);
    kube.close();
  }
}

async function measure(namespace: TestNamespace, shards: number): Promise<Figures> {
  const [ready, bare]: [number[], Bare[]] = [[], []];
  for (let turn = 1; turn <= rounds; turn++) {
    bare.push(await bareSeconds(namespace, shards));
    ready.push(await fleetSeconds(namespace, shards));
    report(
      `${shards} shards, round ${turn}: Ready after ${ready.at(-1)} s, bare ${JSON.stringify(bare.at(-1))}`,
    );
  }
  const readySeconds = round(median(ready), 1);
  const bareMedian = round(median(bare.map(each => each.readySeconds)), 1);
  const bareSynchronousSeconds = round(median(bare.map(each => each.synchronousSeconds)), 1);
  return {
    readySeconds,
    bareSeconds: bareMedian,
    ratio: round(readySeconds / bareMedian),
    bareSynchronousSeconds,
    ratioSynchronous: round(readySeconds / bareSynchronousSeconds),
  };
}

async function fleetSeconds(namespace: TestNamespace, shards: number): Promise<number> {
  const manifest = fleet({ shards });
  const seconds = await timed(async () => {
    await applyWithKubectl(namespace, [manifest]);
    await namespace.current();
  });
  await namespace.delete(ShardClusters, 'fleet');
  await namespace.gone(ShardClusters, 'fleet');
  await onlyLeft(namespace.name, 'fleet');
  return seconds;
}

async function bareSeconds(namespace: TestNamespace, shards: number): Promise<Bare> {
  const names = Array.from({ length: shards }, (_, index) => `bare-${index}`);
  const applied = applyBare(namespace, names);
  const readyAfter = async (isReady: typeof bareSynchronous) => {
    await applied;
    await Promise.all(names.map(name => isReady(namespace, name)));
  };
  const [readySeconds, synchronousSeconds] = await Promise.all([
    timed(() => readyAfter(bareReady)),
    timed(() => readyAfter(bareSynchronous)),
  ]);
  await removeBare(namespace, names);
  return { readySeconds, synchronousSeconds };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return round((performance.now() - startedMs) / 1000, 1);
}
