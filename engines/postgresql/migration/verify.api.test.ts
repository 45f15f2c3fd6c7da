/** Verification on real databases that replicate: what it must find, and what it must not call a difference. */
import type { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { End, Transfer } from '#engines/migration.ts';
import { startTwoDatabases, type TwoDatabases } from './testing/two-databases.ts';
import { verify } from './verify.ts';

const inHalf = '(hashint8extended(id, 0) & 255) <= 127';
const transfer: Transfer = {
  id: 'check1',
  migration: 'split-0',
  keyType: 'bigint',
  partition: { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 127 }] },
  whole: false,
  targetEmpty: true,
  tables: [{ name: 'users', key: 'id' }],
};
const schema = 'CREATE TABLE users (id bigint PRIMARY KEY, name text, age int, score numeric)';
const rowsOf = (from: number, to: number) =>
  `SELECT i, 'user ' || i, i % 90, i * 1.10 FROM generate_series(${from}, ${to}) AS i`;

let databases: TwoDatabases;
let source: Client;
let target: Client;

beforeAll(async () => {
  databases = await startTwoDatabases(schema);
  ({ source, target } = databases);
  await databases.replicate('source', 'target', ['users'], inHalf);
  await databases.replicate('target', 'source', ['users'], inHalf);
  // What is planted here is tagged, as a faulty stream's own rows would be: it does not flow back.
  for (const [name, client] of Object.entries({ source, target }))
    await client.query(
      `SELECT pg_replication_origin_create('planted_${name}'); SELECT pg_replication_origin_session_setup('planted_${name}')`,
    );
});
afterAll(() => databases?.[Symbol.asyncDispose]());

beforeEach(async () => {
  await source.query(`TRUNCATE users; INSERT INTO users ${rowsOf(1, 3000)}`);
  await target.query(
    `TRUNCATE users; INSERT INTO users SELECT * FROM (${rowsOf(1, 3000)}) AS r (id, name, age, score) WHERE ${inHalf}`,
  );
});

const pace = { pause: (ms: number) => databases.sleep(ms), random: () => 0, patienceMs: 30_000 };
const check = (stream: 'forward' | 'back' = 'forward', mode: 'Full' | 'Sample' = 'Full') =>
  verify(databases.ends, transfer, stream, mode);

/** The id of the row at a place in the order of ids, of those that move. */
async function movingId(place: number): Promise<string> {
  const { rows } = await source.query<{ id: string }>(
    `SELECT id FROM users WHERE ${inHalf} ORDER BY id LIMIT 1 OFFSET $1`,
    [place],
  );
  return rows[0]?.id ?? '';
}

async function movingRows(): Promise<number> {
  const { rows } = await source.query<{ n: number }>(`SELECT count(*)::int AS n FROM users WHERE ${inHalf}`);
  return rows[0]?.n ?? 0;
}

/** An id, whether it moves or not. */
const any = () => Math.ceil(Math.random() * 3000);

/** Writers at the end that leads, one hot row changed there and back, one coming and going all the time. */
async function underWrites(end: End, work: () => Promise<void>): Promise<number> {
  const stop = new AbortController();
  let written = 0;
  const hot = await movingId(5);
  const fleeting = await movingId(6);
  const loop = async (statement: () => string) => {
    const client = await databases.connect(end);
    while (!stop.signal.aborted) {
      await client.query(statement());
      written++;
      await databases.sleep(2);
    }
    await client.end();
  };
  let next = 10_000;
  const writers = [
    loop(() => `INSERT INTO users VALUES (${next++}, 'new', 1, 1)`),
    loop(() => `UPDATE users SET age = age + 1 WHERE id = ${any()}`),
    loop(() => `UPDATE users SET age = age + 1 WHERE id = ${any()}`),
    loop(() => `DELETE FROM users WHERE id = ${any()} AND id NOT IN (${hot}, ${fleeting}, 1)`),
    loop(() => `UPDATE users SET age = -age WHERE id = ${hot}`),
    loop(
      () => `DELETE FROM users WHERE id = ${fleeting}; INSERT INTO users VALUES (${fleeting}, 'same', 1, 1)`,
    ),
  ];
  try {
    await work();
  } finally {
    stop.abort();
    await Promise.all(writers);
  }
  return written;
}

