/** What a BackupPolicy's status says of old rows: condition `Archived`, and how many shards are where. Pure. */
import type { WantedCondition } from '#controllers/conditions.ts';
import { durationMs } from '#controllers/duration.ts';
import type { BackupPolicyStatus } from '#crds/api/backup-policy.ts';
import { ConditionType } from '#crds/api/conditions.ts';
import { heldBack } from './archiving-shards.ts';
import type { ShardDecision } from './decide.ts';
import type { PolicyFacts } from './facts.ts';
import { few } from './few.ts';

/** A migration of the time of its schedule is nothing to tell of. */
const PATIENCE_MS = 24 * 3_600_000;

/** Nothing where the policy archives nothing. */
export function archived(
  { policy, problems }: PolicyFacts,
  shards: readonly ShardDecision[],
  now: Date,
): readonly WantedCondition[] {
  const { archive, schedule } = policy.spec;
  if (!archive) return [];
  const type = ConditionType.archived;
  const is = (status: WantedCondition['status'], reason: string, message: string): WantedCondition[] => [
    { type, status, reason, message },
  ];
  if (shards.length === 0) return is('Unknown', 'NoShards', 'there is nothing to archive');
  const refused = problems.find(({ reason }) => reason === 'ArchiveNotEncrypted');
  const failed = shards.filter(hasFailed);
  if (failed.length > 0) {
    const told = failed.map(({ view, backup }) => {
      const { message = '' } = backup?.coldTier?.last?.failure ?? {};
      return `${view.shard.metadata.name}: ${message}`;
    });
    const [first] = failed;
    return is('False', first?.backup?.coldTier?.last?.failure?.code ?? 'ArchiveFailed', few(told));
  }
  if (refused) return is('False', refused.reason, refused.message);
  const patienceMs = PATIENCE_MS + durationMs(schedule.jitter);
  const late = shards.filter(
    ({ archiveDue }) => archiveDue && now.getTime() - archiveDue.planned.getTime() > patienceMs,
  );
  if (late.length > 0) {
    const told = late.map(
      ({ view }) =>
        `${view.shard.metadata.name}: ${heldBack(view) ?? 'it waits for its turn, or its run takes long'}`,
    );
    return is('False', 'Late', few(told));
  }
  const without = shards.filter(({ backup }) => backup?.coldTier?.last?.succeeded !== true);
  if (without.length > 0) {
    const names = few(without.map(({ view }) => view.shard.metadata.name));
    return is('Unknown', 'FirstRun', `the first run is still to come, or under way, on ${names}`);
  }
  return is('True', 'AsScheduled', `the old rows of ${shards.length} shards are in the object store`);
}

/** What met a migration is tried again after it: no failure of anybody. */
function hasFailed({ backup }: ShardDecision): boolean {
  const failure = backup?.coldTier?.last?.failure;
  return failure !== undefined && failure.code !== 'Migrating';
}

function isRunning({ backup }: ShardDecision): boolean {
  return backup?.coldTier?.running !== undefined;
}

export function archiveCounts(
  { policy }: PolicyFacts,
  shards: readonly ShardDecision[],
): Pick<BackupPolicyStatus, 'archive'> {
  if (!policy.spec.archive) return {};
  return {
    archive: {
      running: shards.filter(isRunning).length,
      failed: shards.filter(hasFailed).length,
      waiting: shards.filter(each => each.archiveDue !== undefined && !isRunning(each)).length,
    },
  };
}
