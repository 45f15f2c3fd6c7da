/** The map of a fleet that came back, from what its shards knew of themselves. Logins of the lost fleet are of no use: generations go on from theirs. Pure. */

import { wantedTables } from '#controllers/shard-cluster/map-from-spec.ts';
import { nothingOf } from '#controllers/shard-cluster/partitions.ts';
import type { Problem } from '#controllers/shard-cluster/problems.ts';
import { clusterChildren } from '#crds/api/names.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { RecoveryReport } from '#engines/recovery.ts';
import { assembleMap } from '#sharding/assemble.ts';
import { splitRange } from '#sharding/change.ts';
import type { MapShard, ShardMap } from '#sharding/map.ts';
import type { Choice } from './choose.ts';
import { claimsOf } from './claims.ts';

const SHOWN = 5;

type Result = NonNullable<RecoveryReport['result']>;

/** `results`: of all chosen shards, by ordinal. */
export function recoveredMap(
  cluster: ShardCluster,
  choice: Choice,
  results: ReadonlyMap<number, Result>,
): ShardMap | Problem {
  const { sharding, bootstrap } = cluster.spec;
  const shards = choice.shards.map(({ ordinal, about }): MapShard => {
    const found = results.get(ordinal)?.found;
    return {
      name: clusterChildren.shard(cluster.metadata.name, ordinal),
      ordinal,
      ...(about?.region === undefined ? {} : { region: about.region }),
      generation: (found?.generation ?? 0) + 1,
      readerGeneration: (found?.readerGeneration ?? 0) + 1,
      state: 'active',
    };
  });
  const made = assembleMap({
    namespace: cluster.metadata.namespace ?? '',
    cluster: cluster.metadata.name,
    algorithm: sharding.algorithm,
    keyType: sharding.keyType,
    slots: sharding.slots,
    tables: wantedTables(cluster),
    shards,
    nextOrdinal: choice.nextOrdinal,
    claims: claimsOf(
      [...results].map(([ordinal, { found }]) => ({ ordinal, found })),
      sharding.keyType,
      nothingOf(sharding.algorithm, sharding.slots),
    ),
  });
  if (made.kind === 'Unsound') {
    const { problems } = made;
    const more = problems.length > SHOWN ? `; and ${problems.length - SHOWN} more` : '';
    const time = bootstrap?.recovery?.targetTime ?? 'the newest';
    return {
      reason: 'RecoveryFailed',
      message:
        `what came back is no whole fleet: ${problems.slice(0, SHOWN).join('; ')}${more}: a shard's backups do not reach ` +
        `${time}: make the ShardCluster anew with another spec.bootstrap.recovery.targetTime`,
    };
  }
  // Neighbours of one owner came back as one range: where the spec has a border, a range can be moved by itself again.
  const points = sharding.algorithm === 'range' ? (sharding.range?.splitPoints ?? []) : [];
  return { ...points.reduce((map, point) => splitRange(map, point), made.map), epoch: 1 };
}

export function isMap(made: ShardMap | Problem): made is ShardMap {
  return 'ownership' in made;
}
