/**
 * Where a shard's old rows go, and what keeps a run of the archive from beginning. The database has the last word: a run asks it, in
 * the same snapshot that it reads rows in, and again before it deletes any (docs/archive.md). Pure.
 */

import { needsPerson } from '#archive/errors.ts';
import { shardsInUse } from '#controllers/shard-migration/in-use.ts';
import { annotations } from '#crds/api/names.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Problem, ShardView } from './facts.ts';
import { fewNames } from './few.ts';

/** Shards that take part in a migration, those that it names and those that its plan has found, with its name. */
export function migratingShards(migrations: readonly KubeObject[]): ReadonlyMap<string, string> {
  return new Map(
    migrations.flatMap(migration =>
      shardsInUse(migration).map(shard => [shard, migration.metadata.name] as const),
    ),
  );
}

/** Why no run begins, in words; undefined: it may. */
export function heldBack(view: ShardView): string | undefined {
  const { paused, shard, migration, coldPlace } = view;
  if (paused) return 'it is paused';
  if (migration !== undefined) return `ShardMigration ${migration} has a part in it`;
  if (shard.metadata.annotations?.[annotations.rebuild] !== undefined) return 'it is being rebuilt';
  // Nobody but the person who closed it may change what is in it.
  if (shard.spec.state !== 'active') return `it is ${shard.spec.state}`;
  if (shard.status?.primary === undefined) return 'it has no primary';
  return coldPlace === undefined ? 'it is not known where its rows go' : undefined;
}

/** Runs that ended with what only a person can put right. */
export function archiveProblems(shards: readonly ShardView[]): readonly Problem[] {
  const seen = new Map<string, { readonly shards: string[]; readonly reason: string }>();
  for (const { shard, backup } of shards) {
    const failure = backup?.coldTier?.last?.failure;
    if (!failure || !needsPerson(failure.code)) continue;
    const same = seen.get(failure.message);
    if (same) same.shards.push(shard.metadata.name);
    else seen.set(failure.message, { shards: [shard.metadata.name], reason: failure.code });
  }
  return [...seen].slice(0, 5).map(([message, { shards: names, reason }]) => ({
    reason,
    message: `spec.archive on ${fewNames(names)}: ${message}`,
    plan: false,
  }));
}
