import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addDecimals, compareDecimals, divideDecimals } from './decimal.ts';
import { aggregate, byShard, concat, ordered } from './merge.ts';
import type { ShardResult } from './result.ts';

function part(shard: string, rows: Record<string, unknown>[]): ShardResult {
  return { shard, rows, rowCount: rows.length, command: 'SELECT' };
}

describe('concat and byShard', () => {
  it('keep every row, in the order of the shards', () => {
    const parts = [part('a-0', [{ id: 1 }]), part('a-1', []), part('a-2', [{ id: 2 }, { id: 3 }])];
    expect(concat()(parts)).toEqual({
      rows: [{ id: 1 }, { id: 2 }, { id: 3 }],
      rowCount: 3,
      command: 'SELECT',
    });
    expect([...byShard()(parts)].map(([shard, { rowCount }]) => [shard, rowCount])).toEqual([
      ['a-0', 1],
      ['a-1', 0],
      ['a-2', 2],
    ]);
  });
});

describe('ordered', () => {
  it('sorts bigints as numbers, text by code points, nulls where SQL has them', () => {
    const parts = [
      part('a-0', [
        { n: '9', t: 'b' },
        { n: '100', t: 'Z' },
      ]),
      part('a-1', [
        { n: '-1', t: 'é' },
        { n: null, t: null },
      ]),
    ];
    const column = (by: Parameters<typeof ordered>[0], name: string, limit?: number) =>
      ordered(by, limit)(parts).rows.map(row => row[name]);
    expect(column({ column: 'n' }, 'n')).toEqual(['-1', '9', '100', null]);
    expect(column({ column: 'n', descending: true }, 'n')).toEqual([null, '100', '9', '-1']);
    expect(column({ column: 'n', descending: true, nulls: 'last' }, 'n', 2)).toEqual(['100', '9']);
    expect(column({ column: 't' }, 't')).toEqual(['Z', 'b', 'é', null]);
  });

  it('sorts by the next column where the first is equal', () => {
    const parts = [
      part('a-0', [{ k: 1, v: 2 }]),
      part('a-1', [
        { k: 1, v: 1 },
        { k: 0, v: 3 },
      ]),
    ];
    const { rows } = ordered([{ column: 'k' }, { column: 'v', descending: true }])(parts);
    expect(rows.map(row => row['v'])).toEqual([3, 2, 1]);
  });

  it('names a column that is not there', () => {
    expect(() => ordered({ column: 'x' })([part('a-0', [{ id: 1 }, { id: 2 }])])).toThrow(/no column x/);
  });
});

describe('aggregate', () => {
  it('adds exactly what the driver gives as text, and ignores nulls', () => {
    const parts = [
      part('a-0', [{ s: '9007199254740993', n: '2', lo: 3, hi: null }]),
      part('a-1', [{ s: '0.1', n: '1', lo: 2, hi: null }]),
      part('a-2', [{ s: null, n: '0', lo: null, hi: null }]),
    ];
    const merge = aggregate({ s: 'sum', n: 'count', lo: 'min', hi: 'max' });
    expect(merge(parts).rows).toEqual([{ s: '9007199254740993.1', n: '3', lo: 2, hi: null }]);
  });

  it('makes an average from sums and counts, not from averages', () => {
    const mean = { average: { sum: 's', count: 'n' } } as const;
    const parts = [part('a-0', [{ s: '10', n: '1' }]), part('a-1', [{ s: '0', n: '3' }])];
    expect(aggregate({ mean })(parts).rows).toEqual([{ mean: '2.5000000000000000' }]);
    expect(aggregate({ mean })([part('a-0', [{ s: null, n: '0' }])]).rows).toEqual([{ mean: null }]);
  });

  it('merges by group', () => {
    const parts = [
      part('a-0', [
        { c: 'DE', n: 1 },
        { c: null, n: 5 },
      ]),
      part('a-1', [
        { c: 'FR', n: 2 },
        { c: 'DE', n: 4 },
      ]),
    ];
    expect(aggregate({ n: 'sum' }, ['c'])(parts).rows).toEqual([
      { c: 'DE', n: 5 },
      { c: null, n: 5 },
      { c: 'FR', n: 2 },
    ]);
  });

  it('gives what one pass over all rows gives, however they are spread', () => {
    const rows = fc.array(fc.record({ k: fc.constantFrom('x', 'y'), v: fc.integer() }), { minLength: 1 });
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 5 }), (all, shards) => {
        const spread = Array.from({ length: shards }, (_, shard) =>
          part(
            `a-${shard}`,
            all.filter((_row, at) => at % shards === shard),
          ),
        );
        const merge = aggregate({ v: 'sum' }, ['k']);
        const byKey = (result: ReturnType<typeof merge>) =>
          new Map(result.rows.map(row => [row['k'], row['v']]));
        expect(byKey(merge(spread))).toEqual(byKey(merge([part('all', all)])));
      }),
    );
  });

  it('refuses to add what is no number', () => {
    expect(() => aggregate({ v: 'sum' })([part('a-0', [{ v: 'NaN' }])])).toThrow(/not a number/);
  });
});

/** Cents as a decimal number. */
function text(value: bigint): string {
  const digits = String(value < 0n ? -value : value).padStart(3, '0');
  return `${value < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

describe('decimals', () => {
  const cents = fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n });
  it('add and compare as whole cents do', () => {
    fc.assert(
      fc.property(cents, cents, (a, b) => {
        expect(addDecimals(text(a), text(b))).toBe(text(a + b));
        expect(compareDecimals(text(a), text(b))).toBe(a < b ? -1 : a > b ? 1 : 0);
      }),
    );
  });

  it('divide, rounding half away from zero', () => {
    expect(divideDecimals('1', '3')).toBe('0.3333333333333333');
    expect(divideDecimals('-2', '3')).toBe('-0.6666666666666667');
    expect(divideDecimals('10', '4')).toBe('2.5000000000000000');
  });
});
