/**
 * What an operation means on a map, as a list of transfers: each moves one partition from one shard to another. Pure, and made
 * once: what comes out is carried out as it is, whatever the map says later. An operation that cannot be is a PlanError that
 * says what to write instead.
 */
import { assertNever } from './assert-never.ts';
import { PlanError } from './errors.ts';
import type { Key } from './key.ts';
import type { MapShard, ShardMap } from './map.ts';
import { ownersOf } from './owners.ts';
import type { Partition, SlotRange } from './partition.ts';
import { dividePartition, dividePartitionAt, samePartition } from './parts.ts';
import {
  assertDifferent,
  assertSameRegion,
  assertStable,
  emptyShards,
  homeOfReferences,
  joined,
  notOwned,
  owned,
  present,
} from './plan-checks.ts';

export type Operation =
  /** Into so many shards, itself included: evenly, or of a range map at these keys, one fewer. */
  | { readonly kind: 'split'; readonly shard: string; readonly into: number; readonly at?: readonly Key[] }
  /** `into` is one of them; the first if absent. */
  | { readonly kind: 'merge'; readonly shards: readonly string[]; readonly into?: string }
  /** All of a shard to `to`, an empty shard of the map. */
  | { readonly kind: 'move'; readonly shard: string; readonly to: string }
  /** Of a geo map: slots of the region that both shards are in. */
  | {
      readonly kind: 'slots';
      readonly from: string;
      readonly to: string;
      readonly ranges: readonly SlotRange[];
    };

export interface PlanContext {
  /** Shards by name that other operations count on: they are no targets of a split. */
  readonly reserved: ReadonlySet<string>;
  /** ShardCluster.spec.shards: a merge needs room below the present count. */
  readonly wantedShards: number;
}

/** What engines/migration.ts calls a transfer, less its name. Shards by name. */
export interface PlannedTransfer {
  readonly source: string;
  readonly target: string;
  readonly partition: Partition;
  /** The partition is all that the source owns. */
  readonly whole: boolean;
  /** The target owns nothing, and no other transfer of the plan brings it anything. */
  readonly targetEmpty: boolean;
}

/** Throws PlanError. */
export function planTransfers(
  map: ShardMap,
  operation: Operation,
  context: PlanContext,
): readonly PlannedTransfer[] {
  switch (operation.kind) {
    case 'split':
      return planSplit(map, operation, context);
    case 'merge':
      return planMerge(map, operation.shards, operation.into ?? operation.shards[0] ?? '', context);
    case 'move':
      return planMove(map, operation.shard, operation.to);
    case 'slots':
      return planSlots(map, operation.from, operation.to, operation.ranges);
    default:
      return assertNever(operation);
  }
}

function planSplit(
  map: ShardMap,
  { shard: name, into, at }: Operation & { readonly kind: 'split' },
  context: PlanContext,
): PlannedTransfer[] {
  if (!Number.isInteger(into) || into < 2) {
    throw new PlanError(
      'TooFewParts',
      `a split into ${into}`,
      'Split into 2 or more: the shard itself counts.',
    );
  }
  if (at && at.length !== into - 1) {
    throw new PlanError(
      'TooFewParts',
      `a split into ${into} at ${at.length} keys`,
      `Split it into ${at.length + 1}, or at ${into - 1} keys.`,
    );
  }
  const source = present(map, name);
  const own = owned(map, source);
  const parts = at ? dividePartitionAt(map, source, own, at) : dividePartition(map, source, own, into);
  const free = emptyShards(map).filter(
    shard =>
      shard !== source &&
      shard.state === 'active' &&
      !context.reserved.has(shard.name) &&
      (map.ownership.algorithm !== 'geo' || shard.region === source.region),
  );
  const lacking = into - 1 - free.length;
  if (lacking > 0) throw noEmptyShard(map, source, lacking, context);
  return parts.slice(1).map((partition, i) => ({
    source: name,
    target: free[i]?.name ?? '',
    partition,
    whole: false,
    targetEmpty: true,
  }));
}

