/**
 * What only a person can put right: each check is `(facts) => problem | undefined`. A problem stops what would follow from
 * the spec - nothing that runs is touched - and is shown as Stalled with what to write. Pure.
 */
import { markerOf } from '#controllers/shard-map/config-maps.ts';
import type { ShardMap } from '#sharding/map.ts';
import type { ClusterFacts } from './facts.ts';
import { surplus } from './retire.ts';

export interface Problem {
  /** CamelCase. */
  readonly reason: string;
  readonly message: string;
}

type Check = (facts: ClusterFacts) => Problem | undefined;

export function findProblem(facts: ClusterFacts): Problem | undefined {
  for (const check of CHECKS) {
    const problem = check(facts);
    if (problem) return problem;
  }
  return undefined;
}

const mapDamaged: Check = ({ map }) =>
  map.kind === 'Damaged'
    ? {
        reason: 'MapDamaged',
        message: `${map.message}: ${map.remedy}; it is never made anew, as that would misplace rows`,
      }
    : undefined;

/** The map was there: the status says so, or there are shards, which are only made after it. */
const mapLost: Check = ({ cluster, map, shards }) => {
  if (map.kind !== 'Absent' || (cluster.status?.map === undefined && shards.length === 0)) return undefined;
  const name = `${cluster.metadata.name}-map`;
  return {
    reason: 'MapLost',
    message: `ConfigMap ${name}, the head of the shard map, is gone: restore it from a backup; it is never made anew, as that would misplace rows`,
  };
};

const secretsLost: Check = ({ map, missingSecrets }) => {
  const [name] = missingSecrets;
  if (map.kind === 'Absent' || name === undefined) return undefined;
  return {
    reason: 'SecretLost',
    message: `Secret ${name} is gone or damaged, and its databases still depend on what was in it: restore it from a backup`,
  };
};

/**
 * Fewer shards are wanted, and too few are empty. `map`: once those that are empty have left. Stops nothing else: what the
 * spec says of the shards that there are still holds. While a migration is about to empty one nobody needs to act.
 */
export function cannotShrink({ cluster, migrations }: ClusterFacts, map: ShardMap): Problem | undefined {
  const { name } = cluster.metadata;
  const wanted = cluster.spec.shards;
  const count = surplus(map, wanted);
  if (count === 0 || migrations.emptying) return undefined;
  const inUse = map.shards.find(shard => migrations.shards.has(shard.name));
  const waits = inUse ? `; ${inUse.name} is in use by a ShardMigration that has not ended` : '';
  const [into, ...others] = [map.shards[0], ...map.shards.slice(-count)].map(shard => shard?.name ?? '');
  return {
    reason: 'ShardsCannotShrink',
    message:
      `spec.shards is ${wanted}, but ${map.shards.length} shards own keys or are in use${waits}: merge ${count} of them away ` +
      `with a ShardMigration (spec.cluster.name: ${name}, spec.merge.shards: [${[into, ...others].join(', ')}]), ` +
      `or set spec.shards to ${map.shards.length}`,
  };
}

/** Whoever was changing the map was taken away by force, half way through: only it knew what the other half is. */
export function changeLost({ cluster, migrations }: ClusterFacts, mark: string): Problem | undefined {
  const by = markerOf(mark);
  if (migrations.uids.has(by)) return undefined;
  return {
    reason: 'MapChangeLost',
    message:
      `the shard map is in the middle of a change by ShardMigration with uid ${by}, which is gone: ` +
      `restore the ConfigMaps ${cluster.metadata.name}-map and ${cluster.metadata.name}-map-* from a backup of before it; clients go on with the map they have`,
  };
}

const stateOfNoShard: Check = ({ cluster, map }) => {
  const present = map.kind === 'Present' ? map.stored.map.shards.map(shard => shard.ordinal) : [];
  // Those that are still to come follow the highest ordinal that was ever given out.
  const first = map.kind === 'Present' ? map.stored.map.nextOrdinal : 0;
  const missing = Math.max(0, cluster.spec.shards - present.length);
  const known = new Set([...present, ...Array.from({ length: missing }, (_, i) => first + i)]);
  const wrong = cluster.spec.shardStates.find(({ shard }) => !known.has(shard));
  return wrong && (map.kind === 'Present' || map.kind === 'Absent')
    ? {
        reason: 'NoSuchShard',
        message: `spec.shardStates names shard ${wrong.shard}, which there is not: the highest is ${Math.max(...known)}`,
      }
    : undefined;
};

const regionWithoutNodes: Check = ({ cluster, nodesByRegion }) => {
  const { regions, spread } = cluster.spec.placement;
  const empty = regions.find(
    ({ name, weight }) => (weight > 0 || spread === 'region') && !nodesByRegion.get(name),
  );
  if (!empty) return undefined;
  const known = [...nodesByRegion.keys()].toSorted().slice(0, 10);
  return {
    reason: 'RegionWithoutNodes',
    message:
      `no node has the label topology.kubernetes.io/region=${empty.name}: add one, or name another region in ` +
      `spec.placement.regions (nodes are in: ${known.length === 0 ? 'none' : known.join(', ')})`,
  };
};

const schemaMissing: Check = ({ schema }) =>
  schema.kind === 'Missing'
    ? { reason: 'SchemaMissing', message: `spec.schema: ${schema.message}` }
    : undefined;

const storageClassMissing: Check = ({ cluster, storageClassExists }) => {
  const name = cluster.spec.storage.storageClassName;
  return name === undefined || storageClassExists
    ? undefined
    : {
        reason: 'NoSuchStorageClass',
        message: `there is no StorageClass ${name}: create it, or name another one in spec.storage.storageClassName: shards that are there stay on theirs`,
      };
};

const CHECKS: readonly Check[] = [
  mapDamaged,
  mapLost,
  secretsLost,
  stateOfNoShard,
  regionWithoutNodes,
  storageClassMissing,
  schemaMissing,
];
