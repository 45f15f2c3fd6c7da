import { describe, expect, test } from 'vitest';
import type { Transfer } from '#engines/migration.ts';
import type { Partition } from '#sharding/partition.ts';
import { PartitionError, partitionPredicate } from './predicate.ts';

const users = { name: 'users', key: 'id' };
const transfer = (partition: Partition, changes: Partial<Transfer> = {}): Transfer => ({
  id: 't',
  migration: 'm',
  keyType: 'bigint',
  partition,
  whole: false,
  targetEmpty: false,
  tables: [users],
  ...changes,
});
const slots = (...ranges: { first: number; last: number }[]): Partition => ({
  kind: 'slots',
  slots: 256,
  ranges,
});
const of = (partition: Partition, changes: Partial<Transfer> = {}) =>
  partitionPredicate(transfer(partition, changes), users, 'source');

describe('what moves, in SQL', () => {
  test('slots: a few ranges are compared one by one, many are searched', () => {
    expect(of(slots({ first: 3, last: 3 }, { first: 8, last: 9 }))).toBe(
      '((hashint8extended("id", 0) & 255) = 3 OR (hashint8extended("id", 0) & 255) >= 8 AND (hashint8extended("id", 0) & 255) <= 9)',
    );
    const many = Array.from({ length: 9 }, (_, i) => ({ first: 2 * i, last: 2 * i }));
    expect(of(slots(...many))).toContain(`<@ '{[0,0],[2,2],`);
    expect(of(slots())).toBe('(false)');
  });

  test('ranges of keys: text by its bytes', () => {
    const text = { keyType: 'text' } as const;
    expect(of({ kind: 'keys', ranges: [{ from: "it's", to: 'z' }] }, text)).toBe(
      `("id" COLLATE "C" >= 'it''s'::pg_catalog.text AND "id" COLLATE "C" < 'z'::pg_catalog.text)`,
    );
    expect(of({ kind: 'keys', ranges: [{}] })).toBe('("id" IS NOT NULL)');
  });

  test('entries of a directory; the default shard only where it is alone', () => {
    const entries = { kind: 'directory', entries: ['5', '7'], fallback: false } as const;
    expect(of(entries)).toBe("(\"id\" = ANY (ARRAY['5'::pg_catalog.int8,'7'::pg_catalog.int8]))");
    const fallback = { ...entries, fallback: true };
    expect(of(fallback, { whole: true })).toBe('true');
    expect(() => of(fallback)).toThrow(PartitionError);
    expect(() => partitionPredicate(transfer(fallback, { whole: true }), users, 'target')).toThrow(
      PartitionError,
    );
  });

  test('slots of regions', () => {
    const regions: Partition = {
      kind: 'regions',
      slots: 256,
      regions: [{ region: 'eu', ranges: [{ first: 0, last: 0 }] }],
    };
    expect(of(regions, { regionColumn: 'where' })).toBe(
      `("where" = 'eu' AND ((hashint8extended("id", 0) & 255) = 0))`,
    );
    expect(() => of(regions)).toThrow(PartitionError);
  });

  test('of a row in a trigger', () => {
    expect(partitionPredicate(transfer(slots({ first: 1, last: 1 })), users, 'source', 'OLD')).toContain(
      'OLD."id"',
    );
  });
});
