/** Says in words how a row differs: its key and names of columns, never their content. */
import type { Client } from 'pg';
import type { End } from '#engines/migration.ts';
import type { Both } from './sums.ts';
import { type TableText, textHash } from './table-text.ts';

/** `public.users (id) = (5): age, name differ`, or where the row is missing. */
export async function describeDifference(
  clients: Both<Client>,
  ends: Both<End>,
  table: TableText,
  where: Both<string>,
  key: readonly string[],
): Promise<string> {
  const condition = table.keys.map(
    (column, index) => `${column.column} = $${index + 1}::text::${column.type}`,
  );
  const read = async (end: keyof Both<unknown>) => {
    const { rows } = await clients[end].query<{ hashes: string[] }>(
      `SELECT ARRAY[${table.columns.map(column => `${textHash([column])}::text`).join(', ')}] AS hashes
       FROM ${table.from} AS t WHERE ${where[end]} AND ${condition.join(' AND ')}`,
      [...key],
    );
    return rows[0]?.hashes;
  };
  const [leader, follower] = await Promise.all([read('leader'), read('follower')]);
  const name = `${table.name} (${table.keys.map(column => column.name).join(', ')}) = (${key.join(', ')})`;
  if (!follower) return `${name}: missing at the ${ends.follower}`;
  if (!leader) return `${name}: at the ${ends.follower}, not at the ${ends.leader}`;
  const unequal = table.columns.filter((_, index) => leader[index] !== follower[index]);
  return `${name}: different in ${unequal.join(', ') || 'content that has changed since'}`;
}
