/**
 * What a table holds, as its number of rows and one sum: the same for the same rows in whatever order, another as soon as one
 * row differs. The live replica and the restored copy compute it by this one text.
 */
import { textSettings } from '../migration/verify/table-text.ts';

/** Settings of the session that computes it: those that the text of a value depends on, and names that say their schema. */
export const digestSettings: Readonly<Record<string, string>> = {
  ...textSettings,
  search_path: 'pg_catalog',
};

/**
 * A query that returns the text of a query that returns `rows` and `hash`, both as text. `table` is SQL of type regclass; only
 * the rows of that very table count, as every partition is a table too.
 */
export function digestStatement(table: string): string {
  return `SELECT format('SELECT count(*)::text AS rows, '
    'coalesce(sum(hashtextextended(ROW(%s)::text COLLATE "C", 0)), 0)::text AS hash FROM ONLY %s AS t',
    string_agg(format('t.%I', attname), ', ' ORDER BY attname COLLATE "C"), ${table})
  FROM pg_attribute WHERE attrelid = ${table} AND attnum > 0 AND NOT attisdropped`;
}
