/**
 * Changes of the map that follow from the plan alone and give nobody anything else: they are marked, as they lie in several pages,
 * and come to the same from the map before, from the one after, and from any mixture of both.
 */
import { addShards, splitRangesFor } from '#sharding/change.ts';
import { type ShardMap, shardByName } from '#sharding/map.ts';
import { missingBounds } from '#sharding/parts.ts';
import type { Action } from './decision.ts';
import { markOfPlanned, type PlannedChange } from './mark.ts';
import { cut, emit, fleetOf, type Outcome, type Pass, uidOf } from './pass.ts';
import { describePlace } from './planning.ts';

/** A new shard is in one page and its ordinal, which nobody may use again, in another. */
export async function addShard(
  pass: Pass,
  { kind, name, ordinal, ...place }: Action & { readonly kind: 'AddShard' },
): Promise<Outcome> {
  const { region } = place;
  pass.context.log.info({ shard: name, ...place }, 'adding a shard to the map');
  await change(pass, kind, map => {
    if (shardByName(map, name)) return map;
    const { nextOrdinal } = map;
    const free = { ...map, nextOrdinal: Math.min(nextOrdinal, ordinal) };
    const wider = addShards(free, [{ name, ordinal, ...(region === undefined ? {} : { region }) }]);
    return { ...wider, nextOrdinal: Math.max(nextOrdinal, wider.nextOrdinal) };
  });
  emit(pass, 'Normal', 'ShardAdded', kind, `shard ${name} is being made${describePlace(place)}`);
  return undefined;
}

/**
 * Before any owner changes, and on its own: what is split off has its range's owners, whichever of the two splits of a part in the
 * middle is seen first. Together with owners a mixture could not be told apart from another plan.
 */
export async function splitRanges(pass: Pass): Promise<Outcome> {
  const { map, status } = pass.facts;
  const partitions = (status.transfers ?? []).map(({ partition }) => partition);
  const at = map ? missingBounds(map.map, partitions) : [];
  pass.context.log.info({ at }, 'splitting ranges of the map');
  await change(pass, 'SplitRanges', current => splitRangesFor(current, partitions));
  emit(
    pass,
    'Normal',
    'RangesSplit',
    'SplitRanges',
    cut(`the shard map has ranges from ${at.join(', ')} now`),
  );
  return undefined;
}

async function change(
  { deps, facts, context: { signal } }: Pass,
  kind: PlannedChange,
  to: (map: ShardMap) => ShardMap,
): Promise<void> {
  const by = markOfPlanned(uidOf(facts), kind);
  await deps.maps.mark(fleetOf(facts), by, signal);
  await deps.maps.publish(fleetOf(facts), { by, change: to, signal });
}
