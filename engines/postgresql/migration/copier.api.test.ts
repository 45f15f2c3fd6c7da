/** The first copy by ranges of blocks: each row once whatever its key, under writes, at a pace; cut off in the middle, it goes on or begins anew. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { CopyPace, Transfer, TransferFacts, TransferSession } from '#engines/migration.ts';
import type { Partition } from '#sharding/partition.ts';
import { Pair, until, value } from './testing/pair.ts';
import { cleanAll, connectStreams, switchReaders, switchWriters } from './testing/steer.ts';

vi.setConfig({ testTimeout: 120_000 });
const exec = promisify(execFile);

const pace: CopyPace = { parallel: 3, maxReplicaLagBytes: 1e9, maxCommitLatencyMs: 1e6 };
const slow = { ...pace, maxBytesPerSecond: 200_000 };
const slots = (first: number, last: number): Partition => ({
  kind: 'slots',
  slots: 256,
  ranges: [{ first, last }],
});
const none: Partition = { kind: 'slots', slots: 256, ranges: [] };

const schema = `
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, upper text GENERATED ALWAYS AS (upper(name)) STORED,
  number bigint GENERATED ALWAYS AS IDENTITY, dropped int, doc jsonb);
ALTER TABLE users DROP COLUMN dropped;
CREATE INDEX by_name ON users (name);
CREATE TABLE odd ("user" bigint, "a:b" text, at timestamptz DEFAULT '2026-01-01', PRIMARY KEY ("user", "a:b"));
CREATE TABLE events (user_id bigint, at int, kind text, PRIMARY KEY (user_id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (0) TO (50);
CREATE TABLE "Events: new" PARTITION OF events DEFAULT;`;
const tables = [
  { name: 'users', key: 'id' },
  { name: 'odd', key: 'user' },
  { name: 'events', key: 'user_id' },
];
const ROWS = 60_000;
const transferOf = (id: string, over: Partial<Transfer> = {}): Transfer => ({
  id,
  migration: 'grow',
  keyType: 'bigint',
  partition: slots(128, 255),
  whole: false,
  targetEmpty: true,
  tables,
  pace,
  ...over,
});

const contents = (pair: Pair, end: 'source' | 'target', moving: string) =>
  value(
    pair[end].admin,
    `SELECT jsonb_build_object(
       'users', (SELECT jsonb_build_array(count(*), sum(hashtextextended(t::text, 0))) FROM users t WHERE ${moving.replaceAll('KEY', 'id')}),
       'odd', (SELECT jsonb_build_array(count(*), sum(hashtextextended(t::text, 0))) FROM odd t WHERE ${moving.replaceAll('KEY', '"user"')}),
       'events', (SELECT jsonb_build_array(count(*), sum(hashtextextended(t::text, 0))) FROM events t WHERE ${moving.replaceAll('KEY', 'user_id')}))`,
  );
const moving = '(hashint8extended(KEY, 0) & 255) >= 128';

describe('by ranges of blocks', () => {
  let pair: Pair;
  let session: TransferSession;
  let transfer: Transfer;
  let turn = 0;

  beforeAll(async () => {
    pair = await Pair.start(schema, { tables }, { source: slots(0, 255), target: none });
    await pair.source.admin.query(`
INSERT INTO users (id, name, doc) SELECT n, 'name ' || n, jsonb_build_object('text', E'back\\\\slash\\ttab', 'n', n) FROM generate_series(1, ${ROWS}) n;
INSERT INTO odd SELECT n, 'text ' || n FROM generate_series(1, ${ROWS}) n;
INSERT INTO events SELECT n, m * 25, repeat('k', 50) FROM generate_series(1, ${ROWS / 2}) n, generate_series(1, 3) m;
-- Blocks that hold what was and what is.
UPDATE users SET name = name || '!' WHERE id % 3 = 0;
DELETE FROM events WHERE user_id % 7 = 0`);
  });
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    turn++;
    transfer = transferOf(`r${turn}`);
    session = await pair.open(transfer);
    return async () => {
      await session.cleanUp('target').catch(() => undefined);
      await session[Symbol.asyncDispose]();
    };
  });

  const observed = (wanted: (facts: TransferFacts) => boolean, what: string) =>
    until(what, () => session.observe(), wanted);
  const streaming = () => observed(({ forward }) => forward.kind === 'Streaming', 'streaming');
  /** Begins slowly, so that there is a middle. */
  const halfway = async () => {
    session = await pair.open({ ...transfer, pace: slow });
    await session.prepare();
    await session.startForward();
    await observed(({ forward }) => forward.kind === 'Copying' && forward.bytesDone > 100_000, 'halfway');
  };
  const faster = async () => {
    await session[Symbol.asyncDispose]();
    session = await pair.open(transfer);
    await session.observe();
  };
  /** What was written meanwhile has to arrive: fails when it does not, and it is never told apart from nothing at all. */
  const moved = async () => {
    const [source] = await until(
      'the same',
      async () => [await contents(pair, 'source', moving), await contents(pair, 'target', 'true')],
      ([there, here]) => JSON.stringify(there) === JSON.stringify(here),
    );
    return source;
  };
  const some = {
    users: [expect.any(Number), expect.any(Number)],
    events: [expect.any(Number), expect.any(Number)],
  };

  test('each row is copied once, while rows are written, and moves there and back', async () => {
    const writer = await pair.writer('source');
    const enough = new AbortController();
    const written = (async () => {
      for (let last = 1_000_001; !enough.signal.aborted; last++) {
        await writer.query('INSERT INTO users (id, name) VALUES ($1, $2)', [last, 'new']);
        await writer.query(`UPDATE users SET name = name || '.' WHERE id = $1`, [1 + ((last * 7) % ROWS)]);
        await writer.query('DELETE FROM events WHERE user_id = $1', [1 + ((last * 11) % ROWS)]);
      }
    })();
    await session.prepare();
    await session.startForward();
    await streaming();
    enough.abort();
    await written;
    await writer.end();
    expect(await moved()).toMatchObject(some);
    // The program has done, and goes.
    await until(
      'gone',
      () =>
        value(
          pair.source.admin,
          `SELECT count(*)::int FROM pg_stat_activity WHERE application_name LIKE 'shardwright\\_copy\\_%'`,
        ),
      count => count === 0,
    );
    const noted =
      'SELECT ((SELECT count(*) FROM shardwright.copy) + (SELECT count(*) FROM shardwright.copy_range))::int';
    expect(await value(pair.target.admin, noted)).toBe(0);
    await session.startBack();
    expect(await session.verify('forward', 'Full')).toMatchObject({ matches: true });
    await switchReaders(pair, session, 'target');
    await switchWriters(pair, session, 'target');
    const there = await pair.writer('target');
    await there.query(`UPDATE users SET name = 'there' WHERE id % 100 = 0`);
    await there.end();
    await switchWriters(pair, session, 'source');
    await switchReaders(pair, session, 'source');
    expect(await moved()).toMatchObject(some);
    await cleanAll(session, 'target');
  });

  test('the pace is kept, and can be changed', async () => {
    await halfway();
    const { forward } = await session.observe();
    expect(forward.kind).toBe('Copying');
    // By its own account, of any second: what may go at once comes on top, and a piece of each session.
    const most = await value(pair.target.admin, 'SELECT fastest::int FROM shardwright.copy');
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(slow.maxBytesPerSecond + 64 * 1024 * 4);
    await faster();
    await streaming();
    const account = `SELECT (copier->>'fastest')::int FROM shardwright.transfer`;
    expect(await value(pair.target.admin, account)).toBeGreaterThan(slow.maxBytesPerSecond * 2);
    expect(await moved()).toMatchObject(some);
    await cleanAll(session, 'target');
  });

  test('a copier that is killed is begun again, and copies what is left', async () => {
    await halfway();
    const kill =
      'for p in /proc/[0-9]*; do grep -qs member/copier.py $p/cmdline && kill -9 ${p#/proc/}; done; true';
    // Not the shell that looks for it.
    await exec('docker', [
      'exec',
      pair.target.container.name,
      'sh',
      '-c',
      kill.replace('copier', '[c]opier'),
    ]);
    await faster();
    await streaming();
    expect(await moved()).toMatchObject(some);
    await cleanAll(session, 'target');
  });

  test('connections with the source that are cut are made again', async () => {
    await halfway();
    await pair.source.admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'shardwright\\_copy\\_%'`,
    );
    await faster();
    await streaming();
    expect(await moved()).toMatchObject(some);
    await cleanAll(session, 'target');
  });

  test('without its snapshot it begins anew', async () => {
    await halfway();
    await pair.source.admin.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'shardwright\\_snapshot\\_%'`,
    );
    await observed(({ forward }) => forward.kind === 'Broken' && forward.reason === 'SnapshotLost', 'broken');
    await faster();
    await until('dropped', () => session.dropForward(), Boolean);
    expect((await session.observe()).forward).toEqual({ kind: 'Absent' });
    await session.startForward();
    await streaming();
    expect(await moved()).toMatchObject(some);
    await cleanAll(session, 'target');
  });

  test('what the target refuses is told, and broken after some tries', async () => {
    await session.prepare();
    await pair.target.admin.query(
      `SET shardwright.pass = on; ALTER TABLE users ADD CONSTRAINT never CHECK (id < 0)`,
    );
    await session.startForward();
    const { forward } = await observed(({ forward: { kind } }) => kind === 'Broken', 'broken');
    expect(forward).toMatchObject({ reason: 'CopyFails', message: expect.stringContaining('never') });
    await pair.target.admin.query('ALTER TABLE users DROP CONSTRAINT never; RESET shardwright.pass');
    await until('dropped', () => session.dropForward(), Boolean);
    await session.startForward();
    await streaming();
    expect(await moved()).toMatchObject(some);
    await cleanAll(session, 'target');
  });

  test('a source under strain slows it down', async () => {
    await halfway();
    await session[Symbol.asyncDispose]();
    // Every commit takes longer than no time at all.
    session = await pair.open({ ...transfer, pace: { ...slow, maxCommitLatencyMs: 0 } });
    const allowed = async () => {
      await session.observe();
      return Number(await value(pair.target.admin, 'SELECT allowed FROM shardwright.copy'));
    };
    await until('slow', allowed, rate => rate === 64 * 1024);
    await faster();
    await streaming();
    expect(await moved()).toMatchObject(some);
    await cleanAll(session, 'target');
  });

  test.each(['begun again', 'undone'])('cut off before the subscription is made, it is %s', async how => {
    await session.prepare();
    const mover = `shardwright_mover_${transfer.id}`;
    await pair.source.admin.query(`ALTER ROLE ${mover} NOLOGIN`);
    await expect(session.startForward()).rejects.toMatchObject({ code: 'Unreachable' });
    const { forward, ends } = await session.observe();
    expect(forward).toEqual({ kind: 'Absent' });
    expect(ends.source.traces).toEqual(
      expect.arrayContaining([`slot sw_${transfer.id}_f`, `session shardwright_snapshot_${transfer.id}`]),
    );
    await pair.source.admin.query(`ALTER ROLE ${mover} LOGIN`);
    if (how === 'begun again') {
      await session.startForward();
      await streaming();
      await moved();
    }
    await cleanAll(session, 'target');
  });

  test('aborted in the middle, nothing is left', async () => {
    await halfway();
    await cleanAll(session, 'target');
    expect(await contents(pair, 'target', 'true')).toMatchObject({ users: [0, null], events: [0, null] });
    for (const end of ['source', 'target'] as const) {
      expect(
        await value(
          pair[end].admin,
          `SELECT count(*)::int FROM pg_stat_activity WHERE application_name LIKE 'shardwright\\_%' AND application_name <> 'shardwright'`,
        ),
      ).toBe(0);
    }
  });

  test('a table cannot be rewritten while its blocks are read', async () => {
    await halfway();
    await pair.source.admin.query(`SET lock_timeout = '200ms'`);
    await expect(pair.source.admin.query('VACUUM FULL users')).rejects.toMatchObject({ code: '55P03' });
    await pair.source.admin.query('RESET lock_timeout');
    await faster();
    await streaming();
    await cleanAll(session, 'target');
  });
});

