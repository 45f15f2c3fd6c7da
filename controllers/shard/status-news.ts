/**
 * Whether a new status can wait. What others act on is written at once: a condition that turns, a phase, a new primary,
 * anything brought about in the database. Details - who of the members is how far, wordings, sizes - change several times
 * while members start; they are gathered for a moment, which spares most of a large fleet's status writes. Pure.
 */
import type { ShardStatus } from '#crds/api/shard.ts';
import { sameJson } from '#kernel/canonical.ts';

/** The most that a detail waits. */
export const DETAILS_WAIT_MS = 2000;

export function isNews(before: ShardStatus | undefined, after: ShardStatus): boolean {
  return before === undefined || !sameJson(essence(before), essence(after));
}

function essence(status: ShardStatus): object {
  const {
    members: _m,
    readyMembers: _r,
    lagBytes: _l,
    sizeBytes: _s,
    swept: _w,
    conditions = [],
    ...rest
  } = status;
  return { ...rest, conditions: conditions.map(({ type, status: holds }) => `${type}=${holds}`).toSorted() };
}
