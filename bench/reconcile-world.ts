/**
 * What goes on around the operator where there is an API server and fake nodes: the StatefulSet controller makes claims and
 * pods (kwok makes them ready), Patroni takes the lock and labels its members. With as few requests as these need, since
 * they take their share of the same API server. Started by reconcile.ts as a process of its own.
 *
 * The real StatefulSet controller is not used because it brings the scheduler, a provisioner and the volume controllers
 * with it, all of which would be measured too.
 */
import { once } from 'node:events';
import { labels } from '#crds/api/names.ts';
import { store } from '#engines/postgresql/names.ts';
import { inClusterAuth } from '#kernel/auth.ts';
import { Controller } from '#kernel/controller.ts';
import { AlreadyExistsError } from '#kernel/errors.ts';
import { KubeClient } from '#kernel/kube-client.ts';
import { createLog } from '#kernel/log.ts';
import type { KubeObject } from '#kernel/object.ts';
import { Reflector } from '#kernel/reflector.ts';
import { EndpointsObjects, type Pod, Pods, type StatefulSet, StatefulSets } from '#kernel/resources.ts';
import { toLabel, watching } from '#kernel/source.ts';

const REVISION = 'first';

const client = new KubeClient({
  auth: await inClusterAuth(process.env, process.env['BENCH_ACCOUNT']),
  maxConnections: 4,
  // Endpoints are Patroni's store, deprecated or not.
  onWarning: () => {},
});
const log = createLog({ level: 'warn', name: 'world' });
const nodes = (process.env['BENCH_NODES'] ?? '').split(',');
const namespaces = [process.env['BENCH_NAMESPACE'] ?? 'default'];
const statefulSets = new Reflector({ client, log, namespaces, resource: StatefulSets });
const pods = new Reflector({
  client,
  log,
  namespaces,
  resource: Pods,
  indexes: { shard: pod => [pod.metadata.labels?.[labels.shard] ?? ''] },
});
const done = new Map<string, 'made' | 'elected'>();
let turn = 0;

async function lookAt(shard: string, namespace: string): Promise<void> {
  const set = statefulSets.get({ namespace, name: shard });
  if (!set || done.get(shard) === 'elected') return;
  if (!done.has(shard)) await makeMembers(set);
  done.set(shard, 'made');
  const members = pods.byIndex('shard', shard);
  if (members.length < (set.spec?.replicas ?? 0) || !members.every(isReady)) return;
  await elect(
    shard,
    namespace,
    members.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)),
  );
  done.set(shard, 'elected');
}

async function makeMembers({ metadata, spec }: StatefulSet): Promise<void> {
  const { namespace, name } = metadata;
  const within = namespace === undefined ? {} : { namespace };
  const replicas = spec?.replicas ?? 0;
  for (let i = 0; i < replicas; i++) {
    const member = `${name}-${i}`;
    const templates = spec?.volumeClaimTemplates ?? [];
    for (const template of templates) {
      await makeOnce({
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: {
          ...within,
          name: `${template.metadata?.name}-${member}`,
          labels: { ...template.metadata?.labels },
        },
        spec: template.spec,
      });
    }
    const volumes = templates.map(template => ({
      name: template.metadata?.name,
      persistentVolumeClaim: { claimName: `${template.metadata?.name}-${member}` },
    }));
    const podSpec = spec?.template.spec;
    await makeOnce({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...within,
        name: member,
        labels: { ...spec?.template.metadata?.labels, 'controller-revision-hash': REVISION },
      },
      spec: {
        ...podSpec,
        volumes: [...(podSpec?.volumes ?? []), ...volumes],
        nodeName: nodes[turn++ % nodes.length],
      },
    });
  }
  const status = {
    observedGeneration: metadata.generation,
    replicas,
    currentRevision: REVISION,
    updateRevision: REVISION,
  };
  const patch = { type: 'merge', body: { status } } as const;
  await client.patch(StatefulSets, metadata, patch, { subresource: 'status' });
}

async function elect(shard: string, namespace: string, members: readonly Pod[]): Promise<void> {
  const [leader = '', standby = ''] = members.map(({ metadata }) => metadata.name);
  const annotate = (name: string, annotations: Record<string, string>) =>
    client.patch(
      EndpointsObjects,
      { namespace, name },
      { type: 'merge', body: { metadata: { annotations } } },
    );
  await annotate(store.leader(shard), { leader });
  await annotate(store.sync(shard), { leader, sync_standby: standby });
  for (const { metadata } of members) {
    const role = metadata.name === leader ? 'primary' : 'replica';
    const body = { metadata: { labels: { 'shardwright.io/role': role } } };
    await client.patch(Pods, metadata, { type: 'merge', body });
  }
}

async function makeOnce(object: KubeObject): Promise<void> {
  try {
    await client.create(object);
  } catch (error) {
    if (!(error instanceof AlreadyExistsError)) throw error;
  }
}

function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}

const controller = new Controller({
  name: 'world',
  log,
  workers: 4,
  sources: [
    watching({
      reflector: statefulSets,
      map: toLabel(labels.shard),
      predicate: ({ type }) => type === 'added',
    }),
    watching({
      reflector: pods,
      map: toLabel(labels.shard),
      predicate: ({ object, old }) => isReady(object) && !(old && isReady(old)),
    }),
  ],
  reconcile: ({ namespace, name }) => lookAt(name, namespace),
});
// The members begin when the parent says so.
await once(process, 'message');
const stop = new AbortController();
process.once('SIGTERM', () => {
  stop.abort();
  client.close();
});
await Promise.all([
  statefulSets.run(stop.signal),
  pods.run(stop.signal),
  controller.run({ stop: stop.signal, graceMs: 0 }),
]);