describe('at rest', () => {
  test('equal content matches, whatever else the ends hold', async () => {
    await target.query(
      `INSERT INTO users SELECT * FROM (${rowsOf(5000, 6000)}) AS r (id, name, age, score) WHERE NOT ${inHalf}`,
    );
    expect(await check()).toEqual({ matches: true, rows: await movingRows(), differences: [] });
    expect((await check('back')).matches).toBe(true);
  });

  test.each<[string, (id: string) => string, string]>([
    ['a changed value', id => `UPDATE users SET age = -1 WHERE id = ${id}`, 'different in age'],
    ['a missing row', id => `DELETE FROM users WHERE id = ${id}`, 'missing at the target'],
    [
      'another scale of the same number',
      id => `UPDATE users SET score = score::numeric(20,9) WHERE id = ${id}`,
      'different in score',
    ],
    ['NULL', id => `UPDATE users SET name = NULL WHERE id = ${id}`, 'different in name'],
    [
      'an empty string',
      id => `UPDATE users SET name = '', age = NULL WHERE id = ${id}`,
      'different in age, name',
    ],
  ])('%s is found and named', async (_, plant, words) => {
    const id = await movingId(700);
    await target.query(plant(id));
    expect(await check()).toMatchObject({
      matches: false,
      differences: [`public.users (id) = (${id}): ${words}`],
    });
  });

  test('NULL where the other end has an empty string is found', async () => {
    const id = await movingId(3);
    await source.query(`UPDATE users SET name = NULL WHERE id = ${id}`);
    await target.query(`UPDATE users SET name = '' WHERE id = ${id}`);
    expect((await check()).differences).toEqual([`public.users (id) = (${id}): different in name`]);
  });

  test('a row that only the target has is found', async () => {
    const id = await movingId(10);
    await source.query(`DELETE FROM users WHERE id = ${id}`);
    expect((await check()).differences).toEqual([
      `public.users (id) = (${id}): at the target, not at the source`,
    ]);
  });

  test('when the target takes writes it is the one to agree with', async () => {
    const id = await movingId(10);
    await source.query(`DELETE FROM users WHERE id = ${id}`);
    expect((await check('back')).differences).toEqual([`public.users (id) = (${id}): missing at the source`]);
  });

  test('two rows that swapped their content are found: sums of whole rows do not cancel out', async () => {
    const [one, two] = [await movingId(1), await movingId(2)];
    await target.query(
      `UPDATE users SET (name, age, score) = (SELECT name, age, score FROM users AS o
         WHERE o.id = CASE users.id WHEN ${one} THEN ${two} ELSE ${one} END) WHERE id IN (${one}, ${two})`,
    );
    expect((await check()).differences).toHaveLength(2);
  });

  test('an empty target is told by a few rows, not by all', async () => {
    await target.query('TRUNCATE users');
    const { matches, differences } = await check();
    expect(matches).toBe(false);
    expect(differences).toHaveLength(5);
  });

  test('samples together are the whole: exactly one of sixteen sees a difference', async () => {
    await target.query(`DELETE FROM users WHERE id = ${await movingId(33)}`);
    let found = 0;
    let rows = 0;
    for (let sixteenth = 0; sixteenth < 16; sixteenth++) {
      const options = { ...pace, random: () => sixteenth / 16 };
      const sample = await verify(databases.ends, transfer, 'forward', 'Sample', options);
      if (!sample.matches) found++;
      rows += sample.rows;
    }
    expect(found).toBe(1);
    expect(rows).toBe(await movingRows());
  });

  test('what was planted after the first verification is found by the second, and by nothing but the second', async () => {
    const id = await movingId(50);
    const accepted = async (second: 'made' | 'skipped') => {
      await target.query(`UPDATE users SET age = id % 90 WHERE id = ${id}`);
      if (!(await check('forward')).matches) return false;
      await target.query(`UPDATE users SET age = -7 WHERE id = ${id}`);
      return second === 'skipped' || (await check('back')).matches;
    };
    expect(await accepted('made')).toBe(false);
    // The sabotaged twin.
    expect(await accepted('skipped')).toBe(true);
  });

  test('a follower that nothing reaches is an error, not an answer', async () => {
    await target.query('ALTER SUBSCRIPTION source_to_target DISABLE');
    const options = { ...pace, patienceMs: 300 };
    await expect(verify(databases.ends, transfer, 'forward', 'Full', options)).rejects.toMatchObject({
      code: 'FollowerBehind',
    });
    await target.query('ALTER SUBSCRIPTION source_to_target ENABLE');
  });

  test('leaves no connection behind', async () => {
    await check();
    const { rows } = await source.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE state = 'idle in transaction' OR query LIKE '%shardwright.marker%' AND pid <> pg_backend_pid() AND state = 'active'`,
    );
    expect(rows[0]?.n).toBe(0);
  });
});

describe('under writes', () => {
  test.each([
    ['forward', 'source'],
    ['back', 'target'],
  ] as const)('%s: never a false alarm, and a planted difference is found', async (stream, leader) => {
    const follower = leader === 'source' ? target : source;
    await source.query(
      `INSERT INTO users SELECT * FROM (${rowsOf(900_000, 903_000)}) AS r (id, name, age, score) WHERE ${inHalf}`,
    );
    await target.query(
      `INSERT INTO users SELECT * FROM (${rowsOf(900_000, 903_000)}) AS r (id, name, age, score) WHERE ${inHalf}`,
    );
    const { rows } = await source.query<{ id: string }>(
      `SELECT id FROM users WHERE id >= 900000 AND ${inHalf} ORDER BY id LIMIT 1`,
    );
    const quiet = rows[0]?.id ?? '';
    const written = await underWrites(leader, async () => {
      for (let i = 0; i < 6; i++)
        expect(await check(stream)).toMatchObject({ matches: true, differences: [] });
      await follower.query(`UPDATE users SET name = 'planted' WHERE id = ${quiet}`);
      for (let i = 0; i < 3; i++)
        expect((await check(stream)).differences).toEqual([
          `public.users (id) = (${quiet}): different in name`,
        ]);
    });
    expect(written).toBeGreaterThan(500);
  });
});
