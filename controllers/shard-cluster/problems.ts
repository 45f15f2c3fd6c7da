/**
 * What only a person can put right: each check is `(facts) => problem | undefined`. A problem stops what would follow from
 * the spec - nothing that runs is touched - and is shown as Stalled with what to write. Pure.
 */
import type { ClusterFacts } from './facts.ts';
import { nextOrdinal } from './map-from-spec.ts';

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

const notYetSupported: Check = ({ cluster }) =>
  cluster.spec.bootstrap?.recovery
    ? {
        reason: 'NotYetSupported',
        message:
          'spec.bootstrap.recovery is not supported yet: make the ShardCluster without it, and load the data',
      }
    : undefined;

const shardsLowered: Check = ({ cluster, map }) => {
  if (map.kind !== 'Present') return undefined;
  const count = nextOrdinal(map.stored.map);
  const { shards } = cluster.spec;
  if (shards >= count) return undefined;
  const name = cluster.metadata.name;
  const gone =
    count - shards === 1 ? `shard ${name}-${shards}` : `shards ${name}-${shards} to ${name}-${count - 1}`;
  return {
    reason: 'ShardsCannotShrink',
    message: `spec.shards is ${shards}, but there are ${count} and merging ${gone} away is not supported yet: set spec.shards to ${count}`,
  };
};

const stateOfNoShard: Check = ({ cluster }) => {
  const wrong = cluster.spec.shardStates.find(({ shard }) => shard >= cluster.spec.shards);
  return wrong
    ? {
        reason: 'NoSuchShard',
        message: `spec.shardStates names shard ${wrong.shard}, but spec.shards is ${cluster.spec.shards}: the highest is ${cluster.spec.shards - 1}`,
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
        message: `there is no StorageClass ${name}: create it, or name another one in a new ShardCluster (spec.storage.storageClassName is immutable)`,
      };
};

const CHECKS: readonly Check[] = [
  mapDamaged,
  mapLost,
  secretsLost,
  notYetSupported,
  shardsLowered,
  stateOfNoShard,
  regionWithoutNodes,
  storageClassMissing,
  schemaMissing,
];
