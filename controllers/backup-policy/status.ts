/** What is written into a BackupPolicy's status: from the facts and the decision alone. Pure. */
import type { WantedCondition } from '#controllers/conditions.ts';
import { durationMs } from '#controllers/duration.ts';
import type { BackupPolicyStatus } from '#crds/api/backup-policy.ts';
import { ConditionType } from '#crds/api/conditions.ts';
import { setConditions } from '#kernel/conditions.ts';
import { archiveCounts, archived } from './archived.ts';
import type { PolicyDecision, ShardDecision } from './decide.ts';
import type { PolicyFacts } from './facts.ts';
import { few, fewNames, NAMED } from './few.ts';

export function policyStatus(facts: PolicyFacts, decision: PolicyDecision, now: Date): BackupPolicyStatus {
  const { policy, binding, status: before } = facts;
  const { shards } = decision;
  const conditions = conditionsOf(facts, decision, now);
  const observedGeneration = policy.metadata.generation ?? 0;
  const lastBackup = latest(
    shards.flatMap(({ backup }) => [backup?.lastFull?.time, backup?.lastIncremental?.time]),
  );
  const lastDrill = latest(shards.map(({ backup }) => backup?.drill?.last?.time));
  const lastArchive = latest(shards.map(({ backup }) => backup?.coldTier?.last?.time));
  return {
    observedGeneration,
    phase: phaseOf(facts, conditions),
    clusters: binding.clusters.length,
    shards: shards.length,
    achieved: achievedOf(shards),
    backups: {
      running: shards.filter(({ backup }) => backup?.running !== undefined).length,
      failed: shards.filter(({ backup }) => backup?.failed !== undefined).length,
      waiting: shards.filter(({ backup, due }) => due !== undefined && backup?.running === undefined).length,
      stored: sum(shards, ({ backup }) => backup?.records?.length ?? 0),
      storedBytes: sum(shards, ({ backup }) =>
        (backup?.records ?? []).reduce((total, record) => total + record.storedBytes, 0),
      ),
    },
    drills: {
      running: shards.filter(({ backup }) => backup?.drill?.wanted !== undefined).length,
      passed: shards.filter(({ backup }) => backup?.drill?.last?.passed === true).length,
      failed: shards.filter(({ backup }) => backup?.drill?.last?.passed === false).length,
    },
    ...archiveCounts(facts, shards),
    ...decision.asked,
    ...(lastBackup === undefined ? {} : { lastBackupTime: lastBackup }),
    ...(lastDrill === undefined ? {} : { lastDrillTime: lastDrill }),
    ...(lastArchive === undefined ? {} : { lastArchiveTime: lastArchive }),
    conditions: setConditions(
      (before.conditions ?? []).filter(({ type }) => conditions.some(each => each.type === type)),
      conditions.map(condition => ({
        ...condition,
        message: condition.message.slice(0, 4096),
        observedGeneration,
      })),
      now,
    ),
  };
}

function achievedOf(shards: readonly ShardDecision[]): NonNullable<BackupPolicyStatus['achieved']> {
  const known = shards
    .flatMap(({ view }) => {
      const { recentSeconds } = view.achieved;
      return recentSeconds === undefined ? [] : [{ seconds: recentSeconds, shard: view.shard.metadata.name }];
    })
    .toSorted((a, b) => a.seconds - b.seconds);
  const worst = known.at(-1);
  const median = known[Math.floor((known.length - 1) / 2)];
  const drilled = shards
    .flatMap(({ view, backup }) => {
      const seconds = backup?.drill?.last?.rtoSeconds;
      return seconds === undefined ? [] : [{ seconds, shard: view.shard.metadata.name }];
    })
    .toSorted((a, b) => a.seconds - b.seconds)
    .at(-1);
  return {
    ...(worst ? { rpoSeconds: tenths(worst.seconds), rpoShard: worst.shard } : {}),
    ...(median ? { rpoMedianSeconds: tenths(median.seconds) } : {}),
    unknown: shards.length - known.length,
    ...(drilled ? { rtoSeconds: drilled.seconds, rtoShard: drilled.shard } : {}),
  };
}

