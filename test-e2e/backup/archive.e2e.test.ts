/**
 * Old rows of a live fleet leave it for Parquet files in a real object store, by Jobs of the operator's image under the namespace's
 * Pod Security Standard. What is in the files is read with another program's reader, and compared with what was in the table.
 */
import { parquetReadObjects } from 'hyparquet';
import { beforeAll, expect, it } from 'vitest';
import type { ColdTier } from '#crds/api/backup/cold-tier.ts';
import { annotations, shardChildren } from '#crds/api/names.ts';
import { Jobs } from '#kernel/resources.ts';
import { conditionOf, hasCondition } from '#test-e2e/support/conditions.ts';
import { fleet, schema } from '#test-e2e/support/fleet.ts';
import { annotate, endedAs, migration, reached } from '#test-e2e/support/migrations.ts';
import { type NamespaceObjectStore, startObjectStore } from '#test-e2e/support/object-store.ts';
import { BackupPolicies } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';
import { backupOf, policy } from './policy.ts';

const space = useNamespace('archive');
let store: NamespaceObjectStore;

const messages = `
  CREATE TABLE messages (
    user_id bigint, id bigint, created_at timestamptz NOT NULL, price numeric(12, 2), body text, details jsonb,
    PRIMARY KEY (user_id, id)
  );
  CREATE INDEX ON messages (created_at);
`;

/** Rows 1 to 300 are of three days more than a year ago, 1001 to 1050 of today. */
const rows = `
  INSERT INTO messages SELECT n % 7, n, date_trunc('day', now()) - interval '400 days' + n % 3 * interval '1 day' + n * interval '1 second',
    n / 4.0, 'text ' || n, jsonb_build_object('tag', n) FROM generate_series(1, 300) n;
  INSERT INTO messages SELECT 1, n, now(), 1, 'young', NULL FROM generate_series(1001, 1050) n;
`;

const archive = (table = 'messages') => ({
  schedule: '0 4 1 1 *',
  tables: [{ name: table, column: 'created_at', olderThan: '366d' }],
  deleteAfter: true,
});

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(schema('schema', { '01.sql': messages }));
  await ns.apply(
    fleet({
      schema: { configMaps: [{ name: 'schema' }] },
      sharding: { algorithm: 'hash', tables: [{ name: 'messages', key: 'user_id' }] },
    }),
  );
  [store] = await Promise.all([startObjectStore(ns), ns.current()]);
  await sql(rows);
  await ns.apply(policy(store, { archive: archive() }));
  await ns.until(BackupPolicies, 'nightly', hasCondition('Ready', 'True'));
});

async function sql(statement: string): Promise<string[]> {
  return superuserSql(space.current, await space.current.primaryOf('fleet-0'), statement);
}

async function coldTier(): Promise<ColdTier | undefined> {
  return (await backupOf(space.current, 'fleet-0')).coldTier;
}

/** Asks for a run, and returns how the next one to end has ended. */
async function archiveNow(): Promise<NonNullable<ColdTier['last']>> {
  const ns = space.current;
  const before = (await coldTier())?.last;
  await ns.patch(BackupPolicies, 'nightly', {
    metadata: { annotations: { [annotations.archiveNow]: 'test' } },
  });
  return eventually('a run of the archive has ended', ns.name, async () => {
    const last = (await coldTier())?.last;
    return last && (last.request !== before?.request || last.time !== before.time) ? last : undefined;
  });
}

async function files(): Promise<readonly string[]> {
  return (await store.list()).filter(path => path.includes('/rows/public.messages/'));
}

interface Archived {
  readonly id: bigint;
  readonly price: number;
  readonly body: string;
  readonly details: { readonly tag: number } | null;
}

async function archived(): Promise<readonly Archived[]> {
  const found: Archived[] = [];
  for (const path of await files()) {
    if (!path.endsWith('.parquet')) continue;
    const bytes = await store.read(path);
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- compared below
    found.push(...((await parquetReadObjects({ file: file as ArrayBuffer })) as unknown as Archived[]));
  }
  return found.toSorted((a, b) => Number(a.id - b.id));
}

it('moves old rows to files that another reader understands, and leaves the young ones', async () => {
  expect(await archiveNow()).toMatchObject({
    succeeded: true,
    rows: 300,
    files: 3,
    deleted: 300,
    kept: 0,
    tables: [{ table: 'messages', upTo: expect.any(String) }],
  });
  expect(await sql('SELECT count(*), min(id), max(id) FROM messages')).toEqual(['50|1001|1050']);
  const found = await archived();
  expect(found.map(({ id }) => Number(id))).toEqual(Array.from({ length: 300 }, (_, index) => index + 1));
  for (const { id, price, body, details } of found) {
    // Quarters, which that reader gives as floating point numbers.
    expect([Math.round(price * 100), body, details?.tag]).toEqual([
      Number(id) * 25,
      `text ${id}`,
      Number(id),
    ]);
  }
  const ns = space.current;
  await ns.until(BackupPolicies, 'nightly', hasCondition('Archived', 'True'));
});

