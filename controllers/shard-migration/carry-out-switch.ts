/** The switch of writes and the map's change: what writers wait for. */
import { timestamp } from '#kernel/conditions.ts';
import { settleMove } from '#sharding/change.ts';
import type { Action } from './decision.ts';
import { otherEnd, shardOfEnd } from './facts.ts';
import { markOf } from './mark.ts';
import { cut, emit, fleetOf, type Outcome, type Pass, planOf, sessionOf, uidOf } from './pass.ts';

/** For clients to open sessions under the next logins: dozens of them cost half a second on a busy machine. */
const leadMs = 750;

/**
 * What is left to do after a change of writers hurries nobody, but its sessions and requests would take the machine from the calls that have
 * waited. Whoever else looks at a changed map waits as well: see `QUIET_MS`.
 */
const REST_MS = 1000;

export async function fence(pass: Pass, action: Action & { readonly kind: 'Fence' }): Promise<Outcome> {
  const { deps, facts, context, record } = pass;
  const { transfer, change, limits } = action;
  const plan = planOf(facts, transfer);
  const names = `${shardOfEnd(plan, otherEnd(change.to))} -> ${shardOfEnd(plan, change.to)}`;
  const mark = markOf(uidOf(facts), action);
  context.log.info({ transfer, to: change.to }, 'switching writes');
  const coming = {
    [plan.source]: change.generations.source.to,
    [plan.target]: change.generations.target.to,
  };
  const result = await (await sessionOf(pass, transfer)).fence(change, limits, {
    opened: () => deps.maps.announce(fleetOf(facts), mark, coming, context.signal),
    leadMs,
    hindrance: () => deps.maps.hindrance(fleetOf(facts), mark, context.signal),
  });
  if (result.kind === 'Fenced') {
    const stallMs = result.stallMs + sinceDecided(pass, action);
    pass.fenced = { stallMs, atMs: deps.clock.monotonicMs() };
    return undefined;
  }
  await deps.maps.unmark(fleetOf(facts), mark, context.signal);
  deps.metrics.cutoversUndone.inc({ reason: result.reason });
  const lastUndone = cut(`${result.reason}: ${result.message}`);
  const lastUndoneTime = deps.clock.now().toISOString();
  await record(status => ({
    ...status,
    cutover: { ...status.cutover, tries: (status.cutover?.tries ?? 0) + 1, lastUndone, lastUndoneTime },
  }));
  emit(pass, 'Warning', 'CutoverUndone', 'Fence', `${names}: ${lastUndone}`);
  return 'Stop';
}

export async function publish(pass: Pass, action: Action & { readonly kind: 'Publish' }): Promise<Outcome> {
  const { deps, facts, context, record } = pass;
  const { transfer, change } = action;
  const plan = planOf(facts, transfer);
  const [from, to] = [otherEnd(change.to), change.to];
  const move = {
    partition: plan.partition,
    from: shardOfEnd(plan, from),
    to: shardOfEnd(plan, to),
    side: change.side,
    generations: { from: change.generations[from].to, to: change.generations[to].to },
  };
  let visibleAtMs: number | undefined;
  const map = await deps.maps.publish(fleetOf(facts), {
    by: markOf(uidOf(facts), action),
    change: current => settleMove(current, move),
    visible: () => {
      visibleAtMs = deps.clock.monotonicMs();
    },
    signal: context.signal,
  });
  const { fenced } = pass;
  pass.fenced = undefined;
  context.log.info({ epoch: map.epoch, side: change.side, to: move.to }, 'published the map');
  if (change.side === 'read') {
    emit(pass, 'Normal', 'ReadsSwitched', 'Publish', `reads go to ${move.to} now, epoch ${map.epoch}`);
    return undefined;
  }
  // Writers wait until they can know of the new owner.
  const stallMs =
    fenced && Math.ceil(fenced.stallMs + (visibleAtMs ?? deps.clock.monotonicMs()) - fenced.atMs);
  const time = timestamp(deps.clock.now());
  await record(status => ({
    ...status,
    cutover: {
      ...status.cutover,
      time,
      epoch: map.epoch,
      ...(stallMs === undefined
        ? {}
        : { writeStallMs: Math.max(stallMs, status.cutover?.writeStallMs ?? 0) }),
    },
  }));
  if (stallMs !== undefined) deps.metrics.writeStall.observe(stallMs / 1000);
  const stall = stallMs === undefined ? '' : `, they waited ${stallMs} ms`;
  emit(
    pass,
    'Normal',
    'WritesSwitched',
    'Publish',
    `writes go to ${move.to} now, epoch ${map.epoch}${stall}`,
  );
  pass.restMs = REST_MS;
  return 'Stop';
}

/** How long writers have been waiting already for somebody to finish what an earlier pass decided. */
function sinceDecided(
  { deps, facts }: Pass,
  { transfer, change }: Action & { readonly kind: 'Fence' },
): number {
  const observed = facts.transfers.find(({ plan }) => plan.id === transfer)?.observed;
  if (observed?.kind !== 'Facts') return 0;
  const { decided, writes } = observed.facts;
  if (!decided || writes !== change.to) return 0;
  return Math.max(0, deps.clock.now().getTime() - Date.parse(decided.at));
}
