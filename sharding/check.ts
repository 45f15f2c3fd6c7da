/**
 * The invariants of a map. Arrays and sorted ranges rule out two owners by construction; what can still go wrong is an
 * owner that does not exist, a gap, or a region's rows on another region's shard.
 */
import { assertNever } from './assert-never.ts';
import { compareKeys, normalizeKey } from './key.ts';
import type { MapShard, Owners, ShardMap, SlotOwners } from './map.ts';

/** Every violation as one sentence; none for a sound map. */
export function checkMap(map: ShardMap): readonly string[] {
  const problems: string[] = [];
  const shards = new Map<number, MapShard>();
  const names = new Set<string>();
  for (const shard of map.shards) {
    if (shards.has(shard.ordinal)) problems.push(`two shards have ordinal ${shard.ordinal}`);
    if (names.has(shard.name)) problems.push(`two shards have name ${shard.name}`);
    shards.set(shard.ordinal, shard);
    names.add(shard.name);
  }
  if (map.shards.some((shard, i) => i > 0 && shard.ordinal <= (map.shards[i - 1]?.ordinal ?? -1))) {
    problems.push('the shards are not in the order of their ordinals');
  }
  const last = map.shards.at(-1)?.ordinal ?? -1;
  if (last >= map.nextOrdinal)
    problems.push(`ordinal ${last} was never given out: the next is ${map.nextOrdinal}`);
  problems.push(...checkOwners(map, shards));
  return problems;
}

function* checkOwners(map: ShardMap, shards: ReadonlyMap<number, MapShard>): Generator<string> {
  const { ownership } = map;
  switch (ownership.algorithm) {
    case 'hash':
      yield* checkSlots(ownership.owners, map.slots, shards);
      return;
    case 'geo':
      for (const [region, owners] of ownership.regions) yield* checkSlots(owners, map.slots, shards, region);
      return;
    case 'range': {
      const { ranges } = ownership;
      if (ranges.length === 0 || ranges[0]?.from !== undefined) yield 'the lowest keys have no owner';
      for (const [i, range] of ranges.entries()) {
        const before = ranges[i - 1]?.from;
        if (i > 0 && range.from === undefined) yield `range ${i} has no start`;
        if (
          before !== undefined &&
          range.from !== undefined &&
          compareKeys(before, range.from, map.keyType) >= 0
        ) {
          yield `range ${i} does not start after the one before it`;
        }
        yield* checkOwner(range, `range ${i}`, shards);
      }
      return;
    }
    case 'directory':
      yield* checkOwner(ownership.fallback, 'the default', shards);
      for (const [key, owners] of ownership.entries) {
        if (normalizeKey(key, map.keyType) !== key) yield `entry ${key} is not in canonical form`;
        yield* checkOwner(owners, `entry ${key}`, shards);
      }
      return;
    default:
      assertNever(ownership);
  }
}

/** Of a large map this is a million slots: nothing is allocated and nothing is looked up by hash for a slot that is in order. */
function* checkSlots(
  owners: SlotOwners,
  slots: number,
  shards: ReadonlyMap<number, MapShard>,
  region?: string,
): Generator<string> {
  const highest = shards.keys().reduce((max, ordinal) => Math.max(max, ordinal), -1);
  const allowed = new Uint8Array(highest + 1);
  for (const [ordinal, shard] of shards) {
    if (region === undefined || shard.region === region) allowed[ordinal] = 1;
  }
  for (const array of new Set([owners.write, owners.read])) {
    if (array.length !== slots) yield `${array.length} slots have owners instead of ${slots}`;
    for (let slot = 0; slot < array.length; slot++) {
      const ordinal = array[slot] ?? 0;
      if (allowed[ordinal] === 1) continue;
      const shard = shards.get(ordinal);
      yield shard === undefined
        ? `slot ${slot} belongs to shard ${ordinal}, which there is not`
        : `slot ${slot} of region ${region} belongs to ${shard.name} in ${shard.region ?? 'no region'}`;
      // One is enough: there may be a million.
      break;
    }
  }
}

function* checkOwner(owners: Owners, what: string, shards: ReadonlyMap<number, MapShard>): Generator<string> {
  for (const ordinal of new Set([owners.write, owners.read])) {
    if (!shards.has(ordinal)) yield `${what} belongs to shard ${ordinal}, which there is not`;
  }
}
