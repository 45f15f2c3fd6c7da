/**
 * The way forward, from nothing to cleaned up. Transfers copy side by side; all of them are compared before the first reader
 * switches, all readers have switched before the first writer does, and writers switch one transfer after another. Pure.
 */
import type { TransferFacts } from '#engines/migration.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { type ShardMap, shardByName } from '#sharding/map.ts';
import { missingBounds } from '#sharding/parts.ts';
import { decideKeeping } from './decide-keeping.ts';
import { type Action, act, type Decision, FAST_MS, stalled, stalledLooking, wait } from './decision.ts';
import { type Known, type MigrationFacts, nameOf, type TransferView } from './facts.ts';
import { readersMustWait, shardsMustWait, writersMustWait } from './gate.ts';
import { isClean, isPrepared } from './phase.ts';
import { describePlace } from './planning.ts';
import { blocking, preflightDue } from './preflight.ts';
import { switchReaders, switchWriters } from './switch-actions.ts';
import { nextSwitch, unclosedReaders } from './switches.ts';
import { comparing } from './verification.ts';

/** Checks that found an error are made again; those that found none hold for a while. */
const RECHECK_MS = 30_000;
const PREFLIGHT_AGE_MS = 600_000;

export function decideForward(facts: MigrationFacts, now: Date): Decision {
  const { map } = facts;
  if (!map) return wait('MapMissing', 'waiting for the shard map to be whole', FAST_MS);
  const makes = makeTarget(facts, map.map);
  if (makes) return makes;
  const known = knowAll(facts);
  if ('kind' in known) return known;
  if (known.every(({ transfer }) => isClean(transfer))) {
    const checks = decidePreflight(facts, now);
    if (checks) return checks;
  }
  return (
    copy(facts, known) ??
    comparing(
      facts,
      known.filter(({ view }) => view.owners?.write === 'source'),
      'forward',
      now,
    ) ??
    readers(facts, map.map, known, now) ??
    writers(facts, map.map, known, now) ??
    decideKeeping(facts, known, now)
  );
}

/** A move has its target made first. */
function makeTarget(
  { status: { newShard }, transfers }: MigrationFacts,
  map: ShardMap,
): Decision | undefined {
  if (!newShard) {
    const missing = transfers
      .flatMap(({ plan }) => [plan.source, plan.target])
      .find(name => !shardByName(map, name));
    return missing === undefined
      ? undefined
      : stalled(
          'ShardGone',
          `the shard map has no ${missing} any more: set spec.abort to undo what was begun`,
        );
  }
  const { name, ordinal } = newShard;
  if (shardByName(map, name)) return undefined;
  if (ordinal < map.nextOrdinal) {
    return stalled(
      'ShardGone',
      `${name} was removed from the shard map: delete this ShardMigration and make a new one`,
    );
  }
  return act('MakingShard', `making shard ${name}${describePlace(newShard)}`, {
    kind: 'AddShard',
    ...newShard,
  });
}

function knowAll(facts: MigrationFacts): readonly Known[] | Decision {
  const known: Known[] = [];
  for (const view of facts.transfers) {
    const { observed } = view;
    switch (observed.kind) {
      case 'Facts':
        known.push({ view, transfer: observed.facts });
        break;
      case 'Unreachable':
      case 'TargetToCome': {
        const why = shardsMustWait(facts, view);
        const message = observed.kind === 'Unreachable' ? observed.message : 'waiting for the new shard';
        return why
          ? wait(why.reason, why.message, FAST_MS * 2)
          : wait('ShardUnreachable', message, FAST_MS * 2);
      }
      case 'Gone': {
        const names = observed.ends.map(end => view.plan[end]).join(' and ');
        return stalled('ShardGone', `Shard ${names} was deleted: set spec.abort to clean up what is left`);
      }
    }
  }
  return known;
}

/** Nothing has been touched yet, and nothing will be while a check fails. */
function decidePreflight(facts: MigrationFacts, now: Date): Decision | undefined {
  const { status, transfers } = facts;
  for (const view of transfers) {
    const why = shardsMustWait(facts, view);
    if (why) return wait(why.reason, why.message, FAST_MS * 2);
  }
  const checks: Action = { kind: 'Preflight', transfers: transfers.map(({ plan }) => plan) };
  const [first, ...more] = blocking(facts);
  if (!first) {
    return preflightDue(status, now, PREFLIGHT_AGE_MS)
      ? act('Preflight', 'checking, before anything is touched', checks)
      : undefined;
  }
  const others = more.length > 0 ? ` (and ${more.length} more in status.preflight)` : '';
  const message = `${first.check}: ${first.message}. ${first.remedy}${others}`;
  return preflightDue(status, now, RECHECK_MS)
    ? stalledLooking('PreflightFailed', message, checks)
    : stalled('PreflightFailed', message);
}

