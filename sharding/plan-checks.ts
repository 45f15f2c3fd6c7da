/** What is checked of shards and slots before they are planned with. Each refusal says what to write instead. Throws PlanError. */
import { PlanError } from './errors.ts';
import { type MapShard, type ShardMap, shardByName } from './map.ts';
import { ownerOrdinals, partitionOf } from './owners.ts';
import type { Partition, SlotRange } from './partition.ts';
import { isEmptyPartition, samePartition } from './parts.ts';

/** In order, neighbours joined. */
export function joined(map: ShardMap, ranges: readonly SlotRange[]): readonly SlotRange[] {
  if (ranges.length === 0)
    throw new PlanError('NothingToMove', 'no slots', 'Name at least one range of slots.');
  const result: SlotRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const { first, last } = range;
    if (!(first >= 0 && first <= last && last < map.slots)) {
      throw new PlanError(
        'NoSuchSlots',
        `the slots ${first}-${last}`,
        `Slots go from 0 to ${map.slots - 1}; write the lower end of a range as first.`,
      );
    }
    const before = result.at(-1);
    if (before && first <= before.last) {
      throw new PlanError(
        'OverlappingRanges',
        `the ranges ${before.first}-${before.last} and ${first}-${last} overlap`,
        'Name each slot once.',
      );
    }
    if (before && first === before.last + 1) result[result.length - 1] = { first: before.first, last };
    else result.push(range);
  }
  return result;
}

/** All that a shard owns. It is no shard to take from unless it is active, owns something, and readers agree with writers. */
export function owned(map: ShardMap, shard: MapShard): Partition {
  assertStable(map, shard);
  const own = partitionOf(map, shard.ordinal);
  if (!isEmptyPartition(own)) return own;
  throw new PlanError(
    'NothingToMove',
    `${shard.name} owns nothing`,
    'Leave it out: an empty shard goes when spec.shards is lowered.',
  );
}

export function assertStable(map: ShardMap, { name, ordinal, state }: MapShard): void {
  if (state !== 'active') {
    throw new PlanError(
      'ShardNotActive',
      `${name} is ${state}`,
      'Remove it from spec.shardStates of the ShardCluster first.',
    );
  }
  if (!samePartition(partitionOf(map, ordinal, 'write'), partitionOf(map, ordinal, 'read'))) {
    throw new PlanError(
      'ShardInTransition',
      `readers and writers of ${name} are at different shards: another migration is at it`,
      'Wait until that one has ended.',
    );
  }
}

export function assertDifferent(source: MapShard, target: MapShard): void {
  if (source !== target) return;
  throw new PlanError('NothingToMove', `from ${source.name} to itself`, 'Name two different shards.');
}

export function assertSameRegion(map: ShardMap, source: MapShard, target: MapShard): void {
  if (map.ownership.algorithm !== 'geo' || source.region === target.region) return;
  throw new PlanError(
    'OtherRegion',
    `${source.name} is in ${source.region ?? 'no region'}, ${target.name} in ${target.region ?? 'no region'}`,
    'Rows of a geo map never leave their region: choose shards of one region.',
  );
}

export function present(map: ShardMap, name: string): MapShard {
  const shard = shardByName(map, name);
  if (shard) return shard;
  const known = map.shards.slice(0, 10).map(each => each.name);
  const more = map.shards.length > known.length ? ', ...' : '';
  throw new PlanError('NoSuchShard', `there is no shard ${name}`, `Name one of: ${known.join(', ')}${more}.`);
}

/** Those that own nothing, neither for writers nor for readers, by ordinal. */
export function emptyShards(map: ShardMap): readonly MapShard[] {
  const [writers, readers] = [ownerOrdinals(map, 'write'), ownerOrdinals(map, 'read')];
  return map.shards.filter(({ ordinal }) => !writers.has(ordinal) && !readers.has(ordinal));
}

export function homeOfReferences({ name }: MapShard, remedy: string): PlanError {
  return new PlanError(
    'HomeOfReferenceTables',
    `${name} is the home of reference tables and cannot be given up`,
    remedy,
  );
}

export function notOwned(map: ShardMap, source: MapShard, ranges: readonly SlotRange[]): PlanError {
  const own = partitionOf(map, source.ordinal);
  const has =
    own.kind === 'slots' ? own.ranges : own.kind === 'regions' ? (own.regions[0]?.ranges ?? []) : [];
  const slot = ranges
    .flatMap(({ first, last }) => firstOutside(first, last, has))
    .find(candidate => candidate !== undefined);
  const shown = has.slice(0, 5).map(({ first, last }) => `${first}-${last}`);
  return new PlanError(
    'NotOwned',
    `${source.name} does not own slot ${slot}`,
    `It owns ${shown.join(', ')}${has.length > shown.length ? ', ...' : ''}.`,
  );
}

/** The lowest slot of a range that none of the sorted others has. */
function firstOutside(first: number, last: number, others: readonly SlotRange[]): number | undefined {
  let slot = first;
  for (const other of others) if (slot >= other.first && slot <= other.last) slot = other.last + 1;
  return slot <= last ? slot : undefined;
}
