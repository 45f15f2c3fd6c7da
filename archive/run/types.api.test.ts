/** Every type there and back: out of a real database into a file, and from the file, by its texts, into the database again. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canonicalText, isList } from '../columns/choose.ts';
import { rowHashSql } from '../columns/row-hash.ts';
import { readRowGroups } from '../parquet/read-file.ts';
import { type Manifest, readManifest } from '../store/manifest.ts';
import { MemoryStore } from '../testing/memory-store.ts';
import { path, World } from '../testing/world.ts';
import { readTable } from './table.ts';
import { columnsOf } from './verify-part.ts';

const types = [
  ['small', 'smallint', '-32768', '32767'],
  ['whole', 'integer', '-2147483648', '2147483647'],
  ['large', 'bigint', '-9223372036854775808', '9223372036854775807'],
  ['price', 'numeric(12,3)', '-123456789.001', '0.000'],
  ['exact', 'numeric(38,10)', '-9999999999999999999999999999.9999999999', '0.0000000001'],
  ['free', 'numeric', '123456789012345678901234567890123456789012.000100', '-0.00'],
  ['negative_scale', 'numeric(4,-2)', '123400', '-100'],
  ['single', 'real', '3.4028235e+38', '1e-45'],
  ['twofold', 'double precision', '5e-324', '-0'],
  ['odd_number', 'double precision', 'NaN', '-Infinity'],
  ['yes', 'boolean', 't', 'f'],
  ['moment', 'timestamptz', '1969-12-31 23:59:59.999999+00', '0044-03-15 12:00:00.000001+00 BC'],
  ['local_moment', 'timestamp', '2026-03-29 02:30:00.123456', '4713-01-01 00:00:00 BC'],
  ['day', 'date', '0044-03-15 BC', '5874897-12-31'],
  ['clock', 'time', '24:00:00', '00:00:00.000001'],
  ['span', 'interval', '1 year -2 days 03:04:05.678901', '-178000000 years'],
  ['id', 'uuid', '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  ['words', 'text', '', trap()],
  ['short', 'varchar(5)', 'a,b"c', ' '],
  ['padded', 'char(4)', 'ab', 'abcd'],
  ['raw', 'bytea', '\\x', '\\x00ff807f'],
  ['document', 'jsonb', '{"a": [1, null, "ü"], "b": 1e400}', 'null'],
  ['as_written', 'json', '{"b":1,  "a":2, "a":3}', '[]'],
  ['address', 'inet', '10.0.0.1/8', '::1'],
  ['span_of_numbers', 'int4range', '[1,5)', 'empty'],
  ['mood', 'mood', 'sad', 'happy, or not'],
  ['score', 'score', '0', '100'],
  ['numbers', 'integer[]', '{}', '{1,NULL,-3}'],
  ['many', 'bigint[]', '{9223372036854775807}', '{NULL}'],
  ['texts', 'text[]', '{"a,b","c\\"d",NULL,"NULL",""}', '{x}'],
  ['moments', 'timestamptz[]', '{"2026-01-01 00:00:00.000001+00"}', '{NULL,"0001-01-01 00:00:00+00 BC"}'],
  ['ratios', 'double precision[]', '{NaN,Infinity,-0,0.1}', '{}'],
  ['amounts', 'numeric(10,2)[]', '{1.10,NULL,-2.00}', '{0.00}'],
  ['loose', 'numeric[]', '{1.10,NaN}', '{0}'],
  ['blobs', 'bytea[]', '{"\\\\x00ff"}', '{NULL}'],
  ['documents', 'jsonb[]', '{"{\\"a\\": 1}"}', '{"null"}'],
  ['scores', 'score[]', '{1,2}', '{}'],
] as const;

/** What a text can hold that trips programs. */
function trap(): string {
  return 'tab\t line\n quote\' "double" back\\slash ünï ✓ 👍 \u0001';
}

const table = { name: 'everything', column: 'created_at', olderThanSeconds: 86_400 };
const folder = { path, table: 'public.everything', shard: 'social-0' };
const date = '2001-02-03';

let world: World;

beforeAll(async () => {
  const columns = types.map(([name, type]) => `${name} ${type}`).join(', ');
  world = await World.start(`CREATE TYPE mood AS ENUM ('sad', 'happy, or not');
    CREATE DOMAIN score AS integer CHECK (VALUE BETWEEN 0 AND 100);
    CREATE TABLE everything (key bigint PRIMARY KEY, created_at timestamptz NOT NULL, ${columns},
      doubled bigint GENERATED ALWAYS AS (key * 2) STORED);
    CREATE TABLE restored (LIKE everything);`);
  const names = types.map(([name]) => name).join(', ');
  const values = (which: 2 | 3) => types.map(each => each[which]);
  const insert = (key: number, row: readonly (string | null)[]) =>
    world.admin.query(
      `INSERT INTO everything (key, created_at, ${names})
       SELECT ${key}, '2001-02-03 04:05:06.789012+00', ${types.map(([, type], at) => `$${at + 1}::text::${type}`).join(', ')}`,
      [...row],
    );
  await insert(1, values(2));
  await insert(2, values(3));
  await insert(
    3,
    types.map(() => null),
  );
});
afterAll(() => world[Symbol.asyncDispose]());

