/**
 * Two real databases in the middle of a migration, treated as those that come back from a backup: what each knew gives the map, and
 * making sure of its logins leaves every row at exactly one of them. Copies of the files are not needed for that: what is brought back is
 * what the databases hold.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { claimsOf } from '#controllers/shard-cluster/recovery/claims.ts';
import type { End, Transfer, TransferSession } from '#engines/migration.ts';
import { ends, Pair, until, value } from '#engines/postgresql/migration/testing/pair.ts';
import { connectStreams } from '#engines/postgresql/migration/testing/steer.ts';
import { foundShard } from '#engines/postgresql/recovery/found.ts';
import {
  foundStatement,
  prepareStatements,
  restoredTable,
} from '#engines/postgresql/recovery/recovered-sql.ts';
import type { Partition } from '#sharding/partition.ts';

const slots = (first: number, last: number): Partition => ({
  kind: 'slots',
  slots: 256,
  ranges: [{ first, last }],
});
const nothing: Partition = { kind: 'slots', slots: 256, ranges: [] };
const moving = 'hashint8extended(id, 0) & 255 >= 128';
const transfer: Transfer = {
  id: 'x1',
  migration: 'split',
  keyType: 'bigint',
  partition: slots(128, 255),
  whole: false,
  targetEmpty: true,
  tables: [{ name: 'users', key: 'id' }],
};
const ROWS = 300;

let pair: Pair;
let session: TransferSession;

beforeEach(async () => {
  pair = await Pair.start(
    'CREATE TABLE users (id bigint PRIMARY KEY, name text)',
    { tables: transfer.tables },
    { source: slots(0, 255), target: nothing },
  );
  await pair.source.admin.query(
    `INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, ${ROWS}) AS n`,
  );
  session = await pair.open(transfer);
  await connectStreams(session);
}, 240_000);
afterEach(async () => {
  await session[Symbol.asyncDispose]();
  await pair[Symbol.asyncDispose]();
});

/** Both at once, as a backup would have them: no stream runs, whatever the databases say of it. */
async function cutOff(): Promise<void> {
  await pair.target.admin.query('ALTER SUBSCRIPTION sw_x1_f DISABLE');
  await pair.source.admin.query('ALTER SUBSCRIPTION sw_x1_b DISABLE');
  for (const end of ends)
    await until(
      'cut off',
      () => value(pair[end].admin, 'SELECT count(*)::int FROM pg_replication_slots WHERE active'),
      count => count === 0,
    );
}

/** As `member recover` leaves a database. */
async function comeBack(end: End) {
  const { admin } = pair[end];
  const found = foundShard.parse(await value(admin, foundStatement));
  for (const statement of prepareStatements) await admin.query(statement);
  return found;
}

/** Both come back; then the map is made, and logins are made sure of. */
async function recover(): Promise<void> {
  await cutOff();
  const shards = [
    { ordinal: 1, found: await comeBack('target') },
    { ordinal: 0, found: await comeBack('source') },
  ];
  const claims = claimsOf(shards, 'bigint', nothing);
  for (const [ordinal, end] of ends.entries()) {
    const found = shards.find(shard => shard.ordinal === ordinal)!.found;
    pair[end].partition = claims.get(ordinal)!;
    pair[end].generations = { write: found.generation + 1, read: found.readerGeneration + 1 };
    await pair.ensureAccess(end);
  }
}

async function rows(end: End): Promise<readonly unknown[]> {
  return [
    await value(pair[end].admin, `SELECT count(*)::int FROM users WHERE NOT (${moving})`),
    await value(pair[end].admin, `SELECT count(*)::int FROM users WHERE ${moving}`),
  ];
}

async function isClean(end: End): Promise<void> {
  const { admin } = pair[end];
  for (const [what, sql] of [
    ['journals', 'SELECT count(*)::int FROM shardwright.transfer'],
    ['notes', `SELECT count(*)::int FROM pg_class WHERE oid = to_regclass('${restoredTable}')`],
    ['policies', 'SELECT count(*)::int FROM pg_policy'],
    ['publications', 'SELECT count(*)::int FROM pg_publication'],
    ['subscriptions', 'SELECT count(*)::int FROM pg_subscription'],
    ['slots', 'SELECT count(*)::int FROM pg_replication_slots'],
    ['movers', `SELECT count(*)::int FROM pg_roles WHERE rolname ~ 'mover'`],
  ] as const)
    expect([end, what, await value(admin, sql)]).toEqual([end, what, 0]);
  const { write, read } = pair[end].generations;
  expect(
    await value(
      admin,
      `SELECT array_agg(rolname::text ORDER BY rolname) FROM pg_roles WHERE rolname ~ '^app_(ro_)?g' AND rolcanlogin`,
    ),
  ).toEqual([`app_g${write}`, `app_ro_g${read}`]);
}

test('before the cutover: the source has all, what was copied is gone, and clients see every row once', async () => {
  const [stay, move] = await rows('source');
  await recover();
  expect([await rows('source'), await rows('target')]).toEqual([
    [stay, move],
    [0, 0],
  ]);
  for (const end of ends) await isClean(end);
  const reader = await pair.reader('source');
  expect(await value(reader, 'SELECT count(*)::int FROM users')).toBe(ROWS);
});

test('just after the decision, before anybody was told: each has its own part, with what was written last', async () => {
  const [stay, move] = await rows('source');
  await pair.source.admin.query(`UPDATE users SET name = 'last'`);
  expect(
    await session.fence(pair.switchTo('write', 'target'), { lockTimeoutMs: 1000, maxStallMs: 10_000 }),
  ).toMatchObject({ kind: 'Fenced' });
  await recover();
  expect([await rows('source'), await rows('target')]).toEqual([
    [stay, 0],
    [0, move],
  ]);
  for (const end of ends) await isClean(end);
  expect(await value(pair.target.admin, `SELECT count(*)::int FROM users WHERE name = 'last'`)).toBe(move);
  const writer = await pair.writer('target');
  await writer.query(`UPDATE users SET name = 'new'`);
});

test('decided, but the target came back to before it had all: the source keeps what was to move', async () => {
  const [stay, move] = await rows('source');
  await session.fence(pair.switchTo('write', 'target'), { lockTimeoutMs: 1000, maxStallMs: 10_000 });
  // What the target would look like a moment earlier.
  await pair.target.admin.query(
    'DELETE FROM shardwright.marker; UPDATE shardwright.transfer SET decision = NULL',
  );
  await recover();
  expect([await rows('source'), await rows('target')]).toEqual([
    [stay, move],
    [0, 0],
  ]);
  for (const end of ends) await isClean(end);
});
