/**
 * One ShardCluster of hundreds of shards on a private API server with fake nodes (kwok): how fast the operator, a process of
 * its own from the image's bundle, makes all of it, beside a tight loop that creates the very same objects afterwards.
 *
 *   seconds              apply of the ShardCluster (two members per shard) until it says that every shard is ready
 *   objectsPerSecond     what the operator made (16 objects per shard and the fleet's own), from the apply until the last one
 *                        exists
 *   floor, ratio         reconcile-floor.ts, the same API server, the same run; ratio = objectsPerSecond / floor
 *   rssMB, cpuSeconds    of the operator's process when all is ready, its start included
 *   apiRequests          of the operator, all of them: watches, lists, statuses, events, lease
 *   noopResyncMsPerShard a new operator process looks at everything: from taking the lease until nothing is left to do,
 *                        over the shards. The bench fails if that wrote anything.
 *
 * Members start once the last object exists. Elsewhere they are the work of other machines, here they would take the API
 * server's two cores from the operator, and not from the loop that it is compared with. Databases answer at once, and
 * Patroni's heartbeats are left out: what is measured is the operator and the API server.
 */
import { glob, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { ownResources, ShardClusters, Shards } from '#controllers/caches.ts';
import { conditionStatus } from '#controllers/conditions.ts';
import { apiVersion } from '#crds/api/names.ts';
import { parseShardCluster } from '#crds/api/shard-cluster.ts';
import { bundleProgram } from '#hack/images/bundle.ts';
import { accessAuth, LocalApiServer } from '#hack/local-apiserver.ts';
import { repoDir } from '#hack/paths.ts';
import { ensureTool } from '#hack/tools.ts';
import { KubeClient } from '#kernel/kube-client.ts';
import type { KubeObject } from '#kernel/object.ts';
import { type Bench, report, round } from './bench.ts';
import { createAll, objectsOf } from './reconcile-floor.ts';
import type { Usage } from './reconcile-operator.ts';
import {
  accountEnv,
  type Parts,
  type RunningOperator,
  startOperator,
  startWorld,
} from './reconcile-processes.ts';

const FLEET = { namespace: 'fleet', name: 'large' };
const FLOOR_NAMESPACE = 'floor';
const NODES = ['eu-west', 'us-east'].flatMap(region =>
  Array.from({ length: 5 }, (_, i) => ({ name: `${region}-${i}`, region })),
);
const READY_WITHIN_MS = 900_000;

export const run: Bench['run'] = async () => {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: { shards: { type: 'string', default: '300' }, profile: { type: 'string' } },
  });
  const shards = Number(values.shards);
  if (!Number.isInteger(shards) || shards < 1) throw new Error('--shards wants a whole number');
  await using resources = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'shardwright-bench-'));
  resources.defer(() => rm(dir, { recursive: true, force: true }));
  const [kwok] = await Promise.all([
    ensureTool('kwok'),
    ...['operator', 'world'].map(name =>
      bundleProgram(join(repoDir, `bench/reconcile-${name}.ts`), join(dir, `${name}.mjs`)),
    ),
  ]);
  const server = await LocalApiServer.start();
  resources.defer(() => server.stop());
  const { access } = server;
  const client = new KubeClient({ auth: accessAuth(access), resources: ownResources });
  resources.defer(() => client.close());
  await prepare(client);
  const env = await accountEnv(dir, access);
  const parts = { dir, env, profile: values.profile };

  const world = resources.use(
    startWorld(parts, kwok, access, { namespace: FLEET.namespace, nodes: NODES.map(({ name }) => name) }),
  );
  const operator = await startOperator(parts);
  const startedAt = performance.now();
  await client.create(fleetOf(shards));
  const made = await untilMade(operator, shards, startedAt);
  world.begin();
  const seconds = await untilReady(client, shards, startedAt);
  const usage = await operator.usage();
  const objects = await objectsOf(client, FLEET.namespace);
  const apiRequests = total(usage);
  report(`the last object existed after ${round(made)} s`);
  report(`${objects.length} objects in ${round(seconds)} s; requests: ${JSON.stringify(usage.apiRequests)}`);
  const [peak, heap, buffers] = [usage.peakRssBytes, usage.heapBytes, usage.buffersBytes].map(inMB);
  report(
    `RSS at most ${peak} MB, heap ${heap} MB, buffers ${buffers} MB, ${usage.shardReconciles} reconciles of shards`,
  );

  await untilQuiet(operator);
  await operator.stop();
  const noop = await resync(parts, client, shards);
  world[Symbol.dispose]();
  const floorSeconds = await createAll(accessAuth(access), objects, FLOOR_NAMESPACE);
  const objectsPerSecond = objects.length / made;
  const floorObjectsPerSecond = objects.length / floorSeconds;
  return {
    bench: 'reconcile',
    shards,
    seconds: round(seconds),
    objectsPerSecond: round(objectsPerSecond, 1),
    floorObjectsPerSecond: round(floorObjectsPerSecond, 1),
    ratio: round(objectsPerSecond / floorObjectsPerSecond),
    rssMB: round(usage.rssBytes / 1e6, 1),
    cpuSeconds: round(usage.cpuSeconds),
    apiRequests,
    noopResyncMsPerShard: round(noop),
  };
};

