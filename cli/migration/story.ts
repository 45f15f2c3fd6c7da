/** What a migration's object says, in the words that every view of it uses. Pure. */
import { type Condition, ConditionType } from '#crds/api/conditions.ts';
import { type MigrationEnd, type MigrationPhase, migrationEnd } from '#crds/api/migration/status.ts';
import type { ShardMigration } from '#crds/api/shard-migration.ts';

export function phaseOf(migration: ShardMigration): MigrationPhase {
  return migration.status?.phase ?? 'Pending';
}

/** How it ended, if it has. */
export function endingOf(migration: ShardMigration): MigrationEnd | undefined {
  return migrationEnd.options.find(end => end === phaseOf(migration));
}

export function operationOf({ spec, status }: ShardMigration): string {
  const { split, merge, move, slots } = spec;
  if (status?.operation !== undefined) return status.operation;
  if (split !== undefined) return `split ${split.shard} into ${split.into}`;
  if (merge !== undefined)
    return `merge ${merge.shards.join(', ')} into ${merge.into ?? merge.shards[0] ?? ''}`;
  if (move !== undefined) {
    const { shard, region, storageClassName } = move;
    const to = region === undefined ? '' : ` to ${region}`;
    return `move ${shard}${to}${storageClassName === undefined ? '' : ` onto storage class ${storageClassName}`}`;
  }
  return slots === undefined ? '' : `slots from ${slots.from} to ${slots.to}`;
}

export function conditionOf(migration: ShardMigration, type: string): Condition | undefined {
  return migration.status?.conditions?.find(condition => condition.type === type);
}

/** What a person has to do something about. */
export function stalledOf(migration: ShardMigration): Condition | undefined {
  const stalled = conditionOf(migration, ConditionType.stalled);
  return stalled?.status === 'True' ? stalled : undefined;
}

/** What goes on at the moment, or what it waits for. */
export function messageOf(migration: ShardMigration): string {
  const { spec, status } = migration;
  const stalled = stalledOf(migration);
  if (stalled !== undefined) return stalled.message;
  if (status?.waitingFor !== undefined) return `waits for ${status.waitingFor}`;
  if (spec.suspend && endingOf(migration) === undefined) return 'suspended';
  return conditionOf(migration, ConditionType.ready)?.message ?? '';
}

/** True once all writes go to their new owners, and are not on their way back. */
export function hasCutOver(migration: ShardMigration): boolean {
  const { spec, status } = migration;
  return phaseOf(migration) === 'VerifyAndCleanup' && status?.cutover?.time !== undefined && !spec.abort;
}
