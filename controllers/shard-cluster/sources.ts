/** What wakes the ShardCluster controller. Its shards' statuses are gathered for a moment, the longer the larger the fleet. */

import { withoutBackupFields } from '#controllers/backup-fields.ts';
import { byCluster, type Caches, indexKey, regionLabel } from '#controllers/caches.ts';
import { isMapPage } from '#controllers/shard-map/config-maps.ts';
import { QUIET_MS } from '#controllers/shard-migration/sources.ts';
import { throttled } from '#controllers/throttle.ts';
import { labels } from '#crds/api/names.ts';
import { InvalidObjectError } from '#crds/api/parse.ts';
import { sameJson } from '#kernel/canonical.ts';
import type { Clock } from '#kernel/clock.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { StoreEvent } from '#kernel/reflector.ts';
import { type Request, type Source, specChanged, toLabel, toSelf, watching } from '#kernel/source.ts';

import { clusterOf } from './facts.ts';
import { changesWriters, clusterNamed, migrationStage } from './migrations.ts';

/** Per shard of the fleet, and the most that a change of status waits before it is summed up. */
const GATHER_MS_PER_SHARD = 4;
const GATHER_MAX_MS = 1000;

export function clusterSources(caches: Caches, clock: Clock): readonly Source[] {
  const map = toLabel(labels.cluster);
  const all = (): readonly Request[] =>
    [...caches.shardClusters.values()].map(({ metadata }) => ({
      namespace: metadata.namespace ?? '',
      name: metadata.name,
    }));
  const gatherMs = ({ namespace, name }: Request): number =>
    Math.min(
      GATHER_MAX_MS,
      GATHER_MS_PER_SHARD * caches.shards.byIndex(byCluster, indexKey(namespace, name)).length,
    );
  return [
    watching({ reflector: caches.shardClusters, map: toSelf, predicate: specChanged }),
    throttled(watching({ reflector: caches.shards, map, predicate: beyondBackups }), clock, gatherMs),
    throttled(
      watching({ reflector: caches.configMaps, map, predicate: ({ object }) => isMapPage(object) }),
      clock,
      fleet => (changesWriters(caches.shardMigrations.values(), fleet) ? QUIET_MS : 0),
    ),
    watching({
      reflector: caches.shardMigrations,
      map: ({ object }) => {
        const name = clusterNamed(object);
        return name === undefined ? [] : [{ namespace: object.metadata.namespace ?? '', name }];
      },
      predicate: ({ type, object, old }) =>
        type !== 'modified' || !old || migrationStage(old) !== migrationStage(object),
    }),
    // How far a recovery is.
    watching({
      reflector: caches.jobs,
      map,
      predicate: ({ object }) => ['recover', 'catalog'].includes(object.metadata.labels?.[labels.task] ?? ''),
    }),
    watching({
      reflector: caches.backupPolicies,
      map: ({ object }) =>
        all().filter(key => {
          const cluster = caches.shardClusters.get(key);
          return (
            key.namespace === object.metadata.namespace &&
            cluster !== undefined &&
            waitsFor(cluster, object.metadata.name)
          );
        }),
      predicate: specChanged,
    }),
    // Where a spec was refused for want of a region or a class, its coming helps.
    watching({ reflector: caches.nodes, map: all, predicate: regionChanged }),
    watching({
      reflector: caches.storageClasses,
      map: all,
      predicate: ({ initial, type }) => !initial && type === 'added',
    }),
  ];
}

/** What is said of backups changes often in a large fleet, and is summed up by the BackupPolicy. */
function beyondBackups(event: StoreEvent<KubeObject>): boolean {
  const { type, object, old } = event;
  if (type !== 'modified' || !old || specChanged(event)) return true;
  return !sameJson(ownStatus(old), ownStatus(object));
}

function ownStatus({ status }: KubeObject): object {
  return typeof status === 'object' && status !== null ? withoutBackupFields(status) : {};
}

/** Whether a fleet is to come back with what that policy has stored, and has not yet. */
function waitsFor(raw: KubeObject, policy: string): boolean {
  try {
    const { spec, status } = clusterOf(raw);
    return spec.bootstrap?.recovery?.policy === policy && status?.map === undefined;
  } catch (error) {
    // It says so itself.
    if (error instanceof InvalidObjectError) return false;
    throw error;
  }
}

function regionChanged({ initial, type, object, old }: StoreEvent<KubeObject>): boolean {
  if (initial) return false;
  return type !== 'modified' || object.metadata.labels?.[regionLabel] !== old?.metadata.labels?.[regionLabel];
}
