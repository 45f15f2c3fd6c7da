/** What must not go on while rows are looked at or deleted. */
import type { Client } from 'pg';
import { AlreadyRunningError, MigratingError } from '../errors.ts';

/**
 * In a transaction: as of its snapshot no migration has a part here, so that every row belongs to this shard. A migration waits,
 * before it copies anything, until nobody looks at an older state. Throws {@link MigratingError}.
 */
export async function refuseMigration(client: Client): Promise<void> {
  const { rows } = await client.query<{ migration: string }>(
    'SELECT migration FROM shardwright.transfer LIMIT 1',
  );
  const [found] = rows;
  if (found) throw new MigratingError(`ShardMigration ${found.migration} has a part in this shard`);
}

/**
 * No migration begins here until the work is done: its first act is a row in this table. Keep the work short. Throws
 * {@link MigratingError}.
 */
export async function withoutMigrations<T>(admin: Client, work: () => Promise<T>): Promise<T> {
  await admin.query('BEGIN');
  try {
    await admin.query('LOCK TABLE shardwright.transfer IN SHARE MODE');
    await refuseMigration(admin);
    return await work();
  } finally {
    await admin.query('ROLLBACK').catch(() => undefined);
  }
}

/** Held by the session until it ends: one run at a time works on a table. Throws {@link AlreadyRunningError}. */
export async function lockTable(admin: Client, table: string): Promise<void> {
  const { rows } = await admin.query<{ locked: boolean }>(
    `SELECT pg_try_advisory_lock(hashtextextended('shardwright archive ' || $1, 0)) AS locked`,
    [table],
  );
  if (rows[0]?.locked !== true) throw new AlreadyRunningError(`another run archives ${table} of this shard`);
}

export async function unlockTable(admin: Client, table: string): Promise<void> {
  await admin.query(`SELECT pg_advisory_unlock(hashtextextended('shardwright archive ' || $1, 0))`, [table]);
}