/** Everything up to both streams being there; what is broken is made again. */
function copy(facts: MigrationFacts, known: readonly Known[]): Decision | undefined {
  const actions: Action[] = [];
  const doing: string[] = [];
  let copying = 0;
  for (const { view, transfer } of known) {
    if (view.owners?.write !== 'source') continue;
    const step = copyStep(facts, view, transfer);
    // The generations of the next switch follow from the map that this one makes: never two of them at once.
    if (step.switches) return act('SettingUp', `${nameOf(view)}: ${step.doing ?? ''}`, ...step.actions);
    if (step.copying) copying++;
    actions.push(...step.actions);
    if (step.doing !== undefined) doing.push(`${nameOf(view)}: ${step.doing}`);
  }
  const message = doing.join('; ').slice(0, 1000);
  if (actions.length > 0) return act('SettingUp', message, ...actions);
  return copying > 0 ? wait('Copying', message, FAST_MS) : undefined;
}

interface CopyStep {
  readonly actions: readonly Action[];
  readonly doing?: string;
  readonly copying?: boolean;
  /** Owners change. */
  readonly switches?: boolean;
}

function copyStep(facts: MigrationFacts, view: TransferView, transfer: TransferFacts): CopyStep {
  const { map } = facts;
  const { id } = view.plan;
  const { forward, back } = transfer;
  if (!isPrepared(transfer)) {
    return { actions: [{ kind: 'Prepare', transfer: id }], doing: 'preparing both shards' };
  }
  switch (forward.kind) {
    case 'Absent':
      return { actions: [{ kind: 'StartForward', transfer: id }], doing: 'starting the copy' };
    case 'Broken': {
      const doing = `copying again (${forward.reason}: ${forward.message})`;
      const change = view.owners?.read === 'target' && map && nextSwitch(map.map, view, 'read', 'source');
      // Nothing reads from a target that is about to be emptied.
      if (change)
        return {
          actions: switchReaders(view, change),
          doing: `giving reads back before ${doing}`,
          switches: true,
        };
      const why = `${forward.reason}: ${forward.message}`;
      const closing = unclosedReaders(facts, view, 'source');
      if (closing) return { actions: [{ kind: 'CloseReaders', transfer: id, change: closing }], doing };
      return { actions: [{ kind: 'DropForward', transfer: id, why }], doing };
    }
    case 'Copying': {
      const { rowsDone, rowsTotal } = forward;
      return { actions: [], doing: `${rowsDone} of ${rowsTotal} rows are copied`, copying: true };
    }
    case 'Streaming':
      return back.kind === 'Absent' || back.kind === 'Broken'
        ? { actions: [{ kind: 'StartBack', transfer: id }], doing: 'starting the stream back' }
        : { actions: [] };
    default:
      return assertNever(forward);
  }
}

function readers(
  facts: MigrationFacts,
  map: ShardMap,
  known: readonly Known[],
  now: Date,
): Decision | undefined {
  const bounds = missingBounds(
    map,
    known.map(({ view }) => view.plan.partition),
  );
  if (bounds.length > 0) {
    const message = `splitting ranges of the shard map at ${bounds.slice(0, 5).join(', ')}`;
    return act('SplittingRanges', message.slice(0, 1000), { kind: 'SplitRanges' });
  }
  for (const { view, transfer } of known) {
    const closing = unclosedReaders(facts, view, 'target');
    if (closing) {
      const message = `${nameOf(view)}: closing the old readers of ${view.plan.source}`;
      return act('SwitchingReads', message, {
        kind: 'CloseReaders',
        transfer: view.plan.id,
        change: closing,
      });
    }
    if (view.owners?.read !== 'source') continue;
    const why = readersMustWait({ facts, view, transfer, map, to: 'target', now });
    if (why) return wait(why.reason, why.message, FAST_MS);
    const change = nextSwitch(map, view, 'read', 'target');
    if (!change) continue;
    return act('SwitchingReads', `${nameOf(view)}: switching reads`, ...switchReaders(view, change));
  }
  return undefined;
}

function writers(
  facts: MigrationFacts,
  map: ShardMap,
  known: readonly Known[],
  now: Date,
): Decision | undefined {
  for (const { view, transfer } of known) {
    if (view.owners?.write !== 'source') continue;
    const why = writersMustWait({ facts, view, transfer, map, to: 'target', now });
    if (why) return wait(why.reason, why.message, FAST_MS);
    const change = nextSwitch(map, view, 'write', 'target');
    if (!change) continue;
    return act('SwitchingWrites', `${nameOf(view)}: switching writes`, ...switchWriters(facts, view, change));
  }
  return undefined;
}
