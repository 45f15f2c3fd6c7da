/**
 * An operator with its real kernel and the real engine's objects, on a real API server, in a namespace of its own; the world
 * around it and the databases are simulated. For *.api.test.ts.
 */

import { madeResources, ownResources, ShardClusters } from '#controllers/caches.ts';
import { isMapPage, readMap } from '#controllers/shard-map/config-maps.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { parseShardCluster } from '#crds/api/shard-cluster.ts';
import type { Engine } from '#engines/engine.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import { type ApiTest, apiTest } from '#hack/api-test.ts';
import { accessAuth } from '#hack/local-apiserver.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { type Log, silentLog } from '#kernel/log.ts';
import type { KubeObject } from '#kernel/object.ts';
import { defineResource } from '#kernel/resource.ts';
import { Secrets } from '#kernel/resources.ts';
import { parseConfig } from '#operator/config.ts';
import { createOperator, type Operator } from '#operator/operator.ts';
import { FakeDatabases } from './fake-database.ts';
import { prepareServer } from './prepare-server.ts';
import { untilObject } from './until-object.ts';
import { World } from './world.ts';

export interface Harness {
  readonly api: ApiTest;
  readonly namespace: string;
  /** Not the operator's: for what a person or the world does. */
  readonly client: KubeClient;
  readonly world: World;
  readonly databases: FakeDatabases;
  start(options?: StartOptions): Running;
  apply(spec?: object, metadata?: object): Promise<KubeObject>;
  cluster(): Promise<ShardCluster>;
  /** Waits for a ShardCluster of which this holds; fails with its status. */
  until(what: string, holds: (cluster: ShardCluster) => boolean): Promise<ShardCluster>;
  /** Everything that the operator made, without what differs from run to run. */
  snapshot(): Promise<Readonly<Record<string, unknown>>>;
}

export interface StartOptions {
  /** Called before every write; throws to refuse it. */
  readonly guardWrite?: () => void;
  readonly log?: Log;
  /** In place of the simulated databases'. */
  readonly engine?: Engine;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Running extends AsyncDisposable {
  readonly operator: Operator;
  /** Writes to the API server so far, by verb and resource. */
  readonly writes: string[];
}

export const fleetSpec = {
  engine: { type: 'postgresql', version: '17', database: 'app' },
  sharding: { algorithm: 'hash', slots: 256, tables: [{ name: 't', key: 'id' }] },
  shards: 2,
  members: 2,
  storage: { size: '1Gi' },
} as const;

/** What a scheduler posts to a pod. */
const Bindings = defineResource({ apiVersion: 'v1', kind: 'Binding', plural: 'pods', namespaced: true });

/** Disposes of itself when the stack does. */
export async function fleetHarness(cleanup: AsyncDisposableStack): Promise<Harness> {
  const api = await apiTest({ resources: [...ownResources, Bindings] });
  await prepareServer(api);
  const { client, namespace } = api;
  const databases = new FakeDatabases();
  const world = new World({ client, namespace });
  databases.onSwitchover = (shard, to) => world.switchover(shard.metadata.name, to);
  const stop = new AbortController();
  const running = world.run(stop.signal);
  cleanup.defer(async () => {
    stop.abort();
    await running;
    client.close();
  });
  const key = { namespace, name: 'fleet' };
  const cluster = async () => parseShardCluster(await client.get(ShardClusters, key));
  return {
    api,
    namespace,
    client,
    world,
    databases,
    cluster,
    start: options => startOperator(api, databases, cleanup, options),
    apply: (spec = {}, metadata = {}) =>
      client.apply(
        {
          apiVersion: ShardClusters.apiVersion,
          kind: ShardClusters.kind,
          metadata: { ...key, ...metadata },
          spec: { ...fleetSpec, ...spec },
        },
        { fieldManager: 'person', force: true },
      ),
    until: (what, holds) => untilObject(what, cluster, holds),
    snapshot: () => snapshot(client, namespace),
  };
}

function startOperator(
  api: ApiTest,
  databases: FakeDatabases,
  cleanup: AsyncDisposableStack,
  options: StartOptions = {},
): Running {
  const stop = new AbortController();
  const writes: string[] = [];
  const { guardWrite } = options;
  const operator = createOperator({
    config: parseConfig({
      LEADER_ELECTION: 'false',
      POD_NAMESPACE: api.namespace,
      STATISTICS_SECONDS: '0',
      ...options.env,
    }),
    auth: accessAuth(api.access),
    log: options.log ?? silentLog,
    engines: [options.engine ?? databases.engine(postgresql)],
    namespaces: [api.namespace],
    clientOptions: {
      ...(guardWrite ? { guardWrite } : {}),
      onRequest: ({ verb, resource }) => {
        if (!['get', 'list', 'watch'].includes(verb) && resource !== 'events')
          writes.push(`${verb} ${resource}`);
      },
    },
  });
  const running = operator.reconcile(stop.signal);
  const end = async () => {
    stop.abort();
    await running;
  };
  cleanup.defer(end);
  return { operator, writes, [Symbol.asyncDispose]: end };
}

async function snapshot(client: KubeClient, namespace: string): Promise<Readonly<Record<string, unknown>>> {
  const lists = await Promise.all(
    madeResources.map(async resource => {
      const { items } = await client.list<KubeObject>(resource, { namespace });
      return items.filter(item => item.metadata.labels?.['shardwright.io/cluster'] !== undefined);
    }),
  );
  const objects = lists.flat();
  const facts = readMap(objects.filter(isMapPage));
  const entries = objects
    .map((object): [string, unknown] => [`${object.kind}/${object.metadata.name}`, stable(object)])
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify(Object.fromEntries(entries)).replaceAll(namespace, '(namespace)');
  return {
    ...fields(JSON.parse(text)),
    map: facts.kind === 'Present' ? { ...facts.stored.map, namespace: '(namespace)' } : facts.kind,
  };
}

/** Names and shapes stay; what is random, counted or timed goes. */
function stable(object: KubeObject): unknown {
  const { metadata, status: _status, spec, data, ...rest } = object;
  const { clusterIP: _ip, clusterIPs: _ips, secrets, ...steady } = fields(spec);
  return {
    ...rest,
    labels: metadata.labels,
    owners: metadata.ownerReferences?.map(({ kind, name }) => `${kind}/${name}`),
    spec: steady,
    secrets: { ...fields(secrets), version: '(random)' },
    data: object.kind === Secrets.kind || isMapPage(object) ? Object.keys(fields(data)).toSorted() : data,
  };
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
