/**
 * Who goes first when two migrations name the same shard: whoever has a plan, then whoever is older. One with a plan never waits
 * for another, so nobody waits in a circle. Pure.
 */
import type { MigrationFacts, OtherMigration } from './facts.ts';

/** The migration that has to end before this one is planned. */
export function mustWaitFor(
  others: readonly OtherMigration[],
  shards: readonly string[],
): OtherMigration | undefined {
  const mine = new Set(shards);
  const sharing = others.filter(other => other.shards.some(shard => mine.has(shard)));
  return sharing.find(other => other.planned) ?? sharing.find(other => other.older && other.queued);
}

/** A migration that is only held up by this one. */
export function wantedBy({ migration, others }: MigrationFacts): OtherMigration | undefined {
  return others.find(other => !other.planned && other.waitingFor === migration.metadata.name);
}

/** Shards that migrations with a plan count on. */
export function reservedShards(others: readonly OtherMigration[]): ReadonlySet<string> {
  return new Set(others.filter(other => other.planned).flatMap(other => other.shards));
}
