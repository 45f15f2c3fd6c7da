/**
 * What each shard owned at the time that a fleet was brought back to. Shards are brought back to one time by their own clocks, so of
 * a migration's cutover one end may show more than the other: the decision record decides, unless the gainer had not yet got all
 * that was written before it - then the gainer can have taken no write either, and nothing is lost with the loser. Pure.
 */
import type { End } from '#engines/migration.ts';
import type { FoundShard, FoundTransfer } from '#engines/recovery.ts';
import { withoutPart, withPart } from '#sharding/arithmetic.ts';
import type { KeyType } from '#sharding/key.ts';
import type { Partition } from '#sharding/partition.ts';

export interface RecoveredShard {
  readonly ordinal: number;
  readonly found: FoundShard;
}

interface EndOf {
  readonly ordinal: number;
  readonly transfer: FoundTransfer;
}

/** By ordinal. `empty`: what a shard owns that was never told. */
export function claimsOf(
  shards: readonly RecoveredShard[],
  keyType: KeyType,
  empty: Partition,
): ReadonlyMap<number, Partition> {
  const claims = new Map(shards.map(({ ordinal, found }) => [ordinal, found.partition ?? empty]));
  const all = shards.flatMap(({ ordinal, found }) =>
    found.transfers.map((transfer): EndOf => ({ ordinal, transfer })),
  );
  for (const ends of Map.groupBy(all, ({ transfer }) => transfer.id).values()) {
    const owner = ownerOf(ends);
    for (const { ordinal, transfer } of ends) {
      const own = claims.get(ordinal) ?? empty;
      const { partition } = transfer;
      if (partition === undefined) continue;
      claims.set(
        ordinal,
        transfer.side === owner ? withPart(own, partition, keyType) : withoutPart(own, partition, keyType),
      );
    }
  }
  return claims;
}

/** Who has the writes of what a transfer moves. */
function ownerOf(ends: readonly EndOf[]): End {
  const decided = ends
    .flatMap(({ transfer }) => transfer.decision ?? [])
    .toSorted((a, b) => b.generation - a.generation)[0];
  if (!decided) return 'source';
  const gainer = ends.find(({ transfer }) => transfer.side === decided.writes)?.transfer;
  const { marker } = decided;
  // Without a journal the gainer has been cleaned up, long after; with the decision it was told of it.
  const arrived =
    gainer === undefined ||
    marker === undefined ||
    gainer.markers.includes(marker) ||
    (gainer.decision?.generation ?? 0) >= decided.generation;
  if (arrived) return decided.writes;
  return decided.writes === 'source' ? 'target' : 'source';
}
