/** What each backup says of its shard: what a fleet needs to know before any of its databases is there to be asked. */
import type { Shard } from '#crds/api/shard.ts';
import type { ShardAbout } from '#engines/recovery.ts';

export function about({ spec }: Shard): ShardAbout {
  const { algorithm, keyType, slots } = spec.sharding;
  return {
    ordinal: spec.ordinal,
    ...(spec.region !== undefined && { region: spec.region }),
    algorithm,
    keyType,
    slots,
  };
}
