/** What only PostgreSQL has to promise, on a real one: who may see verifiers, what a schema file cannot do, how a change is applied. */
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AccessInput, ShardSession } from '#engines/engine.ts';
import { SchemaError } from '#engines/errors.ts';
import { scramVerifier } from '#engines/scram.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { postgresql } from './engine.ts';
import { until } from './migration/testing/pair.ts';
import { connectTo, type PostgresContainer, startPostgres, targetOf } from './testing/container.ts';
import { sampleShard } from './testing/shard.ts';

const shard = sampleShard();
const verifier = scramVerifier('app-secret', Buffer.from('0123456789abcdef'));
const access: AccessInput = {
  generation: 1,
  readerGeneration: 1,
  state: 'active',
  partition: { kind: 'slots', slots: 256, ranges: [] },
  tables: [
    { name: 'rates', reference: true },
    { name: 'odd.Names', reference: true },
    { name: 'plain', reference: true },
    { name: 'missing', reference: true },
  ],
  verifier,
  referenceVerifier: verifier,
  stableLogin: false,
};
const tables = `
CREATE TABLE rates (code text, since date, rate numeric NOT NULL, noted timestamptz NOT NULL DEFAULT clock_timestamp(),
  percent text GENERATED ALWAYS AS (rate::text || '%') STORED, id int GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (since, code));
CREATE SCHEMA odd; CREATE TABLE odd."Names" ("the ""key""" text PRIMARY KEY, "select" text);
CREATE TABLE plain (code text);`;

let container: PostgresContainer;
let session: ShardSession;
let admin: Client;
let reference: Client;
/** Another superuser: it holds what others wait for. */
let blocker: Client;

beforeAll(async () => {
  container = await startPostgres(await ensurePostgresImage(), postgresql.serverNames(shard));
  session = await postgresql.connect(shard, targetOf(container, 'social-0-0'), AbortSignal.timeout(120_000));
  await session.ensureAccess(access);
  await session.applySchema([{ name: '1.sql', sql: tables }]);
  await session.ensureAccess(access);
  admin = connectTo(container, 'postgres', container.superuserPassword);
  blocker = connectTo(container, 'postgres', container.superuserPassword);
  await blocker.connect();
  reference = connectTo(container, 'app_ref', 'app-secret');
  await admin.connect();
  await reference.connect();
});
afterAll(async () => {
  await reference?.end();
  await blocker?.end();
  await admin?.end();
  await session?.[Symbol.asyncDispose]();
  await container?.[Symbol.asyncDispose]();
});

/** Whether a schema file waits for a lock. */
async function waiting(): Promise<boolean> {
  const sql =
    "SELECT count(*) > 0 AS waits FROM pg_stat_activity WHERE usename = 'shardwright_schema' AND wait_event_type = 'Lock'";
  return (await value(admin, sql)) === true;
}

async function value(client: Client, sql: string, parameters: unknown[] = []): Promise<unknown> {
  const { rows } = await client.query<Record<string, unknown>>(sql, parameters);
  return Object.values(rows[0] ?? {})[0];
}

const verifierOf = (login: string) =>
  value(admin, 'SELECT verifier FROM shardwright.pooler_login($1)', [login]);
/** Under a name that follows from its text. */
const apply = (sql: string) =>
  session.applySchema([{ name: `${createHash('sha256').update(sql).digest('hex')}.sql`, sql }]);
const write = (table: string, change: unknown) =>
  value(reference, 'SELECT applied_change FROM shardwright.reference_write($1, $2)', [
    table,
    JSON.stringify(change),
  ]);

describe('PgBouncer', () => {
  test('is told the verifiers of applications, of nobody else', async () => {
    expect(await verifierOf('app_g1')).toBe(verifier);
    expect(await verifierOf('app_ref')).toBe(verifier);
    for (const login of ['postgres', 'standby', 'pooler', 'shardwright_schema', 'app_nobody'])
      expect(await verifierOf(login)).toBeUndefined();
  });

  test('alone is told', async () => {
    await expect(value(reference, `SELECT shardwright.pooler_login('app_g1')`)).rejects.toThrow(
      /permission denied/,
    );
  });
});

