/** What happens seldom: a standby that does not answer, transactions that look at an older state, an end that is gone. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Transfer, TransferSession } from '#engines/migration.ts';
import { dropLoginSql } from '../drop-login.ts';
import { realHooks } from './hooks.ts';
import { closeLogins } from './readers.ts';
import { openTransferWith } from './session.ts';
import { Pair, until, value } from './testing/pair.ts';
import {
  cleanAll,
  cleaned,
  connectStreams,
  ensureBoth,
  limits,
  switchReaders,
  switchWriters,
} from './testing/steer.ts';

vi.setConfig({ testTimeout: 120_000 });

const tables = [{ name: 'users', key: 'id' }];
const transfer: Transfer = {
  id: 'e1',
  migration: 'grow',
  keyType: 'bigint',
  partition: { kind: 'slots', slots: 256, ranges: [{ first: 128, last: 255 }] },
  whole: false,
  targetEmpty: false,
  tables,
};
const half = 'hashint8extended(id, 0) & 255 >= 128';

let pair: Pair;
let session: TransferSession;
beforeEach(async () => {
  pair = await Pair.start(
    'CREATE TABLE users (id bigint PRIMARY KEY, name text)',
    { tables },
    {
      source: { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 255 }] },
      target: { kind: 'slots', slots: 256, ranges: [] },
    },
  );
  await pair.source.admin.query(`INSERT INTO users SELECT n, 'user' FROM generate_series(1, 200) n`);
  session = await pair.open(transfer);
});
afterEach(async () => {
  await session[Symbol.asyncDispose]();
  await pair[Symbol.asyncDispose]();
});
const reopen = async () => {
  await session[Symbol.asyncDispose]();
  session = await pair.open(transfer);
};
const waitsFor = () => value(pair.source.admin, 'SHOW synchronized_standby_slots');

test('a standby that stands still holds the fence up, which undoes itself; without it, it goes on', async () => {
  await connectStreams(session);
  // Where a standby's slot was is where it stays.
  await pair.source.admin.query(`SELECT pg_create_physical_replication_slot('social_0_1', true)`);
  pair.standbys = ['social-0-1', 'social-0-2'];
  await reopen();
  await session.observe();
  // Named only when its slot is there: a name without a slot stops the stream for good.
  await until('waiting', waitsFor, found => found === 'social_0_1');
  await pair.source.admin.query(`INSERT INTO users VALUES (1000, 'late')`);
  const change = pair.switchTo('write', 'target');
  const stuck = await session.fence(change, { lockTimeoutMs: 100, maxStallMs: 300 });
  expect(stuck).toMatchObject({ kind: 'Undone', reason: 'StreamBehind' });
  const writer = await pair.writer('source');
  expect((await writer.query(`UPDATE users SET name = 'on we go'`)).rowCount).toBe(201);
  await writer.end();
  pair.standbys = [];
  await reopen();
  await session.observe();
  await until('free', waitsFor, found => found === '');
  await switchWriters(pair, session, 'target');
  await pair.source.admin.query(`SELECT pg_drop_replication_slot('social_0_1')`);
  await cleanAll(session, 'source');
});

test('the list of standbys goes with the last transfer', async () => {
  await pair.source.admin.query(`SELECT pg_create_physical_replication_slot('social_0_1')`);
  pair.standbys = ['social-0-1'];
  await reopen();
  await session.prepare();
  await session.startForward();
  await until('waiting', waitsFor, found => found === 'social_0_1');
  await cleanAll(session, 'target');
  expect(await until('free', waitsFor, found => found === '')).toBe('');
});

test('nobody who looks at an older state is kept from what is his, or shown what has gone', async () => {
  const old = await pair.writer('source');
  await old.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1');
  const preparing = session.prepare();
  await until(
    'begun',
    () => value(pair.source.admin, 'SELECT count(*)::int FROM shardwright.transfer'),
    count => count === 1,
  );
  // It has not touched the table yet. With a policy but without the row that exempts it, it would find half of the rows.
  expect(await value(old, 'SELECT count(*)::int FROM users')).toBe(200);
  await old.query('COMMIT');
  await old.end();
  await preparing;
  await connectStreams(session);
  await switchReaders(pair, session, 'target');
  await switchWriters(pair, session, 'target');
  const stays = 200 - Number(await value(pair.target.admin, `SELECT count(*) FROM users WHERE ${half}`));
  const late = await pair.writer('source');
  await late.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1');
  const cleaning = cleaned(session, 'source');
  await until(
    'deleted',
    () => value(pair.source.admin, `SELECT count(*)::int FROM users WHERE ${half}`),
    count => count === 0,
  );
  expect(await value(late, 'SELECT count(*)::int FROM users')).toBe(stays);
  await late.query('COMMIT');
  await late.end();
  await cleaning;
});

test('when one shard is gone, the other is cleaned; rows go only where they are a copy', async () => {
  await connectStreams(session);
  await switchReaders(pair, session, 'target');
  await switchWriters(pair, session, 'target');
  await session.closeSuperseded();
  const copied = await value(pair.target.admin, 'SELECT count(*)::int FROM users');
  await session[Symbol.asyncDispose]();
  session = await pair.openAlone(transfer, 'target');
  await expect(session.observe()).rejects.toMatchObject({ code: 'EndGone' });
  await expect(session.cleanUp('target')).rejects.toMatchObject({ code: 'WrongMoment' });
  await cleaned(session, undefined);
  expect(await value(pair.target.admin, 'SELECT count(*)::int FROM users')).toBe(copied);
  // Nothing says any more who has the writes; the rows of a shard that is gone need no protection.
  expect(await session.cleanUp('source')).toBe(true);
  expect(await value(pair.target.admin, 'SELECT count(*)::int FROM users')).toBe(copied);
  await session[Symbol.asyncDispose]();
  session = await pair.openAlone(transfer, 'source');
  await cleaned(session, 'source');
  expect(await value(pair.source.admin, `SELECT count(*)::int FROM users WHERE ${half}`)).toBe(0);
  expect(await value(pair.source.admin, 'SELECT count(*)::int FROM pg_replication_slots')).toBe(0);
  await ensureBoth(pair);
});

test('writes wait no longer than they may', async () => {
  await connectStreams(session);
  const writer = await pair.writer('source');
  await writer.query(`BEGIN; UPDATE users SET name = 'open' WHERE id = 1`);
  const other = await pair.writer('source');
  const [undone, waited] = await Promise.all([
    session.fence(pair.switchTo('write', 'target'), { ...limits, lockTimeoutMs: 100, maxStallMs: 350 }),
    other.query(`UPDATE users SET name = 'through' WHERE id = 2`),
  ]);
  await other.end();
  expect(undone).toMatchObject({ kind: 'Undone', reason: 'LockTimeout' });
  expect(waited.rowCount).toBe(1);
  await writer.query('COMMIT');
  await writer.end();
});

test('sessions under logins that were announced end with them: a pooler would hand them on to the next of that name', async () => {
  await connectStreams(session);
  const blocking = await pair.writer('source');
  await blocking.query(`BEGIN; UPDATE users SET name = 'open' WHERE id = 1`);
  const change = pair.switchTo('write', 'target');
  const early: Client[] = [];
  const opened = async () => {
    for (const end of ['source', 'target'] as const) {
      const client = await pair.client(end, `app_g${change.generations[end].to}`);
      client.on('error', () => undefined);
      await client.query('BEGIN');
      early.push(client, await pair.client(end, `app_g${change.generations[end].to}`));
      early.at(-1)?.on('error', () => undefined);
    }
  };
  const short = { ...limits, lockTimeoutMs: 100, maxStallMs: 350 };
  const undone = await session.fence(change, short, { leadMs: 0, opened, hindrance: async () => undefined });
  expect(undone).toMatchObject({ kind: 'Undone' });
  expect(early).toHaveLength(4);
  for (const { admin } of [pair.source, pair.target]) {
    const left = `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND usename IS NULL OR usename = 'app_g2'`;
    expect(await value(admin, left)).toBe(0);
    expect(await value(admin, `SELECT count(*)::int FROM pg_roles WHERE rolname = 'app_g2'`)).toBe(0);
  }
  await blocking.query('COMMIT');
  await blocking.end();
  await until(
    'fenced',
    () => session.fence(change, limits),
    ({ kind }) => kind === 'Fenced',
  );
});

test('nobody waits for a decision that nobody could be told of', async () => {
  await connectStreams(session);
  const writer = await pair.writer('source');
  await writer.query(`BEGIN; UPDATE users SET name = 'open' WHERE id = 1`);
  const notice = {
    leadMs: 0,
    opened: async () => undefined,
    hindrance: async () => 'the API server is away',
  };
  // It does not even come as far as to wait for the writer.
  const undone = await session.fence(pair.switchTo('write', 'target'), limits, notice);
  expect(undone).toEqual({ kind: 'Undone', reason: 'Hindered', message: 'the API server is away' });
  await writer.query('COMMIT');
  await writer.end();
  for (const { admin } of [pair.source, pair.target])
    expect(await value(admin, `SELECT count(*)::int FROM pg_roles WHERE rolname = 'app_g2'`)).toBe(0);
  expect(await session.observe()).toMatchObject({ writes: 'source' });
});

test('what is cut off at any moment ends', async () => {
  await connectStreams(session);
  const outcomes = [];
  for (let i = 0; i < 24; i++) {
    const abort = new AbortController();
    const cut = async () => {
      await using own = await openTransferWith(
        transfer,
        { source: pair.transferEnd('source'), target: pair.transferEnd('target') },
        abort.signal,
        realHooks,
      );
      await own.verify('forward', 'Full');
    };
    const work = cut().then(
      () => 'ended',
      () => 'ended',
    );
    await sleep(i * 4);
    abort.abort(new Error('something else is wanted'));
    outcomes.push(await Promise.race([work, sleep(20_000, 'hangs', { ref: false })]));
  }
  expect(new Set(outcomes)).toEqual(new Set(['ended']));
});

test('a login that was kept when access was made sure of, and closed only then, goes with the transfer', async () => {
  await connectStreams(session);
  await session.verify('forward', 'Full');
  await switchReaders(pair, session, 'target');
  // The target's first readers are still in their grace.
  await switchReaders(pair, session, 'source');
  await cleanAll(session, 'target');
  for (const { admin } of [pair.source, pair.target]) {
    const logins = `SELECT array_agg(rolname::text ORDER BY rolname) FROM pg_roles WHERE rolname ~ '^app_.*g[0-9]'`;
    expect(await value(admin, logins)).toEqual(['app_g1', 'app_ro_g3']);
  }
});

test('logins that are dropped while they are to be closed are no matter: one waits for the other', async () => {
  await connectStreams(session);
  const change = pair.switchTo('write', 'target');
  await until(
    'fenced',
    () => session.fence(change, limits),
    ({ kind }) => kind === 'Fenced',
  );
  const { admin } = pair.source;
  const [dropping, closing] = [await pair.superuser('source'), await pair.superuser('source')];
  const waiting = `SELECT count(*)::int FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%shardwright.generation%'`;
  for (const [login, close] of [
    ['app_g1', () => session.closeSuperseded()],
    ['app_ro_g1', () => closeLogins({ client: closing }, ['app_ro_g1'])],
  ] as const) {
    await dropping.query(`BEGIN; ${dropLoginSql(login)}`);
    const closed = close();
    await until(
      'waiting',
      () => value(admin, waiting),
      count => count === 1,
    );
    await dropping.query('COMMIT');
    await closed;
    expect(await value(admin, `SELECT count(*)::int FROM pg_roles WHERE rolname = '${login}'`)).toBe(0);
  }
});
