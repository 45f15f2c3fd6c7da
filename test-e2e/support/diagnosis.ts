/** What a person would look at first when a fleet is not as wanted: conditions, pods, events, the operator's log. */
import type { KubeObject } from '#kernel/object.ts';
import { CoreEvents, type Pod, Pods } from '#kernel/resources.ts';
import { findInstallation, type TestCluster } from './cluster.ts';
import { ShardClusters, ShardMigrations, Shards } from './resources.ts';

const deadlineMs = 10_000;

/** Never throws: a diagnosis must not hide the failure that it explains. */
export async function diagnose(cluster: TestCluster, namespace: string): Promise<string> {
  const parts = await Promise.all(
    [conditions, pods, events, operatorLog].map(part =>
      part(cluster, namespace).catch((error: unknown) => `(${part.name}: ${String(error)})`),
    ),
  );
  return [`--- namespace ${namespace} ---`, ...parts].join('\n');
}

async function conditions({ kube }: TestCluster, namespace: string): Promise<string> {
  const [fleets, shards, migrations] = await Promise.all([
    kube.list(ShardClusters, { namespace }, { deadlineMs }),
    kube.list(Shards, { namespace }, { deadlineMs }),
    kube.list(ShardMigrations, { namespace }, { deadlineMs }),
  ]);
  return [...fleets.items, ...shards.items, ...migrations.items]
    .map(object => {
      const lines = object.status?.conditions?.map(
        ({ type, status, reason, message }) => `    ${type}=${status} ${reason}: ${message}`,
      );
      return [
        `${object.kind} ${object.metadata.name} (phase ${object.status?.phase}, generation ${object.metadata.generation})`,
        ...(lines ?? []),
      ].join('\n');
    })
    .join('\n');
}

async function pods(cluster: TestCluster, namespace: string): Promise<string> {
  const { items } = await cluster.kube.list(Pods, { namespace }, { deadlineMs });
  const shown = await Promise.all(
    items.map(async pod => {
      const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
      const line = `pod ${pod.metadata.name} on ${pod.spec?.nodeName}: ${pod.status?.phase}, ready=${ready}; ${containersOf(pod)}`;
      return ready || pod.status?.phase === 'Succeeded' ? line : `${line}\n${await logTail(cluster, pod)}`;
    }),
  );
  return shown.join('\n');
}

function containersOf(pod: Pod): string {
  return (pod.status?.containerStatuses ?? [])
    .map(({ name, restartCount, state }) => {
      const why = state?.waiting?.message ?? state?.waiting?.reason ?? state?.terminated?.reason;
      return `${name} ${Object.keys(state ?? {}).join()}${why ? ` (${why})` : ''}, ${restartCount} restarts`;
    })
    .join('; ');
}

async function logTail(cluster: TestCluster, pod: Pod): Promise<string> {
  const { name, namespace = 'default' } = pod.metadata;
  const container = pod.spec?.containers[0]?.name ?? '';
  const shown = await cluster.tryKubectl([
    'logs',
    `--namespace=${namespace}`,
    name,
    `--container=${container}`,
    '--tail=12',
    '--request-timeout=5s',
  ]);
  return indent(shown.stdout || shown.stderr);
}

async function events({ kube }: TestCluster, namespace: string): Promise<string> {
  const { items } = await kube.list(CoreEvents, { namespace }, { deadlineMs });
  const when = (event: (typeof items)[number]): string =>
    event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? '';
  return items
    .toSorted((a, b) => when(a).localeCompare(when(b)))
    .slice(-20)
    .map(event => `event ${when(event)} ${nameOf(event.involvedObject)} ${event.reason}: ${event.message}`)
    .join('\n');
}

function nameOf(involved: { kind?: string; name?: string }): string {
  return `${involved.kind}/${involved.name}`;
}

/** Lines of the operator that name the namespace, from each of its pods. */
async function operatorLog(cluster: TestCluster, namespace: string): Promise<string> {
  const operator = await findInstallation(cluster.kube);
  const { items } = await cluster.kube.list<Pod>(
    Pods,
    { namespace: operator.namespace, labelSelector: 'app.kubernetes.io/component=operator' },
    { deadlineMs },
  );
  const tails = await Promise.all(items.map(pod => linesAbout(cluster, pod, namespace)));
  return tails.join('\n');
}

async function linesAbout(cluster: TestCluster, pod: KubeObject, namespace: string): Promise<string> {
  const { name } = pod.metadata;
  const log = await cluster.tryKubectl([
    'logs',
    `--namespace=${pod.metadata.namespace}`,
    name,
    '--tail=4000',
    '--request-timeout=8s',
  ]);
  const lines = log.stdout
    .split('\n')
    .filter(line => line.includes(namespace) || line.includes('"level":60'));
  return `operator ${name}:\n${indent(lines.slice(-15).join('\n'))}`;
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, '    ');
}
