/**
 * What wakes the ShardMigration controller: its own objects, and whatever of their fleet a migration may be waiting for. What goes
 * on inside the databases wakes nobody: that is looked at every second.
 */
import { type Caches } from '#controllers/caches.ts';
import { findCondition } from '#controllers/conditions.ts';
import { shardOf } from '#controllers/shard/facts.ts';
import { isMapPage } from '#controllers/shard-map/config-maps.ts';
import { throttled } from '#controllers/throttle.ts';
import { labels } from '#crds/api/names.ts';
import type { Clock } from '#kernel/clock.ts';
import type { KubeObject } from '#kernel/object.ts';
import { priorities } from '#kernel/queue.ts';
import type { StoreEvent } from '#kernel/reflector.ts';
import { type Request, type Source, specChanged, toSelf, watching } from '#kernel/source.ts';
import { ENDED } from './facts.ts';

/** From the mark of a map until after the rest that follows a change of writers: nobody needs to hear of one step of it. */
export const QUIET_MS = 2000;

export function migrationSources(caches: Caches, clock: Clock): readonly Source[] {
  /** Migrations of a fleet that have not ended. */
  const ofFleet = (namespace: string | undefined, cluster: unknown): readonly Request[] =>
    [...caches.shardMigrations.values()]
      .filter(raw => raw.metadata.namespace === namespace && clusterName(raw) === cluster && !hasEnded(raw))
      .map(({ metadata }) => ({ namespace: metadata.namespace ?? '', name: metadata.name }));
  const byLabel = ({ object }: StoreEvent<KubeObject>): readonly Request[] =>
    ofFleet(object.metadata.namespace, object.metadata.labels?.[labels.cluster]);
  return [
    watching({
      reflector: caches.shardMigrations,
      map: toSelf,
      predicate: specChanged,
      priority: () => priorities.high,
    }),
    // Another one that has a plan, ends or begins to wait is news for those that share a shard with it.
    watching({
      reflector: caches.shardMigrations,
      predicate: othersCare,
      map: ({ object }) =>
        ofFleet(object.metadata.namespace, clusterName(object)).filter(
          ({ name }) => name !== object.metadata.name,
        ),
    }),
    watching({
      reflector: caches.shardClusters,
      predicate: specChanged,
      map: ({ object }) => ofFleet(object.metadata.namespace, object.metadata.name),
    }),
    watching({ reflector: caches.shards, predicate: readinessChanged, map: byLabel }),
    throttled(
      watching({
        reflector: caches.configMaps,
        predicate: ({ object }) => isMapPage(object),
        map: byLabel,
      }),
      clock,
      () => QUIET_MS,
    ),
  ];
}

function othersCare({ type, object, old, initial }: StoreEvent<KubeObject>): boolean {
  if (initial) return false;
  return type !== 'modified' || old === undefined || outline(object) !== outline(old);
}

function outline(raw: KubeObject): string {
  const transfers = Array.isArray(statusField(raw, 'transfers'));
  return [hasEnded(raw), transfers, statusField(raw, 'waitingFor'), raw.metadata.deletionTimestamp]
    .map(String)
    .join();
}

function readinessChanged({ type, object, old }: StoreEvent<KubeObject>): boolean {
  if (type !== 'modified' || old === undefined) return true;
  return summary(object) !== summary(old);
}

function summary(raw: KubeObject): string {
  const shard = shardOf(raw);
  return `${findCondition(shard, 'Ready')?.status} ${shard.status?.schema?.hash} ${shard.spec.schema?.hash}`;
}

function hasEnded(raw: KubeObject): boolean {
  const phase = statusField(raw, 'phase');
  return typeof phase === 'string' && ENDED.has(phase);
}

function clusterName(raw: KubeObject): unknown {
  return fieldOf(fieldOf(raw['spec'], 'cluster'), 'name');
}

function statusField(raw: KubeObject, field: string): unknown {
  return fieldOf(raw['status'], field);
}

function fieldOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, field) : undefined;
}
