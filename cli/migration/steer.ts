/** What a person can tell a migration that is there: one change of its object each. */
import { annotations } from '#crds/api/names.ts';
import type { ShardMigration } from '#crds/api/shard-migration.ts';
import { CliError } from '../errors.ts';
import type { Io } from '../io.ts';
import type { Migrations } from './migrations.ts';
import { endingOf, phaseOf } from './story.ts';

export type Order = 'cutover' | 'abort' | 'finish' | 'suspend' | 'resume';

interface Change {
  readonly body: object;
  readonly says: string;
}

export async function steer(io: Io, migrations: Migrations, name: string, order: Order): Promise<void> {
  const migration = await migrations.get(name);
  const ending = endingOf(migration) ?? migration.status?.ending;
  if (ending !== undefined) {
    throw new CliError(
      'Ended',
      endingOf(migration) === undefined
        ? `${name} is being cleaned up as ${ending}: there is no way back`
        : `${name} has ended: ${ending}`,
      'Move the data with another one: kubectl shardwright split, merge, move or slots.',
    );
  }
  const { body, says } = changes[order](migration, io.now());
  await migrations.patch(name, body);
  io.out(`${name}: ${says}\n`);
}

const changes: Readonly<Record<Order, (migration: ShardMigration, now: Date) => Change>> = {
  cutover(migration, now) {
    const { metadata, spec } = migration;
    if (phaseOf(migration) === 'VerifyAndCleanup') {
      throw new CliError('CutOver', `${metadata.name} has cut over already`, `See: ${showOf(migration)}.`);
    }
    if (spec.cutover.mode !== 'Manual') {
      throw new CliError(
        'Automatic',
        `${metadata.name} cuts over by itself as soon as it is safe`,
        `See what it waits for: ${showOf(migration)}.`,
      );
    }
    return {
      body: { metadata: { annotations: { [annotations.cutover]: now.toISOString() } } },
      says: 'will cut over as soon as it is safe',
    };
  },
  abort(migration) {
    const late = phaseOf(migration) === 'VerifyAndCleanup';
    return { body: { spec: { abort: true } }, says: late ? 'will be rolled back' : 'will be undone' };
  },
  finish(migration, now) {
    if (phaseOf(migration) !== 'VerifyAndCleanup') {
      throw new CliError(
        'NotCutOver',
        `${migration.metadata.name} has not cut over yet: there is nothing to finish`,
        `See how far it is: ${showOf(migration)}.`,
      );
    }
    return {
      body: { metadata: { annotations: { [annotations.finish]: now.toISOString() } } },
      says: 'will be cleaned up; it cannot be rolled back any more',
    };
  },
  suspend: () => ({ body: { spec: { suspend: true } }, says: 'stays where it is' }),
  resume: () => ({ body: { spec: { suspend: false } }, says: 'goes on' }),
};

function showOf({ metadata }: ShardMigration): string {
  return `kubectl shardwright migration show ${metadata.name}`;
}
