/**
 * Rows of every awkward kind survive a move and what is written after it, byte for byte. The judge is the binary form of COPY, which
 * knows nothing of hashes or text; verification has to agree with it.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { End, FenceLimits, Transfer, TransferSession } from '#engines/migration.ts';
import type { Partition } from '#sharding/partition.ts';
import { Pair, value } from './testing/pair.ts';
import { allClosed, cleaned, copied, switchReaders, switchWriters } from './testing/steer.ts';

const exec = promisify(execFile);
const limits: FenceLimits = { lockTimeoutMs: 500, maxStallMs: 20_000 };
const slots = (first: number, last: number): Partition => ({
  kind: 'slots',
  slots: 256,
  ranges: [{ first, last }],
});
const moving = (expression: string) => `(${expression} & 255) < 128`;

interface Table {
  readonly name: string;
  readonly key: string;
  /** Of the rows that move. */
  readonly where: string;
  /** In the order to compare them in. */
  readonly order: string;
  /** Those whose binary form holds numbers of the database itself, as text. */
  readonly columns: string;
}

interface Story {
  readonly keyType: 'bigint' | 'text' | 'uuid';
  readonly schema: string;
  /** At the target only: the same columns in another order, and other rows gone before. */
  readonly targetOnly?: string;
  readonly fill: string;
  /** While the copy runs. */
  readonly meanwhile: string;
  /** By the application at the target, of `$KEY`, a key that has moved. */
  readonly after: readonly string[];
  readonly tables: readonly Table[];
}

const bytes = `decode(repeat('00010203fcfdfeff', 20000), 'hex')`;
/** Does not compress, so it is stored out of line. */
const noise = (seed: string, count: number) =>
  `(SELECT string_agg(md5(${seed}::text || i), '') FROM generate_series(1, ${count}) AS i)`;

