/** Schema and migrations keep out of each other's way: DDL waits while rows move, and ends the time in which one can roll back. */
import { beforeAll, expect, it } from 'vitest';
import { type Load, startLoad } from '#test-e2e/load/deploy.ts';
import { loadSchema } from '#test-e2e/load/shape.ts';
import { conditionOf, hasCondition } from '#test-e2e/support/conditions.ts';
import { schema, single } from '#test-e2e/support/fleet.ts';
import { tracesBefore } from '#test-e2e/support/migration-leaks.ts';
import { endedAs, eventsOf, migration, patchMigration, reached } from '#test-e2e/support/migrations.ts';
import { ShardClusters, Shards } from '#test-e2e/support/resources.ts';
import { SqlError, superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { cleanAfter, nothingWentWrong, setUp } from './scene.ts';

const space = useNamespace('ddl');
const ranges = [{ first: 0, last: 2047 }];
const first = { '01-load.sql': loadSchema({ keyType: 'bigint' }) };
const second = { ...first, '02-note.sql': 'ALTER TABLE accounts ADD COLUMN note text' };
const third = { ...second, '03-mark.sql': 'ALTER TABLE accounts ADD COLUMN mark text' };

beforeAll(async () => {
  await setUp(space.current, { ...single, shards: 2 });
  load = await startLoad(space.current);
});

/** From before the first migration: a load begins with empty tables, and TRUNCATE is refused while they move. */
let load: Load;

/** What the server says to a statement; one that lost a deadlock against the load's transactions is tried again. */
async function refusalOf(pod: string, sql: string): Promise<SqlError> {
  const outcome = await superuserSql(space.current, pod, sql).catch((error: unknown) => error);
  if (!(outcome instanceof SqlError)) throw new Error(`"${sql}" was not refused`, { cause: outcome });
  return /deadlock detected/.test(outcome.message) ? refusalOf(pod, sql) : outcome;
}

async function columns(): Promise<string[]> {
  const found = await Promise.all(
    (await space.current.shards()).map(async ({ metadata }) =>
      superuserSql(
        space.current,
        await space.current.primaryOf(metadata.name),
        "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'accounts'::regclass AND attnum > 0",
      ),
    ),
  );
  return found.flat();
}

it('refuses DDL and TRUNCATE on moving tables with a message that names the migration', async () => {
  const ns = space.current;
  await ns.apply(
    migration('moving', { slots: { from: 'fleet-0', to: 'fleet-1', ranges }, cutover: { mode: 'Manual' } }),
  );
  await reached(ns, 'moving', 'SyncChanges');
  for (const shard of ['fleet-0', 'fleet-1']) {
    for (const sql of [
      'ALTER TABLE accounts ADD COLUMN sneaked_in int',
      'TRUNCATE pots',
      'DROP TABLE entries',
    ]) {
      expect((await refusalOf(await ns.primaryOf(shard), sql)).message).toMatch(/moving/);
    }
  }
});

it('applies a schema file when the migration that was in its way has ended', async () => {
  const ns = space.current;
  await ns.apply(schema('load-schema', second));
  await ns.until(ShardClusters, 'fleet', hasCondition('SchemaApplied', 'False'));
  for (const shard of ['fleet-0', 'fleet-1']) {
    await ns.until(Shards, shard, object => {
      const message = object && conditionOf(object, 'Reconciling')?.message;
      return message?.includes('moving') ? undefined : `Reconciling says: ${message}`;
    });
  }
  expect(new Set(await columns())).toEqual(new Set(['owner version']));
  await patchMigration(ns, 'moving', { cutover: { approved: true } });
  await endedAs(ns, 'moving', 'Completed');
  await ns.until(ShardClusters, 'fleet', hasCondition('SchemaApplied', 'True'));
  expect(new Set(await columns())).toEqual(new Set(['owner version note']));
  const finished = await nothingWentWrong('schema file in the way of a migration', load);
  await cleanAfter(ns, await tracesBefore(ns), finished);
});

it('ends the rollback window for a schema change, and says so', async () => {
  const ns = space.current;
  const another = await startLoad(ns, { seed: 2 });
  const before = await tracesBefore(ns);
  const back = { slots: { from: 'fleet-1', to: 'fleet-0', ranges } };
  await ns.apply(migration('kept', { ...back, rollbackWindow: '24h' }));
  await reached(ns, 'kept', 'VerifyAndCleanup');
  await ns.apply(schema('load-schema', third));
  await endedAs(ns, 'kept', 'Completed');
  expect((await eventsOf(ns, 'kept')).join('\n')).toMatch(/schema/i);
  await ns.until(ShardClusters, 'fleet', hasCondition('SchemaApplied', 'True'));
  expect(new Set(await columns())).toEqual(new Set(['owner version note mark']));
  await cleanAfter(ns, before, await nothingWentWrong('schema change ends the rollback window', another));
});

it('ends the rollback window for the next migration of its shards', async () => {
  const ns = space.current;
  const operation = { slots: { from: 'fleet-0', to: 'fleet-1', ranges } };
  await ns.apply(migration('one', { ...operation, rollbackWindow: '24h' }));
  await reached(ns, 'one', 'VerifyAndCleanup');
  await ns.apply(migration('next', { slots: { from: 'fleet-1', to: 'fleet-0', ranges } }));
  await endedAs(ns, 'one', 'Completed');
  expect((await eventsOf(ns, 'one')).join('\n')).toContain('next');
  await endedAs(ns, 'next', 'Completed');
});
