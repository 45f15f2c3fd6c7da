/** Moves for tests: with the generations that come next. */
import { type Move, settleMove } from '../change.ts';
import { type ShardMap, shardByName } from '../map.ts';
import type { SlotRange } from '../partition.ts';

export function move(map: ShardMap, { from, to, side, partition }: Omit<Move, 'generations'>): ShardMap {
  const next = (name: string): number => {
    const shard = shardByName(map, name);
    return 1 + ((side === 'write' ? shard?.generation : shard?.readerGeneration) ?? 0);
  };
  return settleMove(map, { from, to, side, partition, generations: { from: next(from), to: next(to) } });
}

/** {@link move} for the slots of a hash map. */
export function moveSlots(
  map: ShardMap,
  { ranges, ...rest }: Omit<Move, 'generations' | 'partition'> & { readonly ranges: readonly SlotRange[] },
): ShardMap {
  return move(map, { ...rest, partition: { kind: 'slots', slots: map.slots, ranges } });
}
