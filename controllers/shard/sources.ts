/** What wakes the Shard controller. Heartbeats of the engine do not; the end of a member's process does, before all else. */

import { byCluster, byShard, type Caches, indexKey } from '#controllers/caches.ts';
import { annotations, labels } from '#crds/api/names.ts';
import type { Engine } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import { priorities } from '#kernel/queue.ts';
import type { Reflector, StoreEvent } from '#kernel/reflector.ts';
import type { Pod } from '#kernel/resources.ts';
import { type Request, type Source, specChanged, toLabel, toSelf, watching } from '#kernel/source.ts';

export function shardSources(caches: Caches, engines: readonly Engine[]): readonly Source[] {
  const map = toLabel(labels.shard);
  const news = (event: StoreEvent<KubeObject>): boolean => {
    const { type, old, object } = event;
    return (
      type !== 'modified' || old === undefined || !engines.every(engine => engine.isHeartbeat(old, object))
    );
  };
  const hasMembers = ({ namespace, name }: Request): boolean =>
    caches.pods.byIndex(byShard, indexKey(namespace, name)).length > 0;
  const child = <T extends KubeObject>(reflector: Reflector<T>): Source =>
    watching({ reflector, map, predicate: drift });
  return [
    watching({ reflector: caches.shards, map: toSelf, predicate: specChanged }),
    watching({ reflector: caches.pods, map, predicate: news, priority: podPriority }),
    watching({ reflector: caches.endpoints, map, predicate: event => drift(event) && news(event) }),
    child(caches.statefulSets),
    // How far a rebuild is.
    watching({
      reflector: caches.jobs,
      map,
      predicate: ({ object }) => object.metadata.labels?.[labels.task] === 'recover',
    }),
    child(caches.configMaps),
    child(caches.services),
    // One that was made again has locked members out.
    watching({
      reflector: caches.serviceAccounts,
      map,
      predicate: event => drift(event) || map(event).some(hasMembers),
    }),
    child(caches.roles),
    child(caches.roleBindings),
    child(caches.disruptionBudgets),
    child(caches.networkPolicies),
    watching({
      reflector: caches.shardClusters,
      predicate: ({ object, old }) =>
        old !== undefined &&
        object.metadata.annotations?.[annotations.paused] !== old.metadata.annotations?.[annotations.paused],
      map: ({ object }) =>
        caches.shards
          .byIndex(byCluster, indexKey(object.metadata.namespace, object.metadata.name))
          .map(({ metadata }) => ({ namespace: metadata.namespace ?? '', name: metadata.name })),
    }),
  ];
}

/** What was added is what we have just made. */
function drift(event: StoreEvent<KubeObject>): boolean {
  return event.type !== 'added';
}

function podPriority({ type, object }: StoreEvent<Pod>): number {
  const ended = object.status?.containerStatuses?.some(status => status.state?.terminated !== undefined);
  return type === 'deleted' || object.metadata.deletionTimestamp !== undefined || ended === true
    ? priorities.high
    : priorities.normal;
}