/** Upwards: a bound that was rounded down would be none. */
export function tenths(seconds: number): number {
  return Math.ceil(seconds * 10) / 10;
}

function conditionsOf(facts: PolicyFacts, decision: PolicyDecision, now: Date): readonly WantedCondition[] {
  const { problems, binding } = facts;
  const { shards } = decision;
  const [first] = problems;
  const pending = whatIsPending(facts, shards);
  const stalled: WantedCondition = first
    ? {
        type: ConditionType.stalled,
        status: 'True',
        reason: first.reason,
        message: problems.map(({ message }) => message).join('; '),
      }
    : { type: ConditionType.stalled, status: 'False', reason: 'NotStalled', message: '' };
  const ready: WantedCondition = {
    type: ConditionType.ready,
    ...(first
      ? { status: 'False', reason: first.reason, message: first.message }
      : pending
        ? { status: 'False', ...pending }
        : {
            status: 'True',
            reason: 'Protected',
            message: `${shards.length} shards of ${binding.clusters.length} fleets are archived and have a full backup`,
          }),
  };
  return [
    ready,
    {
      type: ConditionType.reconciling,
      ...(pending && !first
        ? { status: 'True', ...pending }
        : { status: 'False', reason: first ? 'Stalled' : 'AsWanted', message: '' }),
    },
    stalled,
    rpoMet(facts, shards),
    rtoMet(facts, shards),
    backupsCurrent(facts, shards, now),
    ...archived(facts, shards, now),
  ];
}

type Why = Pick<WantedCondition, 'reason' | 'message'>;

function whatIsPending({ binding }: PolicyFacts, shards: readonly ShardDecision[]): Why | undefined {
  if (shards.length === 0) {
    const { missing } = binding;
    const message =
      missing.length > 0
        ? `there is no ShardCluster ${missing.slice(0, NAMED).join(', ')} in this namespace`
        : 'no ShardCluster with shards is under it';
    return { reason: 'NoShards', message };
  }
  const silent = shards.filter(({ view, backup }) => backup === undefined || view.archive === undefined);
  if (silent.length > 0) {
    return { reason: 'SettingUp', message: `archiving is being set up on ${named(silent)}` };
  }
  const without = shards.filter(({ backup }) => backup?.lastFull === undefined);
  if (without.length > 0) {
    return { reason: 'FirstBackup', message: `the first full backup is still to come on ${named(without)}` };
  }
  return undefined;
}

function rpoMet({ policy }: PolicyFacts, shards: readonly ShardDecision[]): WantedCondition {
  const type = ConditionType.rpoMet;
  const { rpo } = policy.spec.objectives;
  const wrong = shards.filter(({ view }) => view.achieved.trouble !== undefined);
  if (shards.length === 0) {
    return { type, status: 'Unknown', reason: 'NoShards', message: 'there is nothing to measure' };
  }
  if (wrong.length === 0) {
    return { type, status: 'True', reason: 'Kept', message: `no shard would lose more than ${rpo}` };
  }
  const shown = worstFirst(wrong).slice(0, NAMED);
  const causes = shown.map(({ view }) => `${view.shard.metadata.name}: ${view.achieved.trouble ?? ''}`);
  const more = wrong.length > NAMED ? `; and ${wrong.length - NAMED} more shards` : '';
  const known = wrong.some(({ view }) => view.achieved.nowSeconds !== undefined);
  return {
    type,
    status: 'False',
    reason: known ? 'Exceeded' : 'NotKnown',
    message: `${rpo} is not kept by ${causes.join('; ')}${more}`,
  };
}

/** Those that are known to be behind first, the furthest before all. */
function worstFirst(shards: readonly ShardDecision[]): readonly ShardDecision[] {
  return shards.toSorted((a, b) => secondsBehind(b) - secondsBehind(a));
}

function secondsBehind({ view }: ShardDecision): number {
  return view.achieved.nowSeconds ?? -1;
}

