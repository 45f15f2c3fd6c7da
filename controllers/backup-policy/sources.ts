/**
 * What wakes the controllers of backups. Meters speak every few seconds on every shard: what they say is gathered for a moment,
 * the longer the larger the fleet, so that a policy is looked at once for all of it.
 */
import { byPolicy, type Caches, indexKey } from '#controllers/caches.ts';
import { shardOf } from '#controllers/shard/facts.ts';
import { throttled } from '#controllers/throttle.ts';
import { annotations, labels } from '#crds/api/names.ts';
import type { Clock } from '#kernel/clock.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { StoreEvent } from '#kernel/reflector.ts';
import { type Request, type Source, specChanged, toLabel, toSelf, watching } from '#kernel/source.ts';

const GATHER_MS = 1000;
const GATHER_MS_PER_SHARD = 1;
const GATHER_MAX_MS = 4000;

export function backupPolicySources(caches: Caches, clock: Clock): readonly Source[] {
  const ofNamespace = (namespace: string | undefined): readonly Request[] =>
    [...caches.backupPolicies.values()]
      .filter(({ metadata }) => metadata.namespace === namespace)
      .map(({ metadata }) => ({ namespace: metadata.namespace ?? '', name: metadata.name }));
  const ofShard = (raw: KubeObject | undefined, namespace: string | undefined): readonly Request[] => {
    const policy = raw && shardOf(raw).status?.backup?.policy;
    return policy === undefined ? ofNamespace(namespace) : [{ namespace: namespace ?? '', name: policy }];
  };
  const ofChild = ({ object }: StoreEvent<KubeObject>): readonly Request[] => {
    const { namespace } = object.metadata;
    const name = object.metadata.labels?.[labels.shard];
    return name === undefined ? [] : ofShard(caches.shards.get({ namespace, name }), namespace);
  };
  const gatherMs = ({ namespace, name }: Request): number =>
    Math.min(
      GATHER_MAX_MS,
      GATHER_MS + GATHER_MS_PER_SHARD * caches.shards.byIndex(byPolicy, indexKey(namespace, name)).length,
    );
  const gathered = (source: Source): Source => throttled(source, clock, gatherMs);
  return [
    watching({ reflector: caches.backupPolicies, map: toSelf, predicate: specChanged }),
    // One that comes or goes changes what its neighbours have.
    watching({
      reflector: caches.backupPolicies,
      predicate: event => !event.initial && specChanged(event),
      map: ({ object }) => ofNamespace(object.metadata.namespace),
    }),
    watching({
      reflector: caches.shardClusters,
      predicate: specChanged,
      map: ({ object }) => ofNamespace(object.metadata.namespace),
    }),
    gathered(
      watching({
        reflector: caches.shards,
        predicate: shardMatters,
        // A policy that is gone too, as long as a Shard says that it is under it.
        map: ({ object }) => [
          ...ofShard(object, object.metadata.namespace),
          ...ofNamespace(object.metadata.namespace),
        ],
      }),
    ),
    gathered(watching({ reflector: caches.pods, predicate: reportChanged, map: ofChild })),
    gathered(watching({ reflector: caches.jobs, map: ofChild })),
  ];
}

/** Shards for which a drill is to be begun. */
export function drillSources(caches: Caches): readonly Source[] {
  return [
    watching({
      reflector: caches.shards,
      map: toSelf,
      predicate: ({ object, old }) => {
        const wanted = wantedDrill(object);
        return wanted !== undefined && (old === undefined || wantedDrill(old) !== wanted);
      },
    }),
    watching({
      reflector: caches.jobs,
      map: toLabel(labels.shard),
      predicate: ({ type, object }) =>
        type === 'deleted' && object.metadata.labels?.[labels.task] === 'drill',
    }),
  ];
}

function wantedDrill(raw: KubeObject): string | undefined {
  return shardOf(raw).status?.backup?.drill?.wanted;
}

function shardMatters(event: StoreEvent<KubeObject>): boolean {
  const { type, object, old } = event;
  if (type !== 'modified' || !old || specChanged(event)) return true;
  return shardOf(object).status?.primary !== shardOf(old).status?.primary;
}

function reportChanged({ type, object, old }: StoreEvent<KubeObject>): boolean {
  const now = object.metadata.annotations?.[annotations.report];
  if (type === 'deleted') return now !== undefined;
  return now !== old?.metadata.annotations?.[annotations.report];
}