async function manifest(): Promise<Manifest> {
  const found = await readManifest(world.store, folder, date);
  if (found === undefined) throw new Error('no manifest');
  return found;
}

describe('a table of every type', () => {
  test('is written, and verified by what the database itself computes', async () => {
    const outcome = await world.run([table]);
    expect(outcome.failure).toBeUndefined();
    const { parts } = await manifest();
    expect(parts).toMatchObject([{ state: 'Verified', rows: 3 }]);
    expect(
      Object.fromEntries(parts[0]!.columns.map(({ name, stored }) => [name, stored])),
    ).toMatchInlineSnapshot(`
      {
        "address": "text of inet",
        "amounts": "list of decimal(10,2)",
        "as_written": "JSON text",
        "blobs": "list of bytes",
        "clock": "text of time",
        "created_at": "timestamp in microseconds, UTC",
        "day": "date",
        "document": "JSON text",
        "documents": "list of JSON text",
        "doubled": "64-bit integer",
        "exact": "decimal(38,10)",
        "free": "text of numeric",
        "id": "UUID",
        "key": "64-bit integer",
        "large": "64-bit integer",
        "local_moment": "timestamp in microseconds, without time zone",
        "loose": "list of text of numeric",
        "many": "list of 64-bit integer",
        "moment": "timestamp in microseconds, UTC",
        "moments": "list of timestamp in microseconds, UTC",
        "mood": "text of mood",
        "negative_scale": "text of numeric",
        "numbers": "list of 32-bit integer",
        "odd_number": "64-bit floating point",
        "padded": "text",
        "price": "decimal(12,3)",
        "ratios": "list of 64-bit floating point",
        "raw": "bytes",
        "score": "32-bit integer",
        "scores": "list of 32-bit integer",
        "short": "text",
        "single": "32-bit floating point",
        "small": "32-bit integer",
        "span": "text of interval",
        "span_of_numbers": "text of int4range",
        "texts": "list of text",
        "twofold": "64-bit floating point",
        "whole": "32-bit integer",
        "words": "text",
        "yes": "boolean",
      }
    `);
  });

  test('comes back into the database from the file, equal in every column', async () => {
    const [part] = (await manifest()).parts;
    const bytes = await world.store.get(`${path}/rows/public.everything/social-0/${date}/${part!.file}`);
    const columns = columnsOf(part!);
    for await (const group of readRowGroups(bytes!, columns)) {
      for (let row = 0; row < group.rows; row++) {
        const texts = columns.map((column, at) => {
          const value = group.columns[at]?.[row] ?? null;
          if (value === null) return null;
          if (column.kind === 'value' && !isList(value)) return column.type.text(value);
          if (column.kind === 'list' && isList(value))
            return value.map(each => (each === null ? null : column.type.element.text(each)));
          throw new Error(canonicalText(column, value));
        });
        const places = columns.map(({ declared, kind }, at) =>
          kind === 'list' ? `$${at + 1}::text[]::${declared}` : `$${at + 1}::text::${declared}`,
        );
        await world.admin.query(
          `INSERT INTO restored (${columns.map(({ name }) => name).join(', ')}) SELECT ${places.join(', ')}`,
          texts,
        );
      }
    }
    const facts = await readTable(world.admin, table);
    const hash = rowHashSql(columns, 't', name => `"${name}"`);
    expect(facts.columns).toHaveLength(columns.length);
    const differing = await world.rows(
      `SELECT key FROM (SELECT ${hash} AS hash, t.* FROM everything t) a FULL JOIN (SELECT ${hash} AS hash, t.* FROM restored t) b
       USING (key) WHERE a.hash IS DISTINCT FROM b.hash OR a::text IS DISTINCT FROM b::text`,
    );
    expect(differing).toEqual([]);
    expect(await world.rows('SELECT key FROM restored')).toHaveLength(3);
  });
});

describe('a value that Parquet cannot hold', () => {
  test.each([
    ['price', 'numeric(12,3)', 'NaN'],
    ['day', 'date', 'infinity'],
    ['moment', 'timestamp with time zone', '-infinity'],
    ['moment', 'timestamp with time zone', '294276-12-31 23:59:59.999999+00'],
    ['numbers', 'integer[]', '{{1,2},{3,4}}'],
    ['numbers', 'integer[]', '[0:1]={1,2}'],
    ['many', 'bigint[]', '{{1},{NULL}}'],
  ])('%s %s %s makes a text of that column in that file, and only there', async (name, type, value) => {
    await world.admin.query('DELETE FROM everything WHERE key > 3');
    await world.admin.query(
      `INSERT INTO everything (key, created_at, ${name}) VALUES (4, '2001-02-03 05:00:00+00', '${value}'::${type}), (5, '2001-02-04 00:00:00+00', NULL)`,
    );
    world.store = new MemoryStore();
    const outcome = await world.run([table]);
    expect(outcome.failure).toBeUndefined();
    expect(outcome.tables[0]?.rows).toBe(5);
    const { parts } = await manifest();
    expect(parts[0]?.columns.filter(({ asText }) => asText)).toMatchObject([
      { name, stored: `text of ${type}` },
    ]);
    const next = await readManifest(world.store, folder, '2001-02-04');
    expect(next?.parts[0]?.columns.some(({ asText }) => asText)).toBe(false);
  });
});
