/** What a first copy will have to carry, by table, so that its progress can be told. */
import type { Transfer } from '#engines/migration.ts';
import type { OpenEnd } from './ends.ts';
import { estimate } from './estimate.ts';
import { quotedTable } from './tables.ts';

/** Keys are names as the database prints them. */
export async function sizeOfCopy(
  { client, shard }: OpenEnd,
  transfer: Transfer,
): Promise<Readonly<Record<string, { readonly rows: number; readonly bytes: number }>>> {
  const sizes: Record<string, { rows: number; bytes: number }> = {};
  for (const table of transfer.tables) {
    const { rows } = await client.query<{ name: string }>('SELECT $1::regclass::text AS name', [
      quotedTable(table.name),
    ]);
    const one = { ...transfer, tables: [table] };
    const { rows: count, bytes } = await estimate(client, one, shard.spec.sharding.partition);
    sizes[rows[0]?.name ?? table.name] = { rows: count, bytes };
  }
  return sizes;
}
