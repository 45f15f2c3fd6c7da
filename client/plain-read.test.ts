import { describe, expect, it } from 'vitest';
import { isPlainRead } from './plain-read.ts';

describe('isPlainRead', () => {
  it.each([
    'SELECT 1',
    'select id, name from users where id = $1;',
    `SELECT count(*), sum(amount) FROM t WHERE note = 'please update; or delete' GROUP BY 1`,
    'SELECT * FROM a JOIN b USING (id) WHERE x IN (1, 2) AND NOT EXISTS (SELECT 1 FROM c)',
    'WITH big AS (SELECT * FROM t) SELECT max(id) FROM big -- insert',
    'SELECT "update" FROM t /* DROP TABLE t */',
    'VALUES (1), (2)',
    'TABLE users',
    "SELECT date_trunc('day', at), cast(x AS numeric(10,2)) FROM t ORDER BY 1 LIMIT 5",
  ])('takes as harmless: %s', sql => {
    expect(isPlainRead(sql)).toBe(true);
  });

  it.each([
    'INSERT INTO t VALUES (1)',
    'SELECT pay(1)',
    'SELECT my.count(1)',
    'SELECT "count"(1)',
    'SELECT id FROM t FOR UPDATE',
    'SELECT id FROM t FOR SHARE',
    'SELECT * INTO copy FROM t',
    'WITH gone AS (DELETE FROM t RETURNING id) SELECT count(*) FROM gone',
    "SELECT nextval('s')",
    'SELECT 1; DELETE FROM t',
    "SELECT E'it\\'s'; DELETE FROM t --'",
    'SELECT $$text$$',
    'SELECT $a$ text $a$',
    'SELECT 1 /* nested /* comment */ */',
    'EXPLAIN ANALYZE DELETE FROM t',
    'CALL pay()',
    '',
  ])('does not take as harmless: %s', sql => {
    expect(isPlainRead(sql)).toBe(false);
  });
});
