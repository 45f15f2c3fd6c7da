/** What is refused while tables move, what is not, and what becomes of a stream that breaks. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Transfer, TransferSession } from '#engines/migration.ts';
import { ends, Pair, until, value } from './testing/pair.ts';
import { cleanAll, connectStreams } from './testing/steer.ts';

const tables = [
  { name: 'users', key: 'id' },
  { name: 'app.order', key: 'user' },
];
const schema = `
CREATE TYPE mood AS ENUM ('fine', 'bad');
CREATE TABLE users (id bigint PRIMARY KEY, name text, mood mood, at int);
CREATE INDEX users_name ON users (name);
CREATE SCHEMA app;
CREATE TABLE app."order" ("user" bigint, at int, PRIMARY KEY ("user", at)) PARTITION BY RANGE (at);
CREATE TABLE app.odd_1 PARTITION OF app."order" FOR VALUES FROM (0) TO (10);
CREATE TABLE other (id bigint PRIMARY KEY);`;
const transfer: Transfer = {
  id: 'r1',
  migration: 'grow',
  keyType: 'bigint',
  partition: { kind: 'keys', ranges: [{ from: '1000' }] },
  whole: false,
  targetEmpty: false,
  tables,
};

let pair: Pair;
let session: TransferSession;
let file = 10;
beforeAll(async () => {
  pair = await Pair.start(
    schema,
    { algorithm: 'range', tables },
    { source: { kind: 'keys', ranges: [{ from: '0' }] }, target: { kind: 'keys', ranges: [{ to: '0' }] } },
  );
  await pair.source.admin.query(`INSERT INTO users SELECT n, 'user', 'fine' FROM generate_series(1, 3000) n;
    INSERT INTO app."order" SELECT n, n % 10 FROM generate_series(1, 3000) n`);
  await pair.target.admin.query(`INSERT INTO users SELECT -n, 'own', 'fine' FROM generate_series(1, 50) n`);
  session = await pair.open(transfer);
  await connectStreams(session);
});
afterAll(async () => {
  await session?.[Symbol.asyncDispose]();
  await pair?.[Symbol.asyncDispose]();
});

const apply = async (sql: string) => {
  await using schemaSession = await pair.session('source');
  return await schemaSession.applySchema([{ name: `${file++}.sql`, sql }]);
};

describe('a schema file', () => {
  test.each([
    'ALTER TABLE users ADD COLUMN age int',
    'CREATE INDEX ON users (mood)',
    'DROP INDEX users_name',
    'DROP TABLE users',
    'DROP TABLE app.odd_1',
    'TRUNCATE users',
    'TRUNCATE app.odd_1',
    `ALTER TYPE mood ADD VALUE 'worse'`,
    'CREATE TABLE app.odd_2 PARTITION OF app."order" FOR VALUES FROM (10) TO (20)',
    'ALTER TABLE app."order" DETACH PARTITION app.odd_1',
    'DROP TRIGGER zz_sw_r1_key ON users',
    'DROP POLICY sw_r1 ON users',
    'ALTER TABLE users DISABLE ROW LEVEL SECURITY',
    'ALTER TABLE users DISABLE TRIGGER ALL',
    'UPDATE users SET id = 5000 WHERE id = 1',
    `SET shardwright.pass = 'on'; ALTER TABLE users ADD COLUMN age int`,
  ])('is put off: %s', async sql => {
    const refused = expect.stringMatching(/ShardMigration grow/);
    await expect(apply(sql)).rejects.toMatchObject({ retryable: true, message: refused });
  });

  test.each([
    'CREATE TABLE another (id bigint PRIMARY KEY)',
    'ALTER TABLE other ADD COLUMN age int',
    'DROP TABLE other',
    `CREATE TYPE taste AS ENUM ('sweet')`,
  ])('is applied where nothing moves: %s', async sql => {
    await expect(apply(sql)).resolves.toMatchObject({ applied: [expect.any(String)] });
  });
});

test('an application may not change the key of a row that moves, and may that of one that stays', async () => {
  const writer = await pair.writer('source');
  for (const sql of [
    'UPDATE users SET id = id + 10000 WHERE id = 2000',
    'UPDATE users SET id = id + 10000 WHERE id = 3',
  ])
    await expect(writer.query(sql)).rejects.toMatchObject({ code: 'SW008', message: /ShardMigration grow/ });
  expect((await writer.query('UPDATE users SET id = -4 WHERE id = 4')).rowCount).toBe(1);
  await writer.end();
});

test('a stream whose slot is lost is broken; its copy is taken back and made again, what the target owns stays', async () => {
  await pair.source.admin.query(
    `SELECT pg_terminate_backend(active_pid), pg_sleep(0.1) FROM pg_replication_slots WHERE slot_name = 'sw_r1_f'`,
  );
  await until(
    'dropped',
    () =>
      pair.source.admin
        .query(
          `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL AND slot_name = 'sw_r1_f'`,
        )
        .then(() => pair.source.admin.query(`SELECT pg_drop_replication_slot('sw_r1_f')`))
        .then(() => true)
        .catch(() => false),
    Boolean,
  );
  const broken = await session.observe();
  expect(broken.forward).toMatchObject({ kind: 'Broken', reason: 'SlotMissing' });
  await until(
    'taken back',
    () => session.dropForward(),
    done => done,
  );
  const { forward, back } = await session.observe();
  expect([forward.kind, back.kind]).toEqual(['Absent', 'Absent']);
  expect(await value(pair.source.admin, 'SELECT count(*)::int FROM users')).toBe(3000);
  expect(await value(pair.target.admin, 'SELECT count(*)::int FROM users')).toBe(50);
  await connectStreams(session);
  expect(await value(pair.target.admin, 'SELECT count(*)::int FROM users')).toBe(50 + 2001);
});

test('a worker that fails for good is a broken stream', async () => {
  // A row that nobody may have written there: the next one of the source cannot be applied.
  await pair.target.admin.query(`SELECT pg_replication_origin_create('test'), pg_replication_origin_session_setup('test');
    INSERT INTO users VALUES (777777); SELECT pg_replication_origin_session_reset(), pg_replication_origin_drop('test')`);
  await pair.source.admin.query(`INSERT INTO users VALUES (777777)`);
  const { forward } = await until(
    'broken',
    () => session.observe(),
    found => found.forward.kind === 'Broken',
  );
  expect(forward).toMatchObject({ reason: 'WorkerFails' });
});

test('given up, it leaves both ends as they were', async () => {
  await cleanAll(session, 'target');
  expect(await value(pair.target.admin, 'SELECT count(*)::int FROM users')).toBe(50);
  expect(await value(pair.source.admin, 'SELECT count(*)::int FROM users')).toBe(3001);
  for (const end of ends) {
    expect(
      await value(
        pair[end].admin,
        `SELECT count(*)::int FROM (SELECT tgname::text AS name FROM pg_trigger UNION ALL SELECT polname FROM pg_policy
           UNION ALL SELECT rolname FROM pg_roles UNION ALL SELECT slot_name FROM pg_replication_slots) AS n
         WHERE name ~ 'sw_r1|mover'`,
      ),
    ).toBe(0);
    expect(await value(pair[end].admin, 'SELECT count(*)::int FROM pg_class WHERE relrowsecurity')).toBe(0);
    expect(await value(pair[end].admin, 'SELECT count(*)::int FROM pg_replication_origin')).toBe(0);
  }
});
