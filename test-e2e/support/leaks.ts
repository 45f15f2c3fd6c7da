/** After a fleet is deleted, nothing of it may stay: objects of every kind that the operator makes, by its label. */
import { madeResources } from '#controllers/caches.ts';
import { labels } from '#crds/api/names.ts';
import type { Resource } from '#kernel/resource.ts';
import { PersistentVolumeClaims, Pods } from '#kernel/resources.ts';
import { testCluster } from './cluster.ts';
import { eventually } from './wait.ts';

const kinds: readonly Resource[] = [...madeResources, Pods, PersistentVolumeClaims];

/** `Kind/name` of everything in the namespace that carries a fleet's label. */
export async function belongings(namespace: string, cluster?: string): Promise<string[]> {
  const { kube } = await testCluster();
  const labelSelector = cluster === undefined ? labels.cluster : `${labels.cluster}=${cluster}`;
  const lists = await Promise.all(kinds.map(kind => kube.list(kind, { namespace, labelSelector })));
  return lists
    .flatMap(({ items }) => items.map(({ kind, metadata }) => `${kind}/${metadata.name}`))
    .toSorted();
}

/** Resolves when nothing of the fleet is left but what `kept` says, which must be there; throws with what is. */
export async function onlyLeft(
  namespace: string,
  cluster: string | undefined,
  kept: readonly string[] = [],
): Promise<void> {
  let left: string[] = [];
  await eventually(
    `nothing left of ${cluster ?? 'any fleet'} but ${kept.join(', ') || 'nothing'}`,
    namespace,
    async () => {
      left = await belongings(namespace, cluster);
      if (left.join() === kept.toSorted().join()) return true;
      throw new Error(`there are ${left.join(', ')}`);
    },
  );
}