function rtoMet({ policy }: PolicyFacts, shards: readonly ShardDecision[]): WantedCondition {
  const type = ConditionType.rtoMet;
  const { rto } = policy.spec.objectives;
  const limit = durationMs(rto) / 1000;
  const drilled = shards.flatMap(({ view, backup }) => {
    const last = backup?.drill?.last;
    return last ? [{ name: view.shard.metadata.name, last }] : [];
  });
  const failed = drilled.filter(({ last }) => !last.passed);
  const slow = drilled.filter(({ last }) => last.passed && (last.rtoSeconds ?? Infinity) > limit);
  if (failed.length > 0) {
    const message = few(failed.map(({ name, last }) => `${name}: ${last.failure ?? ''}`));
    return { type, status: 'False', reason: 'DrillFailed', message };
  }
  if (slow.length > 0) {
    const shown = slow
      .slice(0, NAMED)
      .map(({ name, last }) =>
        last.rtoSeconds === undefined
          ? `${name}: not measured`
          : `${name} took ${Math.round(last.rtoSeconds)}s`,
      );
    return { type, status: 'False', reason: 'TooSlow', message: `${rto} is not kept: ${shown.join('; ')}` };
  }
  return drilled.length === 0
    ? { type, status: 'Unknown', reason: 'NoDrill', message: 'no shard has been restored to measure it yet' }
    : {
        type,
        status: 'True',
        reason: 'Kept',
        message: `${drilled.length} of ${shards.length} shards were restored within ${rto}, the last time each`,
      };
}

function backupsCurrent(
  { policy }: PolicyFacts,
  shards: readonly ShardDecision[],
  now: Date,
): WantedCondition {
  const type = ConditionType.backupsCurrent;
  const { deadline, jitter } = policy.spec.schedule;
  const patience = durationMs(deadline) + durationMs(jitter);
  const failed = shards.filter(({ backup }) => backup?.failed !== undefined);
  if (failed.length > 0) {
    const message = few(
      failed.map(({ view, backup }) => `${view.shard.metadata.name}: ${backup?.failed?.message ?? ''}`),
    );
    return { type, status: 'False', reason: 'BackupFailed', message };
  }
  const without = shards.filter(({ backup }) => backup?.lastFull === undefined);
  if (shards.length === 0 || without.length > 0) {
    const message = shards.length === 0 ? 'there are no shards' : `${named(without)} have no full backup yet`;
    return { type, status: 'False', reason: 'NoBackup', message };
  }
  const late = shards.filter(({ due }) => due && now.getTime() - due.planned.getTime() > patience);
  return late.length > 0
    ? { type, status: 'False', reason: 'Late', message: `${named(late)} wait for a backup that is overdue` }
    : { type, status: 'True', reason: 'AsScheduled', message: `${shards.length} shards have their backups` };
}

function named(shards: readonly ShardDecision[]): string {
  return fewNames(shards.map(({ view }) => view.shard.metadata.name));
}

function phaseOf({ policy }: PolicyFacts, conditions: readonly WantedCondition[]): string {
  const is = (type: string, status: string) =>
    conditions.some(each => each.type === type && each.status === status);
  if (is(ConditionType.stalled, 'True')) return 'Stalled';
  if (is(ConditionType.ready, 'False')) return 'SettingUp';
  if (is(ConditionType.rpoMet, 'False')) return 'RPOMissed';
  if (is(ConditionType.rtoMet, 'False')) return 'RTOMissed';
  if (is(ConditionType.backupsCurrent, 'False')) return 'BackupsLate';
  return policy.spec.schedule.suspend ? 'Suspended' : 'Protected';
}

function latest(times: readonly (string | undefined)[]): string | undefined {
  return times.reduce(
    (best, each) => (each !== undefined && (best === undefined || each > best) ? each : best),
    undefined,
  );
}

function sum(shards: readonly ShardDecision[], of: (decision: ShardDecision) => number): number {
  return shards.reduce((total, decision) => total + of(decision), 0);
}
