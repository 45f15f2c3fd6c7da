/**
 * Helps a fail-over with what is known for certain: frees the lock of a leader whose process has ended, as a Ready node says.
 * A controller of its own, because it must never wait behind a pass that is at work in a database which just died.
 */

import { byNode, byShard, type Caches, indexKey } from '#controllers/caches.ts';
import { labels } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { Engine } from '#engines/engine.ts';
import type { Reconcile } from '#kernel/controller.ts';
import type { EventRecorder } from '#kernel/events.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { KubeObject } from '#kernel/object.ts';
import { priorities } from '#kernel/queue.ts';
import type { StoreEvent } from '#kernel/reflector.ts';
import type { Node, Pod } from '#kernel/resources.ts';
import { type Request, type Source, toLabel, watching } from '#kernel/source.ts';
import { isHeld, shardOf } from './facts.ts';

export interface FailoverDeps {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly engine: (shard: Shard) => Engine;
  readonly events: EventRecorder;
}

export function failoverReconciler({ client, caches, engine, events }: FailoverDeps): Reconcile {
  return async (request, { signal, log }) => {
    const raw = caches.shards.get(request);
    if (!raw) return;
    const shard = shardOf(raw);
    if (isHeld(caches, shard)) return;
    const key = indexKey(request.namespace, request.name);
    const pods = caches.pods.byIndex(byShard, key);
    const nodes = pods.flatMap(pod => caches.nodes.get({ name: pod.spec?.nodeName ?? '' }) ?? []);
    const objects = { pods, endpoints: caches.endpoints.byIndex(byShard, key) };
    const patch = engine(shard).releaseDeadLeader(shard, objects, nodes);
    if (!patch) return;
    log.info({ object: patch.name }, 'freeing the lock of a leader whose process has ended');
    const { apiVersion, kind, name } = patch;
    // A conflict means that the cache is behind, or that the leader lives: it is looked at again in a moment.
    await client.patch(
      client.catalog.of({ apiVersion, kind, metadata: { name } }),
      patch,
      { type: 'merge', body: patch.body },
      { signal },
    );
    events.emit({
      regarding: raw,
      type: 'Warning',
      reason: 'LeaderEnded',
      action: 'ReleaseLock',
      note: 'the process of the primary has ended: its lock is free for a replica',
    });
  };
}

const priority = (): number => priorities.high;

/** Ends of processes, and nodes that become Ready: all that can make a leader's death certain. */
export function failoverSources(caches: Caches, engines: readonly Engine[]): readonly Source[] {
  const map = toLabel(labels.shard);
  const news = ({ type, old, object }: StoreEvent<KubeObject>): boolean =>
    type !== 'modified' || old === undefined || !engines.every(engine => engine.isHeartbeat(old, object));
  return [
    watching({
      reflector: caches.pods,
      map,
      priority,
      predicate: event => endedOf(event.object) && news(event),
    }),
    watching({ reflector: caches.endpoints, map, priority, predicate: news }),
    watching({
      reflector: caches.nodes,
      priority,
      predicate: ({ type, object, old }) => type === 'modified' && readiness(object) !== readiness(old),
      map: ({ object }) => caches.pods.byIndex(byNode, object.metadata.name).flatMap(requestsFor),
    }),
  ];
}

function endedOf(pod: Pod): boolean {
  return (
    pod.status?.containerStatuses?.some(
      ({ state, lastState }) => state?.terminated ?? lastState?.terminated,
    ) ?? false
  );
}

function readiness(node: Node | undefined): string | undefined {
  return node?.status?.conditions?.find(condition => condition.type === 'Ready')?.status;
}

function requestsFor(pod: Pod): readonly Request[] {
  const name = pod.metadata.labels?.[labels.shard];
  return name === undefined ? [] : [{ namespace: pod.metadata.namespace ?? '', name }];
}
