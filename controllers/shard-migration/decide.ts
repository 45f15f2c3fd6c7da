/**
 * What to do next for a migration, as data (docs/adr/0003-moving-data.md): from the objects, the map and what both databases of
 * each transfer say, never from what an earlier pass believed. A dry run and a real run decide alike. Pure.
 *
 * The order of the questions is the order of safety: first what has been decided in a database and is not in the map yet is
 * finished, whatever else is wanted; then cleaning up or undoing goes on, then the way forward.
 */
import { findCondition } from '#controllers/conditions.ts';
import type { ShardMigrationStatus } from '#crds/api/migration/status.ts';
import { annotations, isPaused } from '#crds/api/names.ts';
import { mustWaitFor, reservedShards } from './busy.ts';
import { decideForward } from './decide-forward.ts';
import { decideCleaning, decideUndo } from './decide-undo.ts';
import { type Action, act, type Decision, FAST_MS, type Plan, SLOW_MS, stalled, wait } from './decision.ts';
import { FINALIZER, type MigrationFacts, nameOf } from './facts.ts';
import { namedShards } from './in-use.ts';
import { isMarkOf, readMark, readPlanned } from './mark.ts';
import { planMigration } from './planning.ts';
import { blocking, preflightDue } from './preflight.ts';
import { switchWriters } from './switch-actions.ts';
import { undecidedSwitch } from './switches.ts';

/** A dry run of a fleet that changes is worth a new look now and then. */
const DRY_RUN_AGE_MS = 300_000;

export function decideMigration(facts: MigrationFacts, now: Date): Decision {
  const { migration, status, cluster } = facts;
  const { metadata, spec } = migration;
  const ended = endedAs(status);
  if (ended) {
    return metadata.finalizers?.includes(FINALIZER)
      ? act('LettingGo', ended.message, { kind: 'LetGo' })
      : ended;
  }
  const planned = status.transfers !== undefined;
  const leaving = metadata.deletionTimestamp !== undefined;
  if (leaving && (!planned || metadata.annotations?.[annotations.letGo] === 'true')) {
    const message = planned ? 'let go, with what is left of it in the databases' : 'nothing was touched';
    return act('LettingGo', message, { kind: 'LetGo' });
  }
  if (!cluster || (status.clusterUid !== undefined && status.clusterUid !== cluster.metadata.uid)) {
    return planned
      ? {
          kind: 'Done',
          phase: 'Failed',
          reason: 'ClusterGone',
          message: `ShardCluster ${spec.cluster.name} was deleted while data was being moved`,
        }
      : stalled(
          'NoSuchCluster',
          `there is no ShardCluster ${spec.cluster.name}: create it, or delete this ShardMigration`,
        );
  }
  return planned ? decidePlanned(facts, now) : decideUnplanned(facts, now);
}

/** Nothing happens any more; the conditions stay. */
function endedAs(status: ShardMigrationStatus): (Decision & { readonly kind: 'Done' }) | undefined {
  const { phase } = status;
  if (phase !== 'Completed' && phase !== 'Aborted' && phase !== 'RolledBack' && phase !== 'Failed') {
    return undefined;
  }
  const { reason = phase, message = '' } = findCondition({ status }, 'Ready') ?? {};
  return { kind: 'Done', phase, reason, message };
}

function decideUnplanned(facts: MigrationFacts, now: Date): Decision {
  const { migration, map, others } = facts;
  const { spec } = migration;
  if (spec.abort) {
    const message = 'aborted before anything was touched';
    return { kind: 'Done', phase: 'Aborted', reason: 'Aborted', message };
  }
  if (!facts.supported) {
    const type = facts.cluster?.spec.engine.type ?? '';
    return stalled('NotYetSupported', `data of ${type} cannot be moved yet: delete this ShardMigration`);
  }
  const paused = pausedBy(facts);
  if (paused) return paused;
  if (!map || map.halfWritten) {
    return wait('MapMissing', `waiting for the shard map of ${spec.cluster.name} to be whole`, FAST_MS);
  }
  // What a busy shard owns may change until it is free, so a plan is made only then.
  const busy = spec.dryRun ? undefined : mustWaitFor(others, namedShards(spec));
  if (busy) {
    return {
      kind: 'Wait',
      reason: 'Busy',
      message: `waiting until ShardMigration ${busy.name} has ended: it moves data of the same shard`,
      againMs: SLOW_MS,
      waitingFor: busy.name,
    };
  }
  const found = planMigration({
    migration,
    map: map.map,
    wantedShards: facts.cluster?.spec.shards ?? 0,
    reserved: reservedShards(others),
    regions: facts.regions,
    storageClasses: facts.storageClasses,
    storageClassOf: name => facts.shards.get(name)?.storageClassName,
  });
  if (found.kind === 'Refused') {
    // A fleet that is being scaled up will have the shards that a split needs.
    const growing =
      found.reason === 'NoEmptyShard' && (facts.cluster?.spec.shards ?? 0) > map.map.shards.length;
    return growing
      ? wait('WaitingForShards', found.message, FAST_MS * 2)
      : stalled(found.reason, found.message);
  }
  if (spec.dryRun) return decideDryRun(facts, found.plan, now);
  if (spec.suspend) return wait('Suspended', 'spec.suspend is set: nothing was begun', SLOW_MS);
  return act('Planning', 'writing down the plan', { kind: 'Hold' }, { kind: 'RecordPlan', plan: found.plan });
}

