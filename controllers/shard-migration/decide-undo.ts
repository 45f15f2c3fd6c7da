/**
 * The way back, and cleaning up. Going back is going forward in a mirror: writers first, so that what is written lands in the old
 * place again, then readers, one transfer after another from the last to the first; then everything is removed. Pure.
 */

import type { MigrationEnding } from '#crds/api/migration/status.ts';
import { annotations } from '#crds/api/names.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { ShardMap } from '#sharding/map.ts';
import { wantsFinish } from './decide-keeping.ts';
import { type Action, act, type Decision, FAST_MS, stalled, wait } from './decision.ts';
import { type Known, type MigrationFacts, nameOf, type TransferView } from './facts.ts';
import { writersMustWait } from './gate.ts';
import { isClean } from './phase.ts';
import { switchReaders, switchWriters } from './switch-actions.ts';
import { nextSwitch, unclosedReaders } from './switches.ts';

export function decideUndo(facts: MigrationFacts, now: Date): Decision {
  const { map, transfers, status } = facts;
  if (!map) return wait('MapMissing', 'waiting for the shard map to be whole', FAST_MS);
  const views = transfers.toReversed();
  const known: Known[] = [];
  for (const view of views) {
    const { observed, owners } = view;
    switch (observed.kind) {
      case 'Facts':
        known.push({ view, transfer: observed.facts });
        break;
      case 'Unreachable':
        return wait('ShardUnreachable', `${nameOf(view)}: undoing waits: ${observed.message}`, FAST_MS * 2);
      case 'Gone':
        if (owners && owners.write === 'source' && owners.read === 'source') break;
        return stalled(
          'ShardGone',
          `${nameOf(view)}: a shard was deleted, so ownership cannot go back: annotate with ${annotations.letGo}=true and delete this ShardMigration to let it go`,
        );
      case 'TargetToCome':
        break;
      default:
        return assertNever(observed);
    }
  }
  const step = writersBack(facts, map.map, known, now) ?? readersBack(facts, map.map, known);
  if (step) return step;
  const decided =
    status.cutover?.time !== undefined || known.some(({ transfer }) => transfer.decided !== undefined);
  const ending = decided ? 'RolledBack' : 'Aborted';
  const why = facts.migration.spec.abort ? 'spec.abort is set' : 'the ShardMigration is being deleted';
  return act('Undoing', `undoing: ${why}`, { kind: 'Close', ending, why });
}

function writersBack(
  facts: MigrationFacts,
  map: ShardMap,
  known: readonly Known[],
  now: Date,
): Decision | undefined {
  for (const { view, transfer } of known) {
    if (view.owners?.write !== 'target') continue;
    const { back } = transfer;
    if (back.kind === 'Absent' || back.kind === 'Broken') {
      const all = known.every(each => each.view.owners?.write === 'target');
      if (all && wantsFinish(facts)) {
        const why = 'finished by a person: the stream back was lost';
        return act('Closing', `cleaning up: ${why}`, { kind: 'Close', ending: 'Completed', why });
      }
      return stalled(
        'CannotRollBack',
        `${nameOf(view)}: the stream back is lost, rolling back would lose what was written since the cutover: annotate with ${annotations.finish}=now to keep what is`,
      );
    }
    const why = writersMustWait({ facts, view, transfer, map, to: 'source', now });
    if (why) return wait(why.reason, `rolling back: ${why.message}`, FAST_MS);
    const change = nextSwitch(map, view, 'write', 'source');
    if (!change) continue;
    return act('RollingBack', `${nameOf(view)}: giving writes back`, ...switchWriters(facts, view, change));
  }
  return undefined;
}

function readersBack(facts: MigrationFacts, map: ShardMap, known: readonly Known[]): Decision | undefined {
  for (const { view } of known) {
    const closing = unclosedReaders(facts, view, 'source');
    if (closing) {
      const message = `${nameOf(view)}: closing the old readers of ${view.plan.target}`;
      return act('Undoing', message, { kind: 'CloseReaders', transfer: view.plan.id, change: closing });
    }
    if (view.owners?.read !== 'target') continue;
    // Writes are the source's, so its rows are the newest: nothing needs to catch up.
    const change = nextSwitch(map, view, 'read', 'source');
    if (!change) continue;
    return act('Undoing', `${nameOf(view)}: giving reads back`, ...switchReaders(view, change));
  }
  return undefined;
}

/** Removes all that is left, and the rows of whoever lost them. */
export function decideCleaning(facts: MigrationFacts, ending: MigrationEnding): Decision {
  const loser = ending === 'Completed' ? 'source' : 'target';
  const actions: Action[] = [];
  let unreachable: string | undefined;
  for (const view of facts.transfers) {
    if (isCleaned(view, ending)) continue;
    if (view.observed.kind === 'Unreachable') unreachable ??= `${nameOf(view)}: ${view.observed.message}`;
    else actions.push({ kind: 'CleanUp', transfer: view.plan.id, loser });
  }
  if (actions.length > 0) return act('CleaningUp', cleaningMessage(facts, loser), ...actions);
  if (unreachable !== undefined) {
    const leaving = facts.migration.metadata.deletionTimestamp !== undefined;
    const hint = leaving ? `; to let it go with what is left, annotate with ${annotations.letGo}=true` : '';
    return wait('ShardUnreachable', `cleaning up waits: ${unreachable}${hint}`, FAST_MS * 2);
  }
  return { kind: 'Done', phase: ending, reason: ending, message: endMessage(facts, ending) };
}

function isCleaned({ observed, plan }: TransferView, ending: MigrationEnding): boolean {
  switch (observed.kind) {
    case 'Facts':
      return isClean(observed.facts);
    case 'Gone':
      // Of a single database that is left nothing can be asked: what cleaning it said is kept.
      return observed.ends.length > 1 || plan.phase === ending;
    case 'TargetToCome':
      return true;
    case 'Unreachable':
      return false;
    default:
      return assertNever(observed);
  }
}

function cleaningMessage({ transfers }: MigrationFacts, loser: 'source' | 'target'): string {
  const names = new Set(transfers.map(({ plan }) => plan[loser]));
  return `removing what was made for the move, and the rows that ${[...names].join(', ')} lost`.slice(
    0,
    1000,
  );
}

function endMessage({ transfers, status }: MigrationFacts, ending: MigrationEnding): string {
  const what = status.operation ?? `${transfers.length} transfers`;
  switch (ending) {
    case 'Completed': {
      const stall = status.cutover?.writeStallMs;
      return `${what}: done${stall === undefined ? '' : `, writes waited ${stall} ms at most`}`;
    }
    case 'Aborted':
      return `${what}: aborted, nothing is left of it`;
    case 'RolledBack':
      return `${what}: rolled back, nothing is left of it`;
    default:
      return assertNever(ending);
  }
}
