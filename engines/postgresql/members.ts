/** What the cluster's objects say of a shard's members. Pure; nothing here asks a database. */
import type { Shard } from '#crds/api/shard.ts';
import type { MemberFacts, MemberRole, ShardObjects } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Pod, StatefulSet } from '#kernel/resources.ts';
import { patroni, store } from './names.ts';

/** What Patroni says of itself in an annotation of its pod. It is another program's text: every field may be missing. */
interface PatroniStatus {
  readonly timeline?: unknown;
  readonly pending_restart?: unknown;
}

export function members(shard: Shard, objects: ShardObjects): readonly MemberFacts[] {
  const { name } = shard.metadata;
  const leader = annotation(objects, store.leader(name), 'leader');
  // Who is synchronous is only known as long as the primary that said so is still the primary.
  const standbys =
    leader !== undefined && annotation(objects, store.sync(name), 'leader') === leader
      ? (annotation(objects, store.sync(name), 'sync_standby') ?? '').split(',')
      : [];
  return objects.pods
    .map(object => memberFacts(object, leader, standbys, newestRevision(objects.statefulSet)))
    .toSorted((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

/** The pod that the lock names. */
export function leaderOf(shard: Shard, endpoints: readonly KubeObject[]): string | undefined {
  return annotation({ endpoints }, store.leader(shard.metadata.name), 'leader') || undefined;
}

function memberFacts(
  pod: Pod,
  leader: string | undefined,
  standbys: readonly string[],
  revision: string | undefined,
): MemberFacts {
  const { name } = pod.metadata;
  const status = patroniStatus(pod);
  const podIP = pod.status?.podIP;
  const nodeName = pod.spec?.nodeName;
  return {
    name,
    role: roleOf(pod, leader),
    ready: pod.metadata.deletionTimestamp === undefined && isReady(pod),
    synchronous: name !== leader && standbys.includes(name),
    outdated: revision !== undefined && pod.metadata.labels?.['controller-revision-hash'] !== revision,
    pendingRestart: status.pending_restart === true,
    ...(typeof status.timeline === 'number' && { timeline: status.timeline }),
    ...(podIP !== undefined && { podIP }),
    ...(nodeName !== undefined && { nodeName }),
  };
}

/** The lock decides; the label is what a member last said of itself and may be stale. */
function roleOf(pod: Pod, leader: string | undefined): MemberRole {
  if (pod.metadata.name === leader) return 'primary';
  return pod.metadata.labels?.[patroni.roleLabel] === patroni.replica ? 'replica' : 'unknown';
}

function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}

/** Undefined until the StatefulSet's controller has seen its newest template. */
function newestRevision(object: KubeObject | undefined): string | undefined {
  const { metadata, status } = (object ?? {}) as Partial<StatefulSet>;
  if (status?.observedGeneration !== metadata?.generation) return undefined;
  return status?.updateRevision;
}

function annotation(
  { endpoints }: Pick<ShardObjects, 'endpoints'>,
  name: string,
  key: string,
): string | undefined {
  return endpoints.find(object => object.metadata.name === name)?.metadata.annotations?.[key];
}

function patroniStatus(pod: Pod): PatroniStatus {
  const text = pod.metadata.annotations?.[patroni.statusAnnotation];
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