function decideDryRun(facts: MigrationFacts, plan: Plan, now: Date): Decision {
  const checkable = plan.newShard === undefined;
  if (checkable && preflightDue(facts.status, now, DRY_RUN_AGE_MS)) {
    return act('DryRun', 'checking, nothing is touched', { kind: 'Preflight', transfers: plan.transfers });
  }
  const [error] = checkable ? blocking(facts) : [];
  const passed = checkable ? 'no check would stop it' : 'it can be checked once the new shard is there';
  const result = error ? `${error.check} would stop it: ${error.message}. ${error.remedy}` : passed;
  return {
    kind: 'Wait',
    reason: 'DryRun',
    message: `nothing was touched; ${result}. Set spec.dryRun to false to start`,
    againMs: DRY_RUN_AGE_MS,
    settled: true,
    lines: plan.lines,
  };
}

function decidePlanned(facts: MigrationFacts, now: Date): Decision {
  const { migration, status, map, transfers } = facts;
  if (!map) return wait('MapMissing', 'waiting for the shard map to be whole', FAST_MS);
  const mark = isMarkOf(map.markedBy, migration.metadata.uid ?? '') ? map.markedBy : undefined;
  if (map.halfWritten) {
    const action = finishMarked(facts, mark ?? '');
    return action
      ? act('Publishing', 'finishing a change of the shard map', action)
      : wait('MapMissing', 'waiting until another change of the shard map is whole', FAST_MS);
  }
  if (status.ending === undefined) {
    const finish = finishDecided(facts);
    if (finish) return finish;
    const stray = transfers.find(({ owners }) => owners?.read === 'other' || owners?.write === 'other');
    if (stray) {
      const { source, target } = stray.plan;
      return stalled(
        'MapDisagrees',
        `a third shard owns part of what moves from ${source} to ${target}: restore the ConfigMaps of the shard map from a backup`,
      );
    }
  }
  if (mark !== undefined)
    return act('Unmarking', 'taking back a mark on the map', { kind: 'UnmarkMap', mark });
  const paused = pausedBy(facts);
  if (paused) return paused;
  if (status.ending !== undefined) return decideCleaning(facts, status.ending);
  if (wantsUndo(facts)) return decideUndo(facts, now);
  if (migration.spec.suspend && migration.metadata.deletionTimestamp === undefined) {
    return wait(
      'Suspended',
      'spec.suspend is set: it stays where it is, changes go on being copied',
      FAST_MS * 5,
    );
  }
  return decideForward(facts, now);
}

/** What a mark of ours says was being done to the map. */
function finishMarked({ status }: MigrationFacts, mark: string): Action | undefined {
  const marked = readMark(mark);
  if (marked) return { kind: 'Publish', ...marked };
  const planned = readPlanned(mark);
  if (planned === 'AddShard') return status.newShard && { kind: planned, ...status.newShard };
  return planned && { kind: planned };
}

/** Deleting means abort before the cutover of the last transfer, and finish after it. */
function wantsUndo({ migration, transfers }: MigrationFacts): boolean {
  if (migration.spec.abort) return true;
  if (migration.metadata.deletionTimestamp === undefined) return false;
  return !transfers.every(({ owners }) => owners?.write === 'target');
}

/** A decision in a database that the map does not know: until it is published, nobody can write what moved. */
function finishDecided(facts: MigrationFacts): Decision | undefined {
  for (const view of facts.transfers) {
    const change = undecidedSwitch(facts, view);
    if (!change) continue;
    const message = `${nameOf(view)}: finishing a switch of writes that is decided`;
    return act('SwitchingWrites', message, ...switchWriters(facts, view, change));
  }
  return undefined;
}

function pausedBy({ migration, cluster }: MigrationFacts): Decision | undefined {
  const own = isPaused(migration);
  if (!own && !(cluster && isPaused(cluster))) return undefined;
  const whose = own ? '' : ` of ShardCluster ${migration.spec.cluster.name}`;
  return wait(
    'Paused',
    `the annotation ${annotations.paused}${whose} keeps the operator from changing anything`,
    SLOW_MS,
  );
}