function planMerge(
  map: ShardMap,
  names: readonly string[],
  intoName: string,
  { wantedShards }: PlanContext,
): PlannedTransfer[] {
  const shards = [...new Set(names)].map(name => present(map, name));
  if (shards.length < 2) {
    throw new PlanError('TooFewParts', 'a merge of one shard', 'Name two or more different shards.');
  }
  const into = present(map, intoName);
  if (!shards.includes(into)) {
    throw new PlanError(
      'NoSuchShard',
      `${intoName} is not among the shards to merge`,
      'Let merge.into be one of merge.shards.',
    );
  }
  const sources = shards.filter(shard => shard !== into);
  const home = sources.find(({ ordinal }) => ordinal === 0);
  if (home) throw homeOfReferences(home, `Merge the others into it: merge.into: ${home.name}.`);
  const room = map.shards.length - sources.length;
  if (wantedShards > room) {
    throw new PlanError(
      'ShardsNotLowered',
      `spec.shards is ${wantedShards}, and the merge leaves ${room}`,
      `In the ShardCluster, set spec.shards to ${room}.`,
    );
  }
  assertStable(map, into);
  const targetEmpty = sources.length === 1 && emptyShards(map).includes(into);
  return sources.map(source => {
    assertSameRegion(map, source, into);
    return {
      source: source.name,
      target: into.name,
      partition: owned(map, source),
      whole: true,
      targetEmpty,
    };
  });
}

function planMove(map: ShardMap, name: string, to: string): PlannedTransfer[] {
  const [source, target] = [present(map, name), present(map, to)];
  if (source.ordinal === 0) {
    throw homeOfReferences(
      source,
      'Move what it owns instead, with slots, and let it stay empty where it is.',
    );
  }
  assertDifferent(source, target);
  assertSameRegion(map, source, target);
  const partition = owned(map, source);
  if (!emptyShards(map).includes(target)) {
    throw new PlanError('TargetNotEmpty', `${to} owns keys`, 'Move a shard to an empty one.');
  }
  return [{ source: name, target: to, partition, whole: true, targetEmpty: true }];
}

function planSlots(map: ShardMap, from: string, to: string, ranges: readonly SlotRange[]): PlannedTransfer[] {
  const { algorithm } = map.ownership;
  if (algorithm !== 'hash' && algorithm !== 'geo') {
    throw new PlanError(
      'NotWithThisAlgorithm',
      `a ${algorithm} map does not place keys by slot`,
      'Use split, merge or move.',
    );
  }
  const [source, target] = [present(map, from), present(map, to)];
  assertDifferent(source, target);
  assertSameRegion(map, source, target);
  const sorted = joined(map, ranges);
  const partition: Partition =
    algorithm === 'hash'
      ? { kind: 'slots', slots: map.slots, ranges: sorted }
      : { kind: 'regions', slots: map.slots, regions: [{ region: source.region ?? '', ranges: sorted }] };
  const own = owned(map, source);
  assertStable(map, target);
  const stranger = [...ownersOf(map, partition).write].find(ordinal => ordinal !== source.ordinal);
  if (stranger !== undefined) throw notOwned(map, source, sorted);
  const targetEmpty = emptyShards(map).includes(target);
  return [{ source: from, target: to, partition, whole: samePartition(partition, own), targetEmpty }];
}

function noEmptyShard(
  map: ShardMap,
  source: MapShard,
  lacking: number,
  { wantedShards }: PlanContext,
): PlanError {
  const where = map.ownership.algorithm === 'geo' ? ` in region ${source.region ?? ''}` : '';
  const count = map.shards.length + lacking;
  return new PlanError(
    'NoEmptyShard',
    `the split needs ${lacking} more empty ${lacking === 1 ? 'shard' : 'shards'}${where}`,
    wantedShards >= count
      ? `Wait until the fleet has its ${wantedShards} shards${where ? `, and see that placement puts them${where}` : ''}.`
      : `In the ShardCluster, set spec.shards to ${count}${where ? `, and see that placement puts the new ones${where}` : ''}.`,
  );
}