const sum = (where: string) =>
  `SELECT jsonb_build_array(count(*), sum(hashtextextended(t::text, 0))) FROM users t WHERE ${where}`;

describe.each([
  { keyType: 'text', key: `'key ' || n`, type: 'text', slot: 'hashtextextended(id, 0)' },
  { keyType: 'uuid', key: 'md5(n::text)::uuid', type: 'uuid', slot: 'uuid_hash_extended(id, 0)' },
] as const)('a key of type $keyType', ({ keyType, key, type, slot }) => {
  test('each row is copied once', async () => {
    const own = [{ name: 'users', key: 'id' }];
    await using pair = await Pair.start(
      `CREATE TABLE users (id ${type}, n int, body text, PRIMARY KEY (id, n))`,
      { keyType, tables: own },
      { source: slots(0, 255), target: none },
    );
    await pair.source.admin.query(
      `INSERT INTO users SELECT ${key}, n, repeat('x', 200) FROM generate_series(1, 40000) n`,
    );
    await using session = await pair.open(transferOf('k1', { keyType, tables: own }));
    await connectStreams(session);
    const moved = await value(pair.target.admin, sum('true'));
    expect(moved).toEqual(await value(pair.source.admin, sum(`(${slot} & 255) >= 128`)));
    await cleanAll(session, 'target');
  });
});
