/**
 * How a shard's members are renewed: one at a time, replicas first, then a switchover, then the old primary. A healthy member
 * is only ever taken away while every other one is ready, so a rollout never turns one failure into an outage. Pure, and
 * re-derived from what the members are now: killing the operator between two steps changes nothing.
 */
import type { MemberFacts } from '#engines/engine.ts';
import type { Member } from './locked-out.ts';
import { podOrdinal } from './ordinal.ts';

export interface RolloutInput {
  readonly members: readonly Member[];
  /** spec.members. */
  readonly wanted: number;
  /** An acknowledged commit is on two members: only a synchronous one may take over. */
  readonly strong: boolean;
  readonly switchover: boolean;
  /** Long enough after the last change of settings: a member that wants no restart needs none. */
  readonly settled: boolean;
}

export type RolloutStep =
  /** Nothing is outdated. */
  | { readonly kind: 'Done' }
  | { readonly kind: 'Wait'; readonly why: string }
  /** Delete the pod; its StatefulSet makes it again from the newest template. */
  | { readonly kind: 'ReplacePod'; readonly member: MemberFacts }
  /** Restart the database's process in the running pod. */
  | { readonly kind: 'RestartMember'; readonly member: MemberFacts }
  | { readonly kind: 'Switchover'; readonly from: MemberFacts; readonly to: MemberFacts };

export function decideRollout(input: RolloutInput): RolloutStep {
  const { members, wanted } = input;
  const primary = members.find(member => member.role === 'primary');
  const surplusPrimary = primary !== undefined && isSurplus(primary, wanted);
  // One that is about to leave is not worth renewing.
  const stale = members.filter(member => isStale(member) && !isSurplus(member, wanted));
  if (stale.length === 0 && !surplusPrimary) return { kind: 'Done' };

  // Renewing what is down already costs nothing, and is the way out of a template that never became ready.
  const down = stale.find(member => member.outdated && !member.ready && member.role !== 'primary');
  if (down) return { kind: 'ReplacePod', member: down };
  // A lone member, or a shard without any that is ready, cannot be made worse either.
  const soleDown = stale.find(member => member.outdated && !member.ready);
  if (soleDown && members.every(member => !member.ready)) return { kind: 'ReplacePod', member: soleDown };

  if (!primary) return { kind: 'Wait', why: 'no member is primary' };
  const unready = members.filter(member => !member.ready && !isSurplus(member, wanted));
  if (unready.length > 0) return { kind: 'Wait', why: `${names(unready)} not ready` };
  const present = members.filter(member => !isSurplus(member, wanted)).length;
  if (present < wanted) return { kind: 'Wait', why: `${present} of ${wanted} members exist` };

  const replica = stale.filter(member => member !== primary).toSorted(asynchronousFirst)[0];
  if (replica) return renew(replica);
  return movePrimary(primary, input, surplusPrimary);
}

function movePrimary(primary: Member, input: RolloutInput, surplus: boolean): RolloutStep {
  const others = input.members.filter(
    member => member !== primary && member.ready && !isStale(member) && !isSurplus(member, input.wanted),
  );
  if (others.length === 0) {
    return surplus ? { kind: 'Wait', why: 'no member that stays is ready to take over' } : renew(primary);
  }
  if (!input.switchover) return renew(primary);
  // A replica that has not noticed the change yet would have to restart as the new primary.
  if (!input.settled && primary.pendingRestart && !primary.outdated) {
    return { kind: 'Wait', why: 'replicas may not have seen the new settings yet' };
  }
  const to = others.find(member => member.synchronous) ?? (input.strong ? undefined : others[0]);
  if (!to) return { kind: 'Wait', why: 'no replica is synchronous yet' };
  // It cannot hand over its lock, which has run out: when its process ends, the other one takes over by itself.
  if (primary.lockedOut) return renew(primary);
  return { kind: 'Switchover', from: primary, to };
}

function renew(member: MemberFacts): RolloutStep {
  return member.outdated ? { kind: 'ReplacePod', member } : { kind: 'RestartMember', member };
}

function isStale(member: MemberFacts): boolean {
  return member.outdated || member.pendingRestart;
}

function isSurplus(member: MemberFacts, wanted: number): boolean {
  return (podOrdinal(member.name) ?? 0) >= wanted;
}

/** The synchronous copy goes last: until then a failure of the primary loses nothing. */
function asynchronousFirst(left: MemberFacts, right: MemberFacts): number {
  return Number(left.synchronous) - Number(right.synchronous) || right.name.localeCompare(left.name);
}

function names(members: readonly MemberFacts[]): string {
  return members.map(member => member.name).join(', ');
}

/**
 * Replicas that the StatefulSet may have now. Members go from the highest ordinal down, so it stays up until the primary
 * is among those that stay.
 */
export function allowedReplicas(
  members: readonly MemberFacts[],
  wanted: number,
  current: number | undefined,
): number {
  if (current === undefined || current <= wanted) return wanted;
  const primary = members.find(member => member.role === 'primary');
  return primary !== undefined && !isSurplus(primary, wanted) ? wanted : current;
}