describe('a schema file', () => {
  test.each([
    ['become superuser', 'RESET ROLE; SET ROLE postgres;'],
    ['change session authorization', 'SET SESSION AUTHORIZATION postgres;'],
    ['read verifiers', 'SELECT * FROM pg_authid;'],
    ['rewrite the record of files', 'DELETE FROM shardwright.schema_file;'],
    ['run programs', "COPY plain FROM PROGRAM 'id';"],
  ])('cannot %s', async (_, sql) => {
    await expect(apply(sql)).rejects.toThrow(/permission denied|must be|only roles/);
  });

  test('cannot leave its transaction', async () => {
    const failure = await apply('CREATE TABLE early (id int); COMMIT; CREATE TABLE late (id int);').catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(SchemaError);
    expect(failure).toMatchObject({ remedy: expect.stringContaining('COMMIT') });
  });

  test('makes tables that belong to the owner, also after one that reset its role', async () => {
    await apply('RESET ROLE; CREATE TABLE mine (id int);').catch(() => undefined);
    await apply('CREATE TABLE ours (id int);');
    expect(await value(admin, `SELECT tableowner FROM pg_tables WHERE tablename = 'ours'`)).toBe(
      'shardwright_owner',
    );
  });

  test('is tried again when a grant came in its way', async () => {
    await blocker.query('BEGIN');
    await blocker.query('GRANT SELECT ON plain TO pg_monitor');
    const file = { name: '7.sql', sql: 'ALTER TABLE plain ADD COLUMN granted text' };
    const failure = session.applySchema([file]).catch((error: unknown) => error);
    await until('it waits', waiting, found => found);
    await blocker.query('COMMIT');
    expect(await failure).toMatchObject({
      code: 'SchemaFailed',
      message: '7.sql: tuple concurrently updated',
      retryable: true,
      remedy: expect.stringContaining('tried again'),
    });
    expect(await session.applySchema([file])).toEqual({ applied: ['7.sql'] });
  });

  test('is tried again when its session was ended', async () => {
    const file = { name: '8.sql', sql: 'SELECT pg_sleep(60)' };
    const failure = session.applySchema([file]).catch((error: unknown) => error);
    const end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'";
    await until(
      'it was ended',
      () => value(admin, end),
      ended => ended === true,
    );
    expect(await failure).toMatchObject({ code: 'SchemaFailed', retryable: true });
  });

  test('is not tried again behind a lock that holds up everybody', async () => {
    await blocker.query('BEGIN');
    await blocker.query('SELECT FROM plain');
    const sql = "SET LOCAL lock_timeout = '100ms'; ALTER TABLE plain ADD COLUMN added text";
    const failure = await session.applySchema([{ name: '9.sql', sql }]).catch((error: unknown) => error);
    await blocker.query('ROLLBACK');
    expect(failure).toMatchObject({ retryable: false, remedy: expect.stringContaining('pg_stat_activity') });
  });

  test('leaves no login behind', async () => {
    expect(await value(admin, `SELECT rolcanlogin FROM pg_roles WHERE rolname = 'shardwright_schema'`)).toBe(
      false,
    );
  });
});

describe('a change of a reference table', () => {
  test('comes back as whole rows, so that other shards fill in nothing of their own', async () => {
    const applied = await write('rates', { upsert: [{ code: 'de', since: '2026-01-01', rate: 19 }] });
    expect(applied).toEqual({
      upsert: [{ code: 'de', since: '2026-01-01', rate: 19, noted: expect.any(String), id: 1 }],
    });
    const [entry] = await session.broadcastsSince(0n, 1);
    expect(entry?.change).toEqual(applied);
    await session.applyBroadcast({ ...entry!, version: 2n });
    expect(await value(admin, 'SELECT percent FROM rates')).toBe('19%');
  });

  test('overwrites by primary key and deletes by it', async () => {
    await write('public.rates', {
      upsert: [
        { since: '2026-01-01', code: 'de', rate: 16.5 },
        { since: '2026-01-01', code: 'fr', rate: 20 },
      ],
    });
    expect(await value(admin, `SELECT string_agg(code || rate, ' ' ORDER BY code) FROM rates`)).toBe(
      'de16.5 fr20',
    );
    await write('rates', { delete: [{ code: 'de', since: '2026-01-01' }] });
    expect(await value(admin, 'SELECT count(*)::int FROM rates')).toBe(1);
  });

  test('can be empty', async () => {
    expect(await write('rates', { upsert: [] })).toEqual({ upsert: [] });
  });

  test.each([
    ['of a table that is not declared', 'users', { upsert: [{ id: 1 }] }, 'SW003'],
    ['of the operator’s own tables', 'shardwright.own', { delete: [{ role: 'app_g1' }] }, 'SW003'],
    ['of a table that does not exist', 'missing', { upsert: [{ id: 1 }] }, '42P01'],
    ['of a table without a primary key', 'plain', { upsert: [{ code: 'x' }] }, 'SW005'],
    ['without its primary key', 'rates', { upsert: [{ code: 'de', rate: 1 }] }, 'SW005'],
    [
      'with rows of different columns',
      'rates',
      { delete: [{ code: 'a', since: '2026-01-01' }, { code: 'b' }] },
      'SW005',
    ],
    ['of an unknown kind', 'rates', { truncate: true }, 'SW005'],
    ['that is none', 'rates', 7, 'SW005'],
    [
      'with an unknown column',
      'rates',
      { upsert: [{ code: 'a', since: '2026-01-01', rate: 1, 'x") --': 1 }] },
      '42703',
    ],
  ])('is refused: %s', async (_, table, change, code) => {
    const before = await session.referenceVersion();
    await expect(write(table, change)).rejects.toMatchObject({ code });
    expect(await session.referenceVersion()).toBe(before);
  });

  test('is refused with another content under a version that was applied', async () => {
    const version = await session.referenceVersion();
    const other = { version, table: 'rates', change: { delete: [{ code: 'zz', since: '2026-01-01' }] } };
    await expect(session.applyBroadcast(other)).rejects.toMatchObject({ code: 'SW004' });
  });

  test('is given no version where the shard is not the home', async () => {
    const elsewhere = sampleShard({}, { name: 'social-1' });
    await using away = await postgresql.connect(
      { ...elsewhere, metadata: shard.metadata },
      targetOf(container, 'social-0-0'),
      AbortSignal.timeout(30_000),
    );
    await away.ensureAccess(access);
    await expect(write('rates', { upsert: [] })).rejects.toMatchObject({ code: 'SW001' });
    await session.ensureAccess(access);
  });
});
