/** The example of docs/archive.md, over files that went through a real object store, by a reader that is neither ours nor the verifier. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { path, World } from '../testing/world.ts';

const table = { name: 'messages', column: 'created_at', olderThanSeconds: 86_400 };

let world: World;
let folder: string;

beforeAll(async () => {
  world =
    await World.start(`CREATE TABLE messages (id bigint PRIMARY KEY, created_at timestamptz, price numeric(30,4), small numeric(9,2),
    details jsonb, labels text[], born date, raw bytea, local timestamp, ratio float8, "1" int, "a, ""b""" int, key uuid)`);
  await world.useRealStore();
  await world.admin.query(`INSERT INTO messages
    SELECT n, '2001-02-01 12:00:00.000001+00'::timestamptz + n * interval '1 hour', n * -1000000000000.0001, n - 50, jsonb_build_object('tag', 't' || n % 3),
      CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN '{}' WHEN 2 THEN '{urgent,NULL}' ELSE '{"a, b",urgent}' END::text[],
      '1969-12-31'::date + n, int4send(n), '2001-02-01'::timestamp, n / 7.0, NULL, n, lpad(n::text, 32, '0')::uuid
    FROM generate_series(1, 100) n`);
  const { failure } = await world.run([table], { deleteAfter: true });
  if (failure) throw new Error(failure.message);
  folder = await mkdtemp(join(tmpdir(), 'archive-'));
  for (const key of await world.store.list(`${path}/`)) {
    const file = join(folder, key.slice(path.length + 1));
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, (await world.store.get(key)) ?? '');
  }
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function ask(sql: string): Promise<readonly unknown[]> {
  const database = await DuckDBInstance.create(':memory:');
  const connection = await database.connect();
  try {
    await connection.run("SET TimeZone = 'UTC'");
    return (await connection.runAndReadAll(sql)).getRowObjectsJson();
  } finally {
    connection.closeSync();
    database.closeSync();
  }
}

describe('DuckDB', () => {
  test('runs the example of the documentation', async () => {
    const page = await readFile(join(import.meta.dirname, '../../docs/archive.md'), 'utf8');
    const example = /```sql\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
    expect(example).toContain("'archive/");
    expect(await ask(example.replaceAll("'archive/", `'${folder}/archive/`))).toMatchInlineSnapshot(`
      [
        {
          "day": "2001-02-03 00:00:00+00",
          "messages": "12",
          "tag": "t2",
          "total": "-582000000000000.0582",
        },
        {
          "day": "2001-02-04 00:00:00+00",
          "messages": "12",
          "tag": "t2",
          "total": "-870000000000000.0870",
        },
        {
          "day": "2001-02-05 00:00:00+00",
          "messages": "8",
          "tag": "t2",
          "total": "-740000000000000.0740",
        },
      ]
    `);
  });

  test('sees every value as the database had it', async () => {
    const files = `read_parquet('${folder}/archive/*/*/*/*.parquet')`;
    expect(
      await ask(`SELECT count(*)::int AS rows, count(DISTINCT id)::int AS ids, sum(price)::text AS price, sum(small)::text AS small,
      min(created_at)::text AS first, min(born)::text AS born, min(local)::text AS local, max(ratio) AS ratio FROM ${files}`),
    ).toEqual([
      {
        rows: 100,
        ids: 100,
        price: '-5050000000000000.5050',
        small: '50.00',
        first: '2001-02-01 13:00:00.000001+00',
        born: '1970-01-01',
        local: '2001-02-01 00:00:00',
        ratio: 100 / 7,
      },
    ]);
    expect(
      await ask(
        `SELECT id, key, labels, hex(raw) AS raw, details::text AS details FROM ${files} WHERE id IN (2, 3, 4, 5) ORDER BY id`,
      ),
    ).toEqual([
      {
        id: '2',
        key: '00000000-0000-0000-0000-000000000002',
        labels: ['urgent', null],
        raw: '00000002',
        details: '{"tag": "t2"}',
      },
      {
        id: '3',
        key: '00000000-0000-0000-0000-000000000003',
        labels: ['a, b', 'urgent'],
        raw: '00000003',
        details: '{"tag": "t0"}',
      },
      {
        id: '4',
        key: '00000000-0000-0000-0000-000000000004',
        labels: null,
        raw: '00000004',
        details: '{"tag": "t1"}',
      },
      {
        id: '5',
        key: '00000000-0000-0000-0000-000000000005',
        labels: [],
        raw: '00000005',
        details: '{"tag": "t2"}',
      },
    ]);
  });

  test('passes over row groups by their bounds, and finds what is there', async () => {
    const files = `read_parquet('${folder}/archive/*/*/*/*.parquet')`;
    for (const [condition, rows] of [
      ['small < 0', 49],
      ['small = -49', 1],
      ['small >= 50', 1],
      [`born <= DATE '1970-01-01'`, 1],
      ['"a, ""b""" = 7', 1],
      ['"1" IS NULL', 100],
      [`created_at < TIMESTAMPTZ '2001-02-01 14:00:00.000001+00'`, 1],
      ['price < -99500000000000', 1],
    ] as const)
      expect(await ask(`SELECT count(*)::int AS rows FROM ${files} WHERE ${condition}`)).toEqual([{ rows }]);
  });
});
