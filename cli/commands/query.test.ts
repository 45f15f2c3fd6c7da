import { expect, test } from 'vitest';
import type { Client, MergeOptions } from '#client/client.ts';
import type { Result, Row, ShardResult } from '#client/result.ts';
import type { Io } from '../io.ts';
import { type QueryOptions, query } from './query.ts';

/** A client whose shards answer with these rows. */
function answering(parts: Readonly<Record<string, readonly Row[]>>): {
  client: Pick<Client, 'scatter'>;
  asked: MergeOptions<Row, Result>[];
} {
  const asked: MergeOptions<Row, Result>[] = [];
  const results = Object.entries(parts).map(
    ([shard, rows]): ShardResult => ({ shard, rows: [...rows], rowCount: rows.length, command: 'SELECT' }),
  );
  const scatter = (_sql: string, options: MergeOptions<Row, Result>): Promise<Result> => {
    asked.push(options);
    return Promise.resolve(options.merge(results));
  };
  return { client: { scatter }, asked };
}

async function run(
  parts: Readonly<Record<string, readonly Row[]>>,
  options: Partial<QueryOptions> = {},
  format: 'table' | 'json' = 'table',
) {
  let [out, error] = ['', ''];
  const io: Io = {
    out: text => void (out += text),
    error: text => void (error += text),
    now: () => new Date(0),
    terminal: false,
    columns: undefined,
    sleep: () => Promise.resolve(),
    run: () => Promise.resolve(0),
  };
  const { client, asked } = answering(parts);
  await query(io, client, 'select', { timeoutMs: 1000, ...options }, format);
  return { out, error, asked };
}

const cities = {
  'social-0': [
    { name: 'Oslo', n: '3' },
    { name: 'Rome', n: '1' },
  ],
  'social-1': [{ name: 'Bern', n: '2' }],
};

test('rows come shard after shard', async () => {
  const { out, error } = await run(cities);
  expect(out).toBe('name   n\nOslo   3\nRome   1\nBern   2\n');
  expect(error).toBe('SELECT: 3 rows\n');
});

test('--by-shard says where each row is from', async () => {
  expect((await run(cities, { byShard: true })).out).toMatch(/^social-1 +Bern +2$/m);
});

test('--aggregate makes one row, exactly', async () => {
  const parts = { a: [{ n: '9007199254740993' }], b: [{ n: '2' }] };
  expect((await run(parts, { aggregate: ['n=sum'] })).out).toBe('n\n9007199254740995\n');
  expect((await run(cities, { aggregate: ['n=max'] })).out).toBe('n\n3\n');
});

test('--group-by makes one row for each value', async () => {
  const parts = {
    a: [
      { c: 'NO', n: '1' },
      { c: 'IT', n: '5' },
    ],
    b: [{ c: 'NO', n: '2' }],
  };
  expect((await run(parts, { aggregate: ['n=sum'], groupBy: ['c'] })).out).toBe('c    n\nNO   3\nIT   5\n');
});

test('--order-by merges sorted rows, --limit cuts', async () => {
  const { out } = await run(cities, { orderBy: ['n:desc'], limit: 2 });
  expect(out).toBe('name   n\nOslo   3\nBern   2\n');
});

test('--replica and --sequential reach the client', async () => {
  const { asked } = await run(cities, { replica: true, sequential: true });
  expect(asked[0]).toMatchObject({ read: 'replica', strategy: 'sequential', timeoutMs: 1000 });
});

test('JSON keeps values as the driver gives them', async () => {
  const { out } = await run({ a: [{ n: 1n, at: new Date(0), no: null }] }, {}, 'json');
  expect(JSON.parse(out)).toEqual({
    command: 'SELECT',
    rowCount: 1,
    rows: [{ n: '1', at: '1970-01-01T00:00:00.000Z', no: null }],
  });
});

test('a statement without rows tells its command', async () => {
  const { out, error } = await run({ a: [], b: [] });
  expect([out, error]).toEqual(['', 'SELECT: 0 rows\n']);
});

test('cells stay on their line', async () => {
  const { out } = await run({
    a: [{ text: 'one\ntwo', bytes: Buffer.from('hi'), list: [1, 2], yes: true, none: null }],
  });
  expect(out.split('\n')[1]).toBe('one\\ntwo   \\x6869   [1,2]   true');
});
