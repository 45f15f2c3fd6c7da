/**
 * How long nobody can write when a primary fails: an insert every 100 ms over a new connection, through the read-write
 * Service, while the primary's pod is force-deleted, its first process killed, its node paused. Beside it the same faults on
 * a bare Patroni StatefulSet with the same timing, in turns, so that both see the same machine.
 */
import { timing } from '#engines/postgresql/patroni-settings.ts';
import { ensureDeployed } from '#hack/deploy.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { Pods } from '#kernel/resources.ts';
import { hasSuccessor } from '#test-e2e/probe/report.ts';
import { useCluster } from '#test-e2e/support/cluster.ts';
import { forceDeletePod, killFirstProcess, pauseNode } from '#test-e2e/support/faults.ts';
import { clearNamespace, createNamespace } from '#test-e2e/support/lifecycle.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';
import { median, report } from './bench.ts';
import { bare, primaryOf, shard, type Target } from './failover-target.ts';

const rounds = Number(process.env['BENCH_ROUNDS'] ?? 5);

const faults = ['podKillMs', 'sigKillMs', 'nodePauseMs'] as const;
type Fault = (typeof faults)[number];

interface Outcome {
  readonly downtimeMs: number;
  readonly lost: number;
  readonly oldTimelineAcks: number;
}

export async function run(): Promise<object> {
  const { cluster } = await ensureDeployed();
  if (!cluster.kind)
    throw new Error('this bench pauses nodes and kills processes: it needs a cluster of its own');
  const { kube } = await useCluster(cluster);
  const namespace = await createNamespace('bench-failover', { podSecurity: 'privileged' });
  try {
    const targets = [shard(namespace), bare(namespace)];
    for (const target of targets) await target.create();
    const outcomes = await breakAll(namespace, targets);
    const of = (target: string, fault: Fault): readonly Outcome[] => outcomes.get(`${target} ${fault}`) ?? [];
    const ours = faults.flatMap(fault => of('shard', fault));
    const figures = (target: string): Record<Fault, object> => ({
      podKillMs: summary(of(target, 'podKillMs')),
      sigKillMs: summary(of(target, 'sigKillMs')),
      nodePauseMs: summary(of(target, 'nodePauseMs')),
    });
    return {
      bench: 'failover',
      kills: ours.length,
      ...figures('shard'),
      bare: figures('bare'),
      ttlMs: timing.ttlSeconds * 1000,
      lost: sum(ours.map(({ lost }) => lost)),
      oldTimelineAcks: sum(ours.map(({ oldTimelineAcks }) => oldTimelineAcks)),
    };
  } finally {
    await clearNamespace(namespace);
    kube.close();
  }
}

async function breakAll(
  namespace: TestNamespace,
  targets: readonly Target[],
): Promise<ReadonlyMap<string, readonly Outcome[]>> {
  const outcomes = new Map<string, Outcome[]>();
  for (const fault of faults) {
    for (let round = 1; round <= rounds; round++) {
      for (const target of targets) {
        // A paused node hits both, and the one that recovers takes time from the other.
        for (const each of targets) await each.healthy();
        const outcome = await breakOnce(namespace, target, fault);
        outcomes.set(`${target.name} ${fault}`, [
          ...(outcomes.get(`${target.name} ${fault}`) ?? []),
          outcome,
        ]);
        report(`${fault} ${round}/${rounds} ${target.name}: ${JSON.stringify(outcome)}`);
      }
    }
  }
  return outcomes;
}

async function breakOnce(namespace: TestNamespace, target: Target, fault: Fault): Promise<Outcome> {
  const primary = await primaryOf(namespace, target.service);
  const node = (await namespace.get(Pods, primary)).spec?.nodeName ?? '';
  const probe = await target.probe(fault === 'nodePauseMs' ? node : undefined);
  // A few seconds of the ordinary, so that a gap is told from a slow start.
  await new Promise(resolve => setTimeout(resolve, 2000));
  const undo = await inflict(namespace, target, fault, primary, node);
  try {
    await eventually('writes are acknowledged again', namespace.name, async () =>
      hasSuccessor(await probe.records()) ? true : undefined,
    );
    await new Promise(resolve => setTimeout(resolve, 2000));
  } finally {
    await undo();
  }
  await target.healthy();
  const { longestGapMs, missing, oldTimelineAcks } = await probe.finish();
  if (missing === undefined) throw new Error('the probe could not read back what it wrote');
  return {
    downtimeMs: Math.round(longestGapMs),
    lost: missing.length,
    oldTimelineAcks: oldTimelineAcks.length,
  };
}

/** Returns how to end it. */
async function inflict(
  namespace: TestNamespace,
  target: Target,
  fault: Fault,
  primary: string,
  node: string,
): Promise<() => Promise<void>> {
  switch (fault) {
    case 'podKillMs':
      await forceDeletePod(namespace, primary);
      return () => Promise.resolve();
    case 'sigKillMs':
      await killFirstProcess(namespace.cluster, {
        namespace: namespace.name,
        name: primary,
        container: target.container,
      });
      return () => Promise.resolve();
    case 'nodePauseMs': {
      const paused = await pauseNode(namespace.cluster, node);
      return () => paused.undo();
    }
    default:
      return assertNever(fault);
  }
}

function summary(outcomes: readonly Outcome[]): { readonly p50: number; readonly max: number } {
  const values = outcomes.map(({ downtimeMs }) => downtimeMs);
  return { p50: median(values), max: Math.max(...values) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
