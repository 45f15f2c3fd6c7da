/** What stands in the way of bringing a fleet back, though the store has all of it. Pure. */
import type { Problem } from '#controllers/shard-cluster/problems.ts';
import { clusterChildren } from '#crds/api/names.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { Choice, ChosenShard } from './choose.ts';
import type { RecoveryFacts } from './facts.ts';

/** What every backup says of its fleet, and the spec must say too. */
export function mismatch(cluster: ShardCluster, { shards }: Choice): Problem | undefined {
  const { sharding, engine } = cluster.spec;
  for (const { stanza, about, version } of shards) {
    const fields: readonly (readonly [string, string | number, string | number])[] = [
      ['engine.version', engine.version, version],
      ...(about
        ? ([
            ['sharding.algorithm', sharding.algorithm, about.algorithm],
            ['sharding.keyType', sharding.keyType, about.keyType],
            ['sharding.slots', sharding.slots, about.slots],
          ] as const)
        : []),
    ];
    const wrong = fields.find(([, wanted, stored]) => String(wanted) !== String(stored));
    if (wrong)
      return {
        reason: 'RecoveryFailed',
        message: `spec.${wrong[0]} is ${wrong[1]}, but the backups of ${stanza} are of ${wrong[2]}: make the ShardCluster anew with that`,
      };
  }
  return undefined;
}

/** A member that finds older data would be preferred to what came back. */
export function volumesInTheWay(
  cluster: ShardCluster,
  claims: RecoveryFacts['claims'],
  { shards }: Choice,
  firstClaim: (shard: ChosenShard) => string,
): Problem | undefined {
  const wanted = shards.map(firstClaim);
  const names = new Set(
    shards.map(({ ordinal }) => `data-${clusterChildren.shard(cluster.metadata.name, ordinal)}-`),
  );
  const others = [...claims].filter(
    ([name, { recoveredFor }]) =>
      names.has(name.replace(/[0-9]+$/, '')) &&
      !(wanted.includes(name) && recoveredFor === cluster.metadata.uid),
  );
  const [other] = others;
  if (!other) return undefined;
  return {
    reason: 'VolumesInTheWay',
    message:
      `${others.length} volumes of an earlier fleet of this name are still there, PersistentVolumeClaim ${other[0]} among them: ` +
      'delete them if their data may go, or make the ShardCluster under another name',
  };
}
