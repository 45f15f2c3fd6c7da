/**
 * Frees the lock of a leader that is certainly dead, so that a replica need not wait until the ttl has passed.
 *
 * What counts as certain: the container's end, reported by a node that is Ready, of the very process that held the lock. It is
 * that process when the pod's address is the one that the lock's holder wrote, and the lock was last renewed within the
 * container's life (both times come from the same node's clock). A Pod object that is gone proves nothing: its process may
 * run on. A newer container of the pod may hold the lock again: then the renewal is younger than the end, and nothing is done;
 * and if it renews while the patch is under way, resourceVersion lets the patch fail.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { MergePatch, ShardObjects } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Endpoints, Node, Pod } from '#kernel/resources.ts';
import { leaderOf } from './members.ts';
import { containers, store } from './names.ts';

/** Kubernetes reports whole seconds, rounded down. */
const ROUNDING_MS = 1000;

export function releaseDeadLeader(
  shard: Shard,
  objects: ShardObjects,
  nodes: readonly KubeObject[],
): MergePatch | undefined {
  const { name, namespace } = shard.metadata;
  const leader = leaderOf(shard, objects.endpoints);
  const lock: Endpoints | undefined = objects.endpoints.find(
    object => object.metadata.name === store.leader(name),
  );
  const pod: Pod | undefined = objects.pods.find(object => object.metadata.name === leader);
  const resourceVersion = lock?.metadata.resourceVersion;
  if (!lock || !pod || resourceVersion === undefined || namespace === undefined) return undefined;
  // With no other member nobody could take the lock, and the same pod comes back sooner with it.
  if (objects.pods.length < 2) return undefined;
  if (!nodes.some(node => node.metadata.name === pod.spec?.nodeName && isReady(node))) return undefined;
  if (!holderHasEnded(lock, pod)) return undefined;
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    namespace,
    name: store.leader(name),
    // The address stays until the next leader puts its own: clients are refused there at once, and the proxies, which take
    // in changes once a second, have one to take in instead of two.
    body: { metadata: { resourceVersion, annotations: { leader: null } } },
  };
}

function holderHasEnded(lock: Endpoints, pod: Pod): boolean {
  const address = lock.subsets?.[0]?.addresses?.[0]?.ip;
  if (address === undefined || address !== pod.status?.podIP) return false;
  const renewed = Date.parse(lock.metadata.annotations?.['renewTime'] ?? '');
  const status = pod.status?.containerStatuses?.find(container => container.name === containers.database);
  const ended = status?.state?.terminated ?? status?.lastState?.terminated;
  if (!ended?.startedAt || !ended.finishedAt) return false;
  // Comparisons with NaN are false: a time that cannot be read proves nothing.
  return Date.parse(ended.startedAt) <= renewed && renewed < Date.parse(ended.finishedAt) + ROUNDING_MS;
}

function isReady(node: Node): boolean {
  return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}
