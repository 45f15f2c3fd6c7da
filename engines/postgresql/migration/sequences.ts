/**
 * Sequences that fill columns of moving tables. Before the gainer takes writes, its sequences stand beyond the loser's, so that
 * a row that moved and a row that comes do not get one number. After that each shard counts on by itself, as always.
 */
import type { Client } from 'pg';
import { quoteLiteral } from '../sql-text.ts';
import { treeOf } from './tables.ts';

export interface Sequence {
  /** Quoted. */
  readonly name: string;
  readonly increment: bigint;
  readonly cache: bigint;
  readonly min: bigint;
  readonly max: bigint;
}

/** Numbers that sessions of the loser may hold without having used them, beside those of the sequence's own cache. */
const MARGIN = 100n;

/** Those owned by a column, or named in a default. `tables` are quoted. */
export async function sequencesOf(client: Client, tables: readonly string[]): Promise<readonly Sequence[]> {
  const tree = await treeOf(client, tables);
  const { rows } = await client.query<Record<'name' | 'increment' | 'cache' | 'min' | 'max', string>>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name, s.seqincrement::text AS increment, s.seqcache::text AS cache,
       s.seqmin::text AS min, s.seqmax::text AS max
     FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($1::oid[]) AND d.deptype IN ('a', 'i'))
       OR EXISTS (SELECT FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid WHERE d.classid = 'pg_attrdef'::regclass
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND a.adrelid = ANY ($1::oid[]))
     ORDER BY 1`,
    [tree.map(({ oid }) => oid)],
  );
  return rows.map(({ name, increment, cache, min, max }) => ({
    name,
    increment: BigInt(increment),
    cache: BigInt(cache),
    min: BigInt(min),
    max: BigInt(max),
  }));
}

/** How far each has come; absent: it was never used. */
export async function positionsOf(
  client: Client,
  sequences: readonly Sequence[],
): Promise<ReadonlyMap<string, bigint>> {
  if (sequences.length === 0) return new Map();
  const query = sequences
    .map(
      ({ name }) =>
        `SELECT ${quoteLiteral(name)} AS name, last_value::text AS at FROM ${name} WHERE is_called`,
    )
    .join(' UNION ALL ');
  const { rows } = await client.query<{ name: string; at: string }>(query);
  return new Map(rows.map(({ name, at }) => [name, BigInt(at)]));
}

/** The statement that puts them beyond the positions, where they are not; undefined when there is none. */
export function advanceSql(
  sequences: readonly Sequence[],
  positions: ReadonlyMap<string, bigint>,
): string | undefined {
  const parts = sequences.flatMap(sequence => {
    const at = positions.get(sequence.name);
    if (at === undefined) return [];
    const beyond = beyondPosition(sequence, at);
    const behind = sequence.increment > 0n ? '<' : '>';
    return [
      `SELECT setval(${quoteLiteral(sequence.name)}, ${beyond}) FROM ${sequence.name} WHERE last_value ${behind} ${beyond} OR NOT is_called`,
    ];
  });
  return parts.length === 0 ? undefined : parts.join(' UNION ALL ');
}

export function beyondPosition(
  { increment, cache, min, max }: Pick<Sequence, 'increment' | 'cache' | 'min' | 'max'>,
  at: bigint,
): bigint {
  const beyond = at + increment * (MARGIN + cache);
  return beyond > max ? max : beyond < min ? min : beyond;
}