/** Details of statuses come some seconds after what is urgent. */
async function untilQuiet(operator: RunningOperator): Promise<void> {
  for (let [last, now] = [-1, 0]; now !== last; ) {
    last = now;
    await sleep(4000);
    now = writesOf(await operator.usage()).reduce((sum, [, count]) => sum + count, 0);
  }
}

function writesOf({ apiRequests }: Usage): readonly (readonly [string, number])[] {
  return Object.entries(apiRequests).filter(([request]) => !/^(get|list|watch) | leases /.test(request));
}

/** A new process has to look at everything, and must find nothing to write. */
async function resync(parts: Parts, client: KubeClient, shards: number): Promise<number> {
  const before = await versions(client);
  const operator = await startOperator(parts);
  let usage: Usage;
  do {
    await sleep(20);
    usage = await operator.usage();
  } while (usage.shardReconciles < shards || !usage.idle);
  const { workedMs = 0 } = usage;
  // What a write would set off comes a moment later.
  await sleep(2000);
  const afterwards = await operator.usage();
  await operator.stop();
  const writes = writesOf(afterwards).map(([request]) => request);
  const changed = Object.entries(await versions(client)).filter(
    ([name, version]) => before[name] !== version,
  );
  if (writes.length > 0 || changed.length > 0) {
    throw new Error(`looking again wrote: ${writes.join(', ')} (${changed.length} Shards differ)`);
  }
  report(`looked at everything again in ${round(workedMs / 1000)} s; requests: ${total(usage)}`);
  return workedMs / shards;
}

async function versions(client: KubeClient): Promise<Record<string, string | undefined>> {
  const { items } = await client.list(Shards, { namespace: FLEET.namespace });
  return Object.fromEntries(items.map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
}

async function prepare(client: KubeClient): Promise<void> {
  for await (const file of glob('*.yaml', { cwd: join(repoDir, 'crds') })) {
    const text = await readFile(join(repoDir, 'crds', file), 'utf8');
    for (const document of parseAllDocuments(text)) {
      const crd: KubeObject = document.toJS();
      await client.create(crd);
    }
  }
  await until('the kinds to be served', 30_000, async () => {
    const served = await Promise.allSettled(ownResources.map(resource => client.list(resource)));
    // The last is cert-manager's, which nobody serves here.
    return served.filter(({ status }) => status === 'fulfilled').length === ownResources.length - 1;
  });
  for (const name of [FLEET.namespace, FLOOR_NAMESPACE]) {
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  for (const { name, region } of NODES) {
    const labels = { 'topology.kubernetes.io/region': region };
    await client.create({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } });
  }
}

function fleetOf(shards: number): KubeObject {
  return {
    apiVersion,
    kind: ShardClusters.kind,
    metadata: FLEET,
    spec: {
      engine: { type: 'postgresql', version: '17', database: 'app' },
      sharding: { algorithm: 'hash', slots: 65_536, tables: [{ name: 'events', key: 'id' }] },
      shards,
      members: 2,
      placement: {
        regions: [
          { name: 'eu-west', weight: 1 },
          { name: 'us-east', weight: 1 },
        ],
      },
      storage: { size: '1Gi' },
    },
  };
}

/** Seconds until the last object was made. */
async function untilMade(operator: RunningOperator, shards: number, startedAt: number): Promise<number> {
  let [count, seconds] = [-1, 0];
  await until('the objects of the fleet', READY_WITHIN_MS, async () => {
    const usage = await operator.usage();
    const now = Object.entries(usage.apiRequests)
      .filter(([request]) => request.endsWith(' 201') && !/ (events|leases) /.test(request))
      .reduce((sum, [, made]) => sum + made, 0);
    if (now !== count) [count, seconds] = [now, (performance.now() - startedAt) / 1000];
    return count >= 16 * shards && usage.idle && usage.shardReconciles >= shards;
  });
  return seconds;
}

function inMB(bytes: number): number {
  return round(bytes / 1e6, 0);
}

async function untilReady(client: KubeClient, shards: number, startedAt: number): Promise<number> {
  await until('the fleet to be ready', READY_WITHIN_MS, async () => {
    const cluster = parseShardCluster(await client.get(ShardClusters, FLEET));
    return cluster.status?.readyShards === shards && conditionStatus(cluster, 'Ready') === 'True';
  });
  return (performance.now() - startedAt) / 1000;
}

async function until(what: string, withinMs: number, holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + withinMs; !(await holds()); await sleep(100)) {
    if (Date.now() > deadline) throw new Error(`waited ${withinMs / 1000} s for ${what}`);
  }
}

function total({ apiRequests }: Usage): number {
  return Object.values(apiRequests).reduce((sum, count) => sum + count, 0);
}
