/** The moving tables of a transfer as SQL names them, in one order everywhere: locks are taken in it. */
import type { Client } from 'pg';
import type { Transfer, TransferTable } from '#engines/migration.ts';
import { fullTableName, quoteIdentifier } from '../sql-text.ts';

/** `"public"."users"` */
export function quotedTable(declared: string): string {
  const full = fullTableName(declared);
  const dot = full.indexOf('.');
  return `${quoteIdentifier(full.slice(0, dot))}.${quoteIdentifier(full.slice(dot + 1))}`;
}

export function inOrder(transfer: Transfer): readonly TransferTable[] {
  return transfer.tables.toSorted((a, b) => (quotedTable(a.name) < quotedTable(b.name) ? -1 : 1));
}

export function quotedTables(transfer: Transfer): readonly string[] {
  return inOrder(transfer).map(({ name }) => quotedTable(name));
}

/** The tables, quoted, and where one is partitioned all that belongs to it. `leaf`: it has rows of its own. */
export async function treeOf(
  client: Client,
  tables: readonly string[],
): Promise<
  readonly { readonly root: string; readonly name: string; readonly oid: string; readonly leaf: boolean }[]
> {
  const { rows } = await client.query<{ root: string; name: string; oid: string; leaf: boolean }>(
    `SELECT r.root, format('%I.%I', n.nspname, c.relname) AS name, c.oid::text AS oid, c.relkind = 'r' AS leaf
     FROM unnest($1::text[]) AS r(root)
     CROSS JOIN LATERAL (SELECT r.root::regclass AS relid UNION SELECT relid FROM pg_partition_tree(r.root::regclass)) AS t
     JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
     ORDER BY 1, 2`,
    [tables],
  );
  return rows;
}
