/** What a run will not do, and what it says: nothing is deleted that is not safe, and nothing is put where it would mislead. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ArchiveOutcome } from '../outcome.ts';
import { MemoryStore } from '../testing/memory-store.ts';
import { path, World } from '../testing/world.ts';

const age = { column: 'at', olderThanSeconds: 86_400 };
const plain = { name: 'plain', ...age };

let world: World;
let store: MemoryStore;

beforeAll(async () => {
  world = await World.start(
    `CREATE TABLE plain (id int PRIMARY KEY, at timestamptz, body text);
     CREATE TABLE keyless (id int, at timestamptz);
     CREATE TABLE untimed (id int PRIMARY KEY, at text);
     CREATE TABLE parent (id int PRIMARY KEY, at timestamptz);
     CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE);
     CREATE TABLE held (id int PRIMARY KEY, at timestamptz);
     CREATE TABLE holder (id int PRIMARY KEY, held int REFERENCES held);
     CREATE TABLE rates (code text PRIMARY KEY, at timestamptz);
     CREATE TABLE watched (id int PRIMARY KEY, at timestamptz);
     CREATE TABLE seen (who text, super bool);
     CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO public.seen SELECT session_user, rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user;
       RETURN OLD; END $$;
     CREATE TRIGGER watch BEFORE DELETE ON watched FOR EACH ROW EXECUTE FUNCTION watch();
     CREATE VIEW shown AS SELECT * FROM plain;`,
    ['rates'],
  );
});
afterAll(() => world[Symbol.asyncDispose]());

beforeEach(async () => {
  store = new MemoryStore();
  world.store = store;
  await world.admin.query('TRUNCATE plain, parent, child, held, holder, watched, seen');
  await world.admin.query(
    `INSERT INTO plain SELECT n, now() - interval '10 days', 'text ' || n FROM generate_series(1, 20) n`,
  );
});

const left = async (table: string) => (await world.rows(`SELECT FROM ${table}`)).length;
const failed = (outcome: ArchiveOutcome) => `${outcome.failure?.code}: ${outcome.failure?.message}`;

test.each([
  ['nowhere', 'UnsuitableTable: there is no table public.nowhere'],
  ['shown', 'UnsuitableTable: there is no table public.shown'],
  ['keyless', 'UnsuitableTable: public.keyless has no primary key'],
  ['untimed', 'UnsuitableTable: public.untimed has no column at of type timestamptz, timestamp or date'],
  ['rates', 'UnsuitableTable: public.rates is a reference table, which is whole on every shard'],
  [
    'parent',
    'UnsuitableTable: deleting from public.parent would change public.child, by its foreign key child_parent_fkey',
  ],
])('the table %s is refused', async (name, says) => {
  const outcome = await world.run([{ name, ...age }], { deleteAfter: true });
  expect(outcome.state).toBe('Failed');
  expect(failed(outcome)).toBe(says);
  expect(outcome.failure?.remedy).not.toBe('');
});

test('a table that cannot be archived does not keep the next from it', async () => {
  const outcome = await world.run([{ name: 'keyless', ...age }, plain], { deleteAfter: true });
  expect(failed(outcome)).toBe('UnsuitableTable: public.keyless has no primary key');
  expect(outcome.tables).toMatchObject([{ table: 'keyless' }, { table: 'plain', deleted: 20 }]);
});

test('a row that another table holds on to stays, and is told', async () => {
  await world.admin.query(
    `INSERT INTO held VALUES (1, now() - interval '10 days'); INSERT INTO holder VALUES (1, 1)`,
  );
  const outcome = await world.run([{ name: 'held', ...age }], { deleteAfter: true });
  expect(outcome.failure?.code).toBe('ReferencedRows');
  expect(await left('held')).toBe(1);
  await world.admin.query('DELETE FROM holder');
  expect((await world.run([{ name: 'held', ...age }], { deleteAfter: true })).failure).toBeUndefined();
  expect(await left('held')).toBe(0);
});

async function begin(): Promise<void> {
  await world.admin.query(
    `INSERT INTO shardwright.transfer (id, migration, side, peer) VALUES ('x', 'split', 'source', '1')`,
  );
}

async function beginOnceVerified(done: string): Promise<void> {
  if (done === 'file verified') await begin();
}

async function end(): Promise<void> {
  await world.admin.query('DELETE FROM shardwright.transfer');
}

function parquet(): string {
  return [...store.objects.keys()].find(key => key.endsWith('.parquet')) ?? '';
}

describe('a migration', () => {
  test('that has a part in the shard keeps rows from being written', async () => {
    await begin();
    const outcome = await world.run([plain], { deleteAfter: true });
    await end();
    expect(failed(outcome)).toBe('Migrating: ShardMigration split has a part in this shard');
    expect(store.objects.size).toBe(0);
  });

  test('that begins after a file was written keeps its rows from being deleted', async () => {
    const outcome = await world.run([plain], { deleteAfter: true, hooks: { step: beginOnceVerified } });
    expect(failed(outcome)).toBe('Migrating: ShardMigration split has a part in this shard');
    expect(await left('plain')).toBe(20);
    await end();
    expect(await world.run([plain], { deleteAfter: true })).toMatchObject({
      tables: [{ rows: 0, deleted: 20 }],
    });
  });
});

describe('the object store', () => {
  const file = `${path}/rows/public.plain/social-0/`;
  test.each([
    ['gives back other bytes', () => void ((store.objects.get(parquet()) ?? [])[50]! ^= 1)],
    ['has lost the file', () => void store.objects.delete(parquet())],
  ])('%s: nothing is deleted, and the next run writes the file anew', async (_, damage) => {
    let hit = false;
    const step = async (done: string) => {
      if (done !== 'file named' || hit) return;
      damage();
      hit = true;
    };
    const outcome = await world.run([plain], { deleteAfter: true, hooks: { step } });
    expect(outcome.failure?.code).toBe('ArchiveMismatch');
    expect(outcome.failure?.message).toContain(file);
    expect(await left('plain')).toBe(20);
    const next = await world.run([plain], { deleteAfter: true });
    expect(next).toMatchObject({ state: 'Succeeded', tables: [{ rows: 20, deleted: 20 }] });
    expect([...store.objects.keys()].filter(key => key.endsWith('.parquet'))).toHaveLength(1);
  });

  test('has another manifest than ours: the run stops', async () => {
    await world.run([plain]);
    const key = [...store.objects.keys()].find(name => name.endsWith('manifest.json'));
    await store.put(key ?? '', Buffer.from('{}'));
    expect((await world.run([plain], { deleteAfter: true })).failure?.code).toBe('BadManifest');
    expect(await left('plain')).toBe(20);
  });
});

test('a column that comes in between keeps rows from being deleted that the file has without it', async () => {
  const step = async (done: string) => {
    if (done === 'file verified') await world.admin.query('ALTER TABLE plain ADD COLUMN extra int DEFAULT 7');
  };
  const outcome = await world.run([plain], { deleteAfter: true, hooks: { step } });
  expect(outcome.failure?.code).toBe('ChangedTable');
  expect(await left('plain')).toBe(20);
  const next = await world.run([plain], { deleteAfter: true });
  await world.admin.query('ALTER TABLE plain DROP COLUMN extra');
  expect(next).toMatchObject({ state: 'Succeeded', tables: [{ rows: 20, deleted: 20 }] });
});

test('one run at a time works on a table', async () => {
  let second: ArchiveOutcome | undefined;
  const step = async (done: string) => {
    if (done === 'file named') second = await world.run([plain], { deleteAfter: true });
  };
  const first = await world.run([plain], { deleteAfter: true, hooks: { step } });
  expect(second?.failure?.code).toBe('AlreadyRunning');
  expect(first).toMatchObject({ state: 'Succeeded', tables: [{ deleted: 20 }] });
});

test('triggers run as nobody in particular, and the login is closed afterwards', async () => {
  await world.admin.query(`INSERT INTO watched VALUES (1, now() - interval '10 days')`);
  expect((await world.run([{ name: 'watched', ...age }], { deleteAfter: true })).failure).toBeUndefined();
  expect(await world.rows('SELECT * FROM seen')).toEqual([{ who: 'shardwright_archive', super: false }]);
  expect(
    await world.rows(
      `SELECT rolcanlogin, rolsuper, rolpassword FROM pg_authid WHERE rolname = 'shardwright_archive'`,
    ),
  ).toEqual([{ rolcanlogin: false, rolsuper: false, rolpassword: null }]);
});
