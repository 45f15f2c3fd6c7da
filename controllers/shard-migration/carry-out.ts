/**
 * Carries out the actions of a decision, one after the other. What must be remembered of one is written before the next begins; an
 * action that says stop ends the pass, and the next one decides anew.
 */

import { assertNever } from '#kernel/assert-never.ts';
import { preflight, verify } from './carry-out-looks.ts';
import { addShard, splitRanges } from './carry-out-map.ts';
import { recordPlan } from './carry-out-plan.ts';
import { fence, publish } from './carry-out-switch.ts';
import type { Action } from './decision.ts';
import { markOf } from './mark.ts';
import { emit, fleetOf, type Outcome, type Pass, planOf, sessionOf, uidOf } from './pass.ts';

/** Throws EngineError, CredentialsMissingError, KubeError and the map's errors: whatever was done stays done. */
export async function carryOut(pass: Pass, actions: readonly Action[]): Promise<void> {
  for (const action of actions) {
    pass.context.signal.throwIfAborted();
    pass.deps.onAction?.(action);
    if ((await carryOutOne(pass, action)) === 'Stop') return;
  }
}

async function carryOutOne(pass: Pass, action: Action): Promise<Outcome> {
  const { deps, raw, facts, context } = pass;
  const { log, signal } = context;
  switch (action.kind) {
    case 'Hold':
      pass.wrote(await deps.objects.setFinalizer(raw, true, signal));
      return undefined;
    case 'LetGo':
      return letGo(pass);
    case 'RecordPlan':
      return recordPlan(pass, action);
    case 'AddShard':
      return addShard(pass, action);
    case 'SplitRanges':
      return splitRanges(pass);
    case 'Preflight':
      return preflight(pass, action);
    case 'Verify':
      return verify(pass, action);
    case 'Prepare':
      log.info({ transfer: action.transfer }, 'preparing both shards of a transfer');
      await (await sessionOf(pass, action.transfer)).prepare();
      return undefined;
    case 'StartForward':
      log.info({ transfer: action.transfer }, 'starting a copy');
      await (await sessionOf(pass, action.transfer)).startForward();
      await pass.record(status => ({ ...status, copies: (status.copies ?? 0) + 1 }));
      return undefined;
    case 'StartBack':
      log.info({ transfer: action.transfer }, 'starting the stream back');
      await (await sessionOf(pass, action.transfer)).startBack();
      return undefined;
    case 'DropForward':
      log.warn({ transfer: action.transfer, why: action.why }, 'dropping a copy to make it again');
      emit(pass, 'Warning', 'CopyRestarted', 'DropForward', `copying again: ${action.why}`);
      if (await (await sessionOf(pass, action.transfer)).dropForward()) deps.metrics.copiesRestarted.inc();
      return undefined;
    case 'OpenReaders':
      log.info({ transfer: action.transfer, to: action.change.to }, 'letting the next readers in');
      await (await sessionOf(pass, action.transfer)).openReaders(action.change);
      return undefined;
    case 'CloseReaders':
      await (await sessionOf(pass, action.transfer)).closeReaders(action.change);
      return undefined;
    case 'CloseSuperseded':
      await (await sessionOf(pass, action.transfer)).closeSuperseded();
      return undefined;
    case 'MarkMap':
      await deps.maps.mark(fleetOf(facts), markOf(uidOf(facts), action), signal);
      return undefined;
    case 'UnmarkMap':
      await deps.maps.unmark(fleetOf(facts), action.mark, signal);
      return undefined;
    case 'Fence':
      return fence(pass, action);
    case 'Publish':
      return publish(pass, action);
    case 'Close':
      log.info({ ending: action.ending, why: action.why }, 'beginning to clean up');
      await pass.record(status => ({ ...status, ending: action.ending }));
      emit(pass, 'Normal', 'CleaningUp', 'Close', `cleaning up: ${action.why}`);
      return undefined;
    case 'CleanUp':
      return cleanUp(pass, action);
    default:
      return assertNever(action);
  }
}

async function letGo(pass: Pass): Promise<Outcome> {
  const { deps, raw, facts, context } = pass;
  const left = facts.transfers.flatMap(({ observed }) =>
    observed.kind === 'Facts'
      ? [...observed.facts.ends.source.traces, ...observed.facts.ends.target.traces]
      : [],
  );
  if (left.length > 0) emit(pass, 'Warning', 'LetGo', 'LetGo', `left behind: ${left.join(', ')}`);
  await deps.objects.setFinalizer(raw, false, context.signal);
  return 'Stop';
}

async function cleanUp(
  pass: Pass,
  { transfer, loser }: Action & { readonly kind: 'CleanUp' },
): Promise<Outcome> {
  const { facts, sessions, record } = pass;
  const plan = planOf(facts, transfer);
  // Where both are gone, so is everything that was in them.
  if (sessions.missing(plan).length > 1) return undefined;
  if (!(await (await sessions.of(plan)).cleanUp(loser))) return undefined;
  const { ending } = facts.status;
  if (ending === undefined) return undefined;
  await record(status => ({
    ...status,
    ...(status.transfers && {
      transfers: status.transfers.map(each => (each.id === transfer ? { ...each, phase: ending } : each)),
    }),
  }));
  return undefined;
}