it('does nothing new the next time', async () => {
  const before = await files();
  expect(before.filter(path => path.endsWith('manifest.json'))).toHaveLength(3);
  expect(await archiveNow()).toMatchObject({ succeeded: true, rows: 0, files: 0, deleted: 0 });
  expect(await files()).toEqual(before);
  expect(await sql('SELECT count(*) FROM messages')).toEqual(['50']);
});

it('takes rows that come late, in a further file of their day', async () => {
  await sql(
    `INSERT INTO messages VALUES (5, 301, date_trunc('day', now()) - interval '400 days' + interval '1 hour', 75.25, 'text 301', '{"tag": 301}')`,
  );
  expect(await archiveNow()).toMatchObject({ succeeded: true, rows: 1, files: 1, deleted: 1 });
  expect((await archived()).at(-1)).toMatchObject({ id: 301n, body: 'text 301', details: { tag: 301 } });
});

it('deletes nothing while the object store is away, says so, and goes on by itself', async () => {
  const ns = space.current;
  await sql(
    `INSERT INTO messages VALUES (6, 302, date_trunc('day', now()) - interval '399 days', 75.5, 'text 302', NULL)`,
  );
  await store.stop();
  expect(await archiveNow()).toMatchObject({ succeeded: false, deleted: 0 });
  expect(await sql('SELECT id FROM messages WHERE id < 1000')).toEqual(['302']);
  const missed = await ns.until(BackupPolicies, 'nightly', hasCondition('Archived', 'False'));
  expect(conditionOf(missed, 'Archived')?.message).toMatch(/^fleet-0: /);
  await store.start();
  await ns.until(BackupPolicies, 'nightly', hasCondition('Archived', 'True'), { deadlineMs: 400_000 });
  expect(await sql('SELECT id FROM messages WHERE id < 1000')).toEqual([]);
  expect((await archived()).at(-1)).toMatchObject({ id: 302n, details: null });
});

it('names the table that is not there and what to do, and takes the correction up', async () => {
  const ns = space.current;
  await ns.apply(policy(store, { archive: archive('nowhere') }));
  await archiveNow();
  const stalled = await ns.until(BackupPolicies, 'nightly', hasCondition('Stalled', 'True'));
  expect(conditionOf(stalled, 'Stalled')?.message).toBe(
    'spec.archive on fleet-0: there is no table public.nowhere. Correct the name in archive.tables of the BackupPolicy.',
  );
  await ns.apply(policy(store, { archive: archive() }));
  expect(await archiveNow()).toMatchObject({ succeeded: true });
  await ns.until(BackupPolicies, 'nightly', hasCondition('Stalled', 'False'));
});

it('leaves a shard alone that is being split, and archives both of its parts afterwards', async () => {
  const ns = space.current;
  await ns.kubectl('scale', 'shardcluster/fleet', '--replicas=2');
  await ns.current();
  await ns.apply(migration('split', { split: { shard: 'fleet-0', into: 2 }, cutover: { mode: 'Manual' } }));
  await reached(ns, 'split', 'SwitchWrites');
  await sql(
    `INSERT INTO messages SELECT n % 7, n, date_trunc('day', now()) - interval '399 days' + n * interval '1 second', n / 4.0, 'text ' || n, NULL
     FROM generate_series(303, 352) n`,
  );
  const runBefore = (await coldTier())?.last?.request;
  const asked = { metadata: { annotations: { [annotations.archiveNow]: 'test' } } };
  await ns.patch(BackupPolicies, 'nightly', asked);
  await ns.until(BackupPolicies, 'nightly', object =>
    object?.status?.archive?.waiting === 2 ? undefined : JSON.stringify(object?.status?.archive),
  );
  expect(await coldTier()).not.toHaveProperty('running');
  expect(await sql('SELECT count(*) FROM messages WHERE id < 1000')).toEqual(['50']);

  await annotate(ns, 'split', annotations.cutover);
  await endedAs(ns, 'split', 'Completed');
  const shards = (await ns.shards()).map(({ metadata }) => metadata.name);
  expect(shards).toHaveLength(2);
  let rowsOfAll = 0;
  for (const shard of shards) {
    const last = await eventually(`the old rows of ${shard} are archived`, ns.name, async () => {
      const found = (await backupOf(ns, shard)).coldTier?.last;
      return found?.request === runBefore ? undefined : found;
    });
    expect(last).toMatchObject({ succeeded: true, kept: 0 });
    rowsOfAll += last.rows;
    const count = 'SELECT count(*) FROM messages WHERE id < 1000';
    expect(await superuserSql(ns, await ns.primaryOf(shard), count)).toEqual(['0']);
  }
  expect(rowsOfAll).toBe(50);
  expect((await archived()).map(({ id }) => Number(id))).toEqual(
    Array.from({ length: 352 }, (_, index) => index + 1),
  );
});

it('leaves no Job and no login behind', async () => {
  const ns = space.current;
  expect(await sql(`SELECT rolcanlogin FROM pg_roles WHERE rolname = 'shardwright_archive'`)).toEqual(['f']);
  await ns.delete(BackupPolicies, 'nightly');
  await ns.gone(BackupPolicies, 'nightly');
  await ns.gone(Jobs, shardChildren.archiveJob('fleet-0'));
  expect((await archived()).length).toBe(352);
});
