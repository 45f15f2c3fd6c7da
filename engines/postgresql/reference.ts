/** The operator's side of reference tables: reading the log of one shard and applying it on another. */
import type { Client } from 'pg';
import { z } from 'zod';
import type { Broadcast } from '#engines/engine.ts';
import { BroadcastGapError, ReferenceTableError } from '#engines/errors.ts';
import { messageOf, sqlState } from './connection.ts';
import { sqlStates } from './schema-sql.ts';

const rowsOf = z.array(z.record(z.string(), z.unknown()));
const entry = z.object({
  version: z.coerce.bigint(),
  table_name: z.string(),
  change: z.union([z.strictObject({ upsert: rowsOf }), z.strictObject({ delete: rowsOf })]),
});

export async function referenceVersion(client: Client): Promise<bigint> {
  const { rows } = await client.query<{ version: string }>(
    'SELECT version::text FROM shardwright.reference_version',
  );
  return BigInt(rows[0]?.version ?? 0);
}

export async function broadcastsSince(
  client: Client,
  version: bigint,
  limit: number,
): Promise<readonly Broadcast[]> {
  const { rows } = await client.query<Record<string, unknown>>(
    `SELECT version::text, table_name, change FROM shardwright.broadcast
     WHERE version > $1 ORDER BY version LIMIT $2`,
    [version.toString(), limit],
  );
  return rows.map(row => {
    const { version: at, table_name, change } = entry.parse(row);
    return { version: at, table: table_name, change };
  });
}

/** Class 42 is said of a table or column that is not there, the others by the function itself. */
const unlikeHome = new RegExp(`^42|^(${sqlStates.notReference}|${sqlStates.badChange})$`);

/** Throws {@link BroadcastGapError}, {@link ReferenceTableError}. */
export async function applyBroadcast(client: Client, { version, table, change }: Broadcast): Promise<void> {
  try {
    await client.query('SELECT shardwright.reference_apply($1, $2, $3)', [
      version.toString(),
      table,
      JSON.stringify(change),
    ]);
  } catch (cause) {
    const state = sqlState(cause);
    if (state === sqlStates.gap)
      throw new BroadcastGapError(`broadcast ${version} does not follow what the shard has`, { cause });
    if (state !== undefined && unlikeHome.test(state))
      throw new ReferenceTableError(messageOf(cause), { cause });
    throw cause;
  }
}
