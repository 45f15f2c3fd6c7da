/** What is written is read back by another program's code, and the hash of a row does not depend on which of the two made it. */
import { expect, test } from 'vitest';
import { type CatalogColumn, type Column, chooseColumn, type StoredValue } from '../columns/choose.ts';
import { HashSum, RowHasher } from '../columns/row-hash.ts';
import { fileMetadata, readRowGroups } from './read-file.ts';
import { ParquetFile } from './write-file.ts';

function column(name: string, base: string, more: Partial<CatalogColumn> = {}): Column {
  return chooseColumn({ name, declared: base, base, modifier: -1, notNull: false, ...more }, false);
}

const columns = [
  column('id', 'int8', { notNull: true }),
  column('at', 'timestamptz'),
  column('amount', 'numeric', { modifier: ((12 << 16) | 3) + 4 }),
  column('large', 'numeric', { modifier: ((38 << 16) | 10) + 4 }),
  column('body', 'jsonb'),
  column('ratio', 'float8'),
  column('tags', '_text', { element: 'text' }),
  column('yes', 'bool'),
];

const bytes = (text: string) => Buffer.from(text);
const wide = (value: bigint) => {
  const buffer = Buffer.alloc(16);
  buffer.writeBigInt64BE(value >> 64n);
  buffer.writeBigUInt64BE(BigInt.asUintN(64, value), 8);
  return buffer;
};

const rows: readonly (readonly StoredValue[])[] = [
  [1n, -1n, -12_345n, wide(-1n), bytes('{"a": 1}'), -0, [bytes('x'), null, bytes('')], true],
  [2n, null, null, null, null, null, null, null],
  [
    -(2n ** 63n),
    2n ** 63n - 1n,
    999_999_999_999n,
    wide(10n ** 38n - 1n),
    bytes('"ü, ✓"'),
    Number.NaN,
    [],
    false,
  ],
  [2n ** 63n - 1n, 0n, 0n, wide(0n), bytes('null'), 5e-324, [null], true],
];

async function written(groups: readonly (readonly (readonly StoredValue[])[])[]): Promise<Buffer> {
  const file = ParquetFile.create(columns);
  for (const group of groups) {
    for (const row of group) file.add(row);
    await file.endRowGroup();
  }
  return file.finish({ 'shardwright.shard': 'social-0' });
}

async function readBack(file: Uint8Array): Promise<readonly (readonly StoredValue[])[]> {
  const found: StoredValue[][] = [];
  for await (const group of readRowGroups(file, columns)) {
    for (let row = 0; row < group.rows; row++) found.push(group.columns.map(values => values[row] ?? null));
  }
  return found;
}

const plain = (row: readonly StoredValue[]) =>
  row.map(value => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value));

function sum(all: readonly (readonly StoredValue[])[]): bigint {
  const hasher = new RowHasher();
  const total = new HashSum();
  for (const row of all) total.add(hasher.hash(columns, row));
  return total.total;
}

test('rows of several groups come back with their values, nulls and lists', async () => {
  const file = await written([rows, rows.toReversed(), rows.slice(1, 2)]);
  const expected = [...rows, ...rows.toReversed(), ...rows.slice(1, 2)];
  const found = await readBack(file);
  expect(found.map(row => plain(row.filter((_, at) => at !== 6)))).toEqual(
    expected.map(row => plain(row.filter((_, at) => at !== 6))),
  );
  expect(sum(found)).toBe(sum(expected));
  expect(fileMetadata(file).get('shardwright.shard')).toBe('social-0');
});

test('runs of nulls and values of every length come back', async () => {
  const long = Array.from({ length: 1003 }, (_, index): readonly StoredValue[] => [
    BigInt(index),
    index % 7 < 3 ? null : BigInt(index) * 1_000_003n,
    index % 100 < 50 ? null : BigInt(index),
    null,
    index < 500 ? bytes('x'.repeat(index)) : null,
    index % 3 === 0 ? index / 3 : null,
    Array.from({ length: index % 5 }, (_value, at) => (at % 2 ? null : bytes(`${at}`))),
    index % 9 === 0 ? null : index % 2 === 0,
  ]);
  const found = await readBack(await written([long]));
  expect(found).toHaveLength(long.length);
  expect(sum(found)).toBe(sum(long));
});
