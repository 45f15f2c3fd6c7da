/** Indexes of an empty target around the first copy: gone while rows come in bulk, the same as before when the stream has caught up. */
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Transfer, TransferSession } from '#engines/migration.ts';
import type { Partition } from '#sharding/partition.ts';
import { Pair, until, value } from './testing/pair.ts';
import { cleaned, copied } from './testing/steer.ts';

const schema = `
CREATE TABLE users (id bigint PRIMARY KEY, name text, email text, doc jsonb, UNIQUE (id, email));
CREATE INDEX plain ON users (name);
CREATE INDEX part_of ON users (lower(email)) INCLUDE (name) WITH (fillfactor = 70) WHERE email IS NOT NULL;
CREATE INDEX within ON users USING gin (doc jsonb_path_ops);
CREATE INDEX described ON users (email, name);
COMMENT ON INDEX described IS 'has a comment';
CREATE TABLE events (user_id bigint, at int, kind text, PRIMARY KEY (user_id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (0) TO (50);
CREATE TABLE events_new PARTITION OF events DEFAULT;
CREATE INDEX "of all" ON events (kind, at DESC);
CREATE INDEX of_one ON events_old (at);`;
const deferred = ['of all', 'of_one', 'part_of', 'plain', 'within'];
const tables = [
  { name: 'users', key: 'id' },
  { name: 'events', key: 'user_id' },
];
const slots = (...ranges: { first: number; last: number }[]): Partition => ({
  kind: 'slots',
  slots: 256,
  ranges,
});
const transfer: Transfer = {
  id: 'index1',
  migration: 'grow',
  keyType: 'bigint',
  partition: slots({ first: 128, last: 255 }),
  whole: false,
  targetEmpty: true,
  tables,
};

let pair: Pair;
let session: TransferSession;
let original: unknown;

beforeAll(async () => {
  pair = await Pair.start(schema, { tables }, { source: slots({ first: 0, last: 255 }), target: slots() });
  await pair.source.admin.query(`
INSERT INTO users SELECT n, 'name ' || n, n || '@example', '{"a": 1}' FROM generate_series(1, 2000) n;
INSERT INTO events SELECT n, m * 25, 'k' FROM generate_series(1, 2000) n, generate_series(1, 3) m`);
  original = await indexes();
  session = await pair.open(transfer);
});
afterAll(async () => {
  await session?.[Symbol.asyncDispose]();
  await pair?.[Symbol.asyncDispose]();
});

/** Of the target: what they are, whether they are valid, to whom they belong. */
function indexes(): Promise<unknown> {
  return value(
    pair.target.admin,
    `SELECT jsonb_agg(jsonb_build_array(pg_get_indexdef(i.indexrelid), i.indisvalid, c.relowner::regrole, c.relispartition) ORDER BY pg_get_indexdef(i.indexrelid))
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace`,
  );
}
function missing(): Promise<unknown> {
  return value(
    pair.target.admin,
    `SELECT coalesce(array_agg(n ORDER BY n COLLATE "C"), '{}') FROM unnest($1::text[]) n
     WHERE NOT EXISTS (SELECT FROM pg_class WHERE relname = n AND relkind IN ('i', 'I'))`,
    [deferred],
  );
}
const pending = () => value(pair.target.admin, 'SELECT count(*)::int FROM shardwright.deferred_index');
const dropped = () =>
  until(
    'dropped',
    () => session.dropForward(),
    done => done,
  );
const builders = () =>
  value(
    pair.target.admin,
    `SELECT count(*)::int FROM pg_stat_activity WHERE application_name LIKE 'shardwright\\_index%'`,
  );

/** Whoever writes is in the way of a build, until the connection ends. */
async function inTheWay(): Promise<Client> {
  const writer = await pair.writer('target');
  await writer.query('BEGIN; LOCK TABLE users IN ROW EXCLUSIVE MODE');
  return writer;
}
async function lookAgain(): Promise<{ readonly kind: string; readonly building: unknown }> {
  const { forward } = await session.observe();
  return { kind: forward.kind, building: await builders() };
}

describe('indexes that promise nothing', () => {
  test('are gone for the copy, and as they were when the stream has caught up', async () => {
    await session.prepare();
    await session.startForward();
    expect(await missing()).toEqual(deferred);
    const { ends } = await copied(session);
    expect(ends.target.traces).not.toContain(expect.stringContaining('indexes'));
    expect(await pending()).toBe(0);
    expect(await indexes()).toEqual(original);
  });

  test('are not dropped a second time once the stream is there', async () => {
    await session.startForward();
    expect(await missing()).toEqual([]);
  });

  test('are protected like their table', async () => {
    await pair.target.admin.query('SET ROLE shardwright_owner');
    await expect(pair.target.admin.query('DROP INDEX plain')).rejects.toMatchObject({ code: 'SW006' });
    await pair.target.admin.query('RESET ROLE');
  });

  test('are built by the next look when a build was cut off, and the copy is not over before', async () => {
    await dropped();
    await session.startForward();
    const writer = await inTheWay();
    await until('waiting to build', lookAgain, ({ building }) => building === 1);
    expect(await lookAgain()).toEqual({ kind: 'Copying', building: 1 });
    await pair.target.admin.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'shardwright\\_index%'`,
    );
    expect(await missing()).toContain('plain');
    await writer.end();
    await copied(session);
    expect(await indexes()).toEqual(original);
  });

  test('are built on although the session that began it ends', async () => {
    await dropped();
    await session.startForward();
    const writer = await inTheWay();
    {
      await using other = await pair.open(transfer);
      await until(
        'waiting to build',
        async () => {
          await other.observe();
          return builders();
        },
        count => count === 1,
      );
    }
    expect(await builders()).toBe(1);
    await writer.end();
    await until('built', pending, count => count === 0);
    expect(await indexes()).toEqual(original);
  });

  test('that cannot be built make the stream broken, and say why; another try starts afresh', async () => {
    await dropped();
    await session.startForward();
    await pair.target.admin.query(
      `UPDATE shardwright.deferred_index SET definition = replace(definition, 'lower', 'missing') WHERE definition LIKE '%lower%'`,
    );
    const { forward } = await until(
      'broken',
      () => session.observe(),
      found => found.forward.kind === 'Broken',
    );
    expect(forward).toMatchObject({ reason: 'IndexFails', message: expect.stringContaining('missing') });
    expect(await missing()).toEqual(['part_of']);
    await dropped();
    await pair.target.admin.query(
      `UPDATE shardwright.deferred_index SET definition = replace(definition, 'missing', 'lower')`,
    );
    await session.startForward();
    await copied(session);
    expect(await indexes()).toEqual(original);
  });

  test('are back when the transfer is undone before they were built', async () => {
    await dropped();
    await session.startForward();
    expect(await missing()).toEqual(deferred);
    await cleaned(session, 'target');
    expect(await indexes()).toEqual(original);
    expect((await session.observe()).ends.target.traces).toEqual([]);
  });

  test('stay where the target has rows of its own', async () => {
    await using other = await pair.open({ ...transfer, id: 'index2', targetEmpty: false });
    await other.prepare();
    await other.startForward();
    expect(await missing()).toEqual([]);
    await cleaned(other, 'target');
  });
});