const stories: Readonly<Record<string, Story>> = {
  'bigint keys: wide rows, awkward types, partitions': {
    keyType: 'bigint',
    schema: `
CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"');
CREATE DOMAIN percent AS numeric CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE wide (gone int, id bigint, part smallint, body text, raw bytea, plain text, doc jsonb, old_doc json, tags text[], grid int[], amounts numeric[],
  amount numeric, price numeric(12, 4), at timestamptz, local timestamp, day date, hour timetz, span interval, mood mood, moods mood[],
  twice numeric GENERATED ALWAYS AS (price * 2) STORED, number bigint GENERATED ALWAYS AS IDENTITY, counter serial,
  single real, double double precision, token uuid, net inet, mac macaddr, span_of int4range, days datemultirange, place point, area polygon,
  page xml, bits bit(5), more_bits bit varying, fixed char(5), short varchar(9), cash money, words tsvector, share percent, both_of pair, pairs pair[],
  "Mixed ""Case""" text DEFAULT 'x', "select" bool, PRIMARY KEY (part, id));
ALTER TABLE wide DROP gone;
ALTER TABLE wide ALTER raw SET STORAGE EXTERNAL;
CREATE INDEX ON wide USING gin (doc);
CREATE TABLE events (id bigint, day date, kind text, note text, PRIMARY KEY (id, day, kind)) PARTITION BY RANGE (day);
CREATE TABLE events_a PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-07-01') PARTITION BY LIST (kind);
CREATE TABLE events_a_x PARTITION OF events_a FOR VALUES IN ('x');
CREATE TABLE events_a_rest PARTITION OF events_a DEFAULT;
CREATE TABLE events_b PARTITION OF events DEFAULT;`,
    targetOnly: `ALTER TABLE wide DROP short, ADD short varchar(9); ALTER TABLE wide DROP body, ADD body text`,
    fill: `
INSERT INTO wide (id, part) SELECT i, 0 FROM generate_series(1, 20) i;
INSERT INTO wide (id, part, body, raw, plain, doc, old_doc, tags, grid, amounts, amount, price, at, local, day, hour, span, mood, moods, single, double,
  token, net, mac, span_of, days, place, area, page, bits, more_bits, fixed, short, cash, words, share, both_of, pairs, "Mixed ""Case""", "select")
SELECT i, i % 3 + 1, ${noise('i', 300)}, CASE WHEN i % 4 = 0 THEN ${bytes} ELSE decode('', 'hex') END,
  (ARRAY['', E'\\\\N', E'\\\\.', E'tab\\tline\\nreturn\\r', '''"\\', U&'\\+01F600 e\\0301 \\+10FFFF', ' NULL ', 'NULL'])[i % 8 + 1],
  (ARRAY['{"n": 1.00, "b": [true, null, "\\u00e9\\ud83d\\ude00"], "": {}}', 'null', '1e300', '"\\"x\\""'])[i % 4 + 1]::jsonb, '{"b":  1, "a": 2, "a": 3}',
  (ARRAY['{}', '{NULL,"NULL","a,b","{","\\"",""}', '[0:1]={x,y}'])[i % 3 + 1]::text[], (ARRAY['{{1,2},{3,NULL}}', '[-1:0][2:2]={{7},{8}}'])[i % 2 + 1]::int[],
  '{1.0,1.00,NaN}', (ARRAY['1.0', '1.00', 'NaN', 'Infinity', '-0.000', '1e-900', '123456789012345678901234567890.5'])[i % 7 + 1]::numeric, i + 0.5,
  (ARRAY['infinity', '-infinity', '4713-01-01 BC', '2026-03-29 02:30:00.123456+02', '294276-01-01'])[i % 5 + 1]::timestamptz, '2026-10-25 02:30:00.000001',
  (ARRAY['infinity', '4713-01-01 BC', '2026-02-28'])[i % 3 + 1]::date, '24:00:00-15:59', (ARRAY['1 mon', '30 days', '-1 year 2 mons -3 days 04:05:06.7', '720:00:00'])[i % 4 + 1]::interval,
  (ARRAY['sad', 'ok', 'it''s "fine"'])[i % 3 + 1]::mood, '{sad,NULL,"it''s \\"fine\\""}', (ARRAY['-0', 'NaN', '1e-45', '3.4028235e38', '0.1'])[i % 5 + 1]::real,
  (ARRAY['-0', 'Infinity', '5e-324', '0.1', '1.7976931348623157e308'])[i % 5 + 1]::float8, gen_random_uuid(), '::ffff:1.2.3.4/120', '08:00:2b:01:02:03',
  (ARRAY['empty', '[1,5)', '(,)'])[i % 3 + 1]::int4range, '{[2026-01-01,2026-02-01),[2027-01-01,)}', '(1e-300,-0)', '((0,0),(1,1),(1,0))', '<a b="1">&amp; <c/></a>',
  B'10101', B'', 'a', 'é', 12.34, 'a:1A fat:2B,4C cat:5D'::tsvector, 33.30, ROW(NULL, '')::pair, ARRAY[ROW(1, 'x,"y')::pair, NULL], NULL, i % 2 = 0
FROM generate_series(100, 300) i;
INSERT INTO events SELECT i, '2026-01-01'::date + i * 5 % 400, (ARRAY['x', 'y'])[i % 2 + 1], ${noise('i', 90)} FROM generate_series(1, 300) i;`,
    meanwhile: `
UPDATE wide SET "select" = NOT "select" WHERE id % 2 = 0;
UPDATE wide SET raw = ${bytes} || 'x'::bytea, body = ${noise('id', 200)} WHERE id % 5 = 0;
UPDATE wide SET body = NULL, doc = '{}' WHERE id % 7 = 0;
DELETE FROM wide WHERE id % 11 = 0;
UPDATE events SET note = '' WHERE id % 3 = 0;
UPDATE events SET day = day + 200 WHERE id % 4 = 0;
DELETE FROM events WHERE id % 13 = 0;`,
    after: [
      'UPDATE wide SET "select" = NULL, mood = \'sad\' WHERE id = $KEY',
      "INSERT INTO wide (id, part, body, price) VALUES ($KEY, 99, 'new', 7)",
      'UPDATE wide SET price = price + 1 WHERE id = $KEY',
      `UPDATE events SET note = ${noise('id', 100)} WHERE id = $KEY`,
      `INSERT INTO events VALUES ($KEY, '2026-05-05', 'x', 'again')`,
    ],
    tables: [
      {
        name: 'wide',
        key: 'id',
        where: moving('hashint8extended(id, 0)'),
        order: 'part, id',
        columns: `id, part, body, raw, plain, doc, old_doc::text, tags, grid, amounts, amount, price, at, local, day, hour, span, mood, moods::text, twice, number,
          counter, single, double, token, net, mac, span_of, days, place, area, page::text, bits, more_bits, fixed, short, cash, words, share, both_of::text, pairs::text,
          "Mixed ""Case""", "select"`,
      },
      {
        name: 'events',
        key: 'id',
        where: moving('hashint8extended(id, 0)'),
        order: 'id, day, kind',
        columns: 'id, day, kind, note',
      },
    ],
  },
  'text keys': {
    keyType: 'text',
    schema: `
CREATE TABLE pages (tenant text, path varchar(600), body text, hits bigint DEFAULT 0, PRIMARY KEY (path, tenant));
CREATE TABLE "user" (tenant varchar(600) COLLATE "C" PRIMARY KEY, plan jsonb, UNIQUE (tenant, plan));`,
    fill: `
INSERT INTO "user" SELECT (ARRAY['', ' ', '''', '"', E'\\\\', U&'\\+01F600', 'é', U&'e\\0301', E'new\\nline', repeat('long', 140)])[i % 10 + 1] || CASE WHEN i < 10 THEN '' ELSE i::text END,
  jsonb_build_object('n', i) FROM generate_series(0, 199) i;
INSERT INTO pages SELECT tenant, '/' || n || '%_\\', ${noise('n', 150)} FROM "user", generate_series(1, 3) n;`,
    meanwhile: `
UPDATE pages SET hits = hits + 1; UPDATE pages SET path = path || '/moved' WHERE path LIKE '/2%'; UPDATE "user" SET plan = NULL WHERE tenant LIKE '%5';
DELETE FROM pages WHERE path LIKE '/3%' AND tenant LIKE '%7';`,
    after: [`UPDATE pages SET hits = -1 WHERE tenant = $KEY`, `INSERT INTO pages VALUES ($KEY, '', NULL)`],
    tables: [
      {
        name: 'pages',
        key: 'tenant',
        where: moving('hashtextextended(tenant, 0)'),
        order: 'path, tenant',
        columns: '*',
      },
      {
        name: 'user',
        key: 'tenant',
        where: moving('hashtextextended(tenant, 0)'),
        order: 'tenant',
        columns: '*',
      },
    ],
  },
  'uuid keys': {
    keyType: 'uuid',
    schema: `
CREATE TABLE accounts (id uuid PRIMARY KEY, name text);
CREATE TABLE entries (number bigserial, account uuid NOT NULL REFERENCES accounts, amount numeric NOT NULL, note text, PRIMARY KEY (number));
CREATE UNIQUE INDEX entries_identity ON entries (number, account);
ALTER TABLE entries REPLICA IDENTITY USING INDEX entries_identity;
CREATE TABLE logs (account uuid NOT NULL, line int, text json, PRIMARY KEY (line, account));
ALTER TABLE logs REPLICA IDENTITY FULL;`,
    fill: `
INSERT INTO accounts SELECT md5(i::text)::uuid, 'account ' || i FROM generate_series(1, 300) i;
INSERT INTO entries (account, amount, note) SELECT id, 0.10, ${noise('id', 100)} FROM accounts, generate_series(1, 3);
INSERT INTO logs SELECT id, n, '{"a" : 1}' FROM accounts, generate_series(1, 3) n;`,
    meanwhile: `
UPDATE entries SET amount = amount * 10 WHERE number % 2 = 0; DELETE FROM entries WHERE number % 17 = 0;
UPDATE logs SET text = '{ }' WHERE line = 2; DELETE FROM logs WHERE line = 3; UPDATE accounts SET name = NULL WHERE name LIKE '%9';`,
    after: [
      `UPDATE entries SET amount = 1.000 WHERE account = $KEY`,
      `INSERT INTO entries (account, amount) VALUES ($KEY, 5)`,
      `UPDATE logs SET text = 'null' WHERE account = $KEY`,
      `DELETE FROM logs WHERE account = $KEY AND line = 1`,
    ],
    tables: [
      { name: 'accounts', key: 'id', where: moving('uuid_hash_extended(id, 0)'), order: 'id', columns: '*' },
      {
        name: 'entries',
        key: 'account',
        where: moving('uuid_hash_extended(account, 0)'),
        order: 'number, account',
        columns: '*',
      },
      {
        name: 'logs',
        key: 'account',
        where: moving('uuid_hash_extended(account, 0)'),
        order: 'line, account',
        columns: 'account, line, text::text',
      },
    ],
  },
};

const copiers: Readonly<Record<string, Partial<Transfer>>> = {
  'by the database': {},
  'by the copier': { pace: { parallel: 3, maxReplicaLagBytes: 1e9, maxCommitLatencyMs: 1e6 } },
};
const cases = Object.entries(stories).flatMap(([name, story]) =>
  Object.entries(copiers).map(([copier, over]) => ({ name: `${name}, copied ${copier}`, story, over })),
);

describe.each(cases)('$name', ({ story, over }) => {
  let pair: Pair;
  let session: TransferSession;
  const tables = story.tables.map(({ name, key }) => ({ name, key }));
  const transfer: Transfer = {
    id: 'types1',
    migration: 'grow',
    keyType: story.keyType,
    partition: slots(0, 127),
    whole: false,
    targetEmpty: true,
    tables,
    ...over,
  };

  beforeAll(async () => {
    pair = await Pair.start(
      story.schema,
      { keyType: story.keyType, tables },
      { source: slots(0, 255), target: { kind: 'slots', slots: 256, ranges: [] } },
    );
    await pair.source.admin.query(story.fill);
    if (story.targetOnly !== undefined) await pair.target.admin.query(story.targetOnly);
    session = await pair.open(transfer);
  });
  afterAll(async () => {
    await session?.[Symbol.asyncDispose]();
    await pair?.[Symbol.asyncDispose]();
  });

  /** What an end holds of the partition, as COPY writes it. */
  async function content(end: End): Promise<readonly Buffer[]> {
    const all: Buffer[] = [];
    for (const { name, columns, where, order } of story.tables) {
      const query = `COPY (SELECT ${columns} FROM "${name}" WHERE ${where} ORDER BY ${order}) TO STDOUT (FORMAT binary)`;
      const psql = ['psql', '-X', '-q', '-h', '/tmp', '-U', 'postgres', '-d', 'social', '-c', query];
      const { stdout } = await exec('docker', ['exec', pair[end].container.name, ...psql], {
        encoding: 'buffer',
        maxBuffer: 2 ** 30,
      });
      all.push(stdout);
    }
    return all;
  }

  /** Names of tables that are not the same, or of which there is nothing: buffers of megabytes print badly. */
  function unequal(left: readonly Buffer[], right: readonly Buffer[]): readonly string[] {
    // An empty COPY is a header and a trailer.
    const same = left.map((buffer, index) => buffer.length > 500 && right[index]?.equals(buffer));
    return story.tables.filter((_table, index) => !same[index]).map(({ name }) => name);
  }

  test('preflight lets it pass', async () => {
    const { findings, estimate } = await session.preflight();
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(estimate.rows).toBeGreaterThan(50);
  });

  test('is copied while it is written to', async () => {
    await session.prepare();
    await session.startForward();
    await pair.source.admin.query(story.meanwhile);
    await copied(session);
    await pair.source.admin.query(story.meanwhile);
    await session.startBack();
    expect(await session.verify('forward', 'Full')).toMatchObject({ matches: true, differences: [] });
    expect(unequal(await content('source'), await content('target'))).toEqual([]);
  });

  test('is written to at its new place, and the old one follows', async () => {
    await switchReaders(pair, session, 'target');
    await switchWriters(pair, session, 'target', limits);
    const first = story.tables.at(-1)!;
    const key = await value(
      pair.target.admin,
      `SELECT quote_literal(${first.key}::text) FROM "${first.name}" WHERE ${first.where} ORDER BY ${first.order} LIMIT 1 OFFSET 3`,
    );
    const writer = await pair.writer('target');
    for (const statement of story.after) await writer.query(statement.replaceAll('$KEY', String(key)));
    await writer.end();
    expect(await session.verify('back', 'Full')).toMatchObject({ matches: true, differences: [] });
    expect(unequal(await content('source'), await content('target'))).toEqual([]);
  });

  test('stays as it is when the old place is cleaned up', async () => {
    const before = await content('target');
    await allClosed(session);
    await cleaned(session, 'source');
    expect(unequal(before, await content('target'))).toEqual([]);
    for (const { name, where } of story.tables) {
      expect(await value(pair.source.admin, `SELECT count(*)::int FROM "${name}" WHERE ${where}`)).toBe(0);
      expect(await value(pair.source.admin, `SELECT count(*)::int FROM "${name}"`)).toBeGreaterThan(50);
    }
  });
});
