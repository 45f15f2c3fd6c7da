/**
 * Taking away the rows of a partition, a little at a time: block by block, so that no look is in vain, in the role of a
 * replica, so that no trigger and no cascade follows, and never while a stream of ours could carry a deletion to the other end.
 */
import type { Client } from 'pg';
import { EngineError } from '#engines/errors.ts';
import type { End, Transfer } from '#engines/migration.ts';
import { disconnect, transaction } from '../connection.ts';
import type { OpenEnd } from './ends.ts';
import { lockJournal } from './journal.ts';
import { publisher, streamName, streams, subscriber } from './names.ts';
import { partitionPredicate } from './predicate.ts';
import { type Pace, withTables } from './short-lock.ts';
import { inOrder, quotedTable, quotedTables, treeOf } from './tables.ts';

/** Rows in one transaction, about. */
const BATCH = 1000;
/** One call works for so long, in milliseconds. */
const CALL_MS = 5_000;

/** A stream still hangs on the rows: deleting them would delete them at the other end. */
export class StreamAttachedError extends EngineError {
  override readonly name = 'StreamAttachedError';
  readonly code = 'StreamAttached';
  readonly remedy = 'The streams are dropped first; the operator tries again by itself.';
  override readonly retryable = true;
}

/** True when none is left. Needs both streams gone. Throws {@link StreamAttachedError}. */
export async function deleteRows(end: OpenEnd, transfer: Transfer, pace: Pace): Promise<boolean> {
  await noStreams(end.client, transfer.id, end.end);
  const client = await end.open({ session_replication_role: 'replica', statement_timeout: '60s' });
  try {
    if (ownsAll(transfer, end.end)) {
      await empty(client, transfer, pace);
      return true;
    }
    return await deleteInBatches(client, end.end, transfer, pace);
  } finally {
    await disconnect(client);
  }
}

/** What is in the tables at that end is the transfer's own: all of it goes at once. */
function ownsAll(transfer: Transfer, end: End): boolean {
  return end === 'source' ? transfer.whole : transfer.targetEmpty;
}

/** A slot here would pass the deletions on, whoever made them; a subscription here would bring rows back. */
async function noStreams(client: Client, id: string, end: End): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT slot_name AS name FROM pg_replication_slots WHERE slot_name = ANY ($1)
     UNION ALL SELECT subname FROM pg_subscription WHERE subname = ANY ($2)`,
    [
      streams.filter(stream => publisher(stream) === end).map(stream => streamName(id, stream)),
      streams.filter(stream => subscriber(stream) === end).map(stream => streamName(id, stream)),
    ],
  );
  if (rows[0]) throw new StreamAttachedError(`${rows[0].name} is still there at the ${end}`);
}

async function empty(client: Client, transfer: Transfer, pace: Pace): Promise<void> {
  const tables = quotedTables(transfer);
  // An empty table needs no lock that everybody would wait for.
  let some = false;
  for (const table of tables) some ||= (await client.query(`SELECT FROM ${table} LIMIT 1`)).rowCount !== 0;
  if (!some) return;
  await withTables(
    client,
    tables,
    pace,
    async () => void (await client.query(`TRUNCATE ${tables.join(', ')}`)),
  );
}

async function deleteInBatches(client: Client, end: End, transfer: Transfer, pace: Pace): Promise<boolean> {
  const stop = performance.now() + CALL_MS;
  const journal = await transaction(client, () => lockJournal(client, transfer.id));
  if (journal?.emptied) return true;
  const position: Record<string, number> = { ...journal?.position };
  const keep = () =>
    client.query('UPDATE shardwright.transfer SET position = $2 WHERE id = $1', [
      transfer.id,
      JSON.stringify(position),
    ]);
  for (const table of inOrder(transfer)) {
    const filter = partitionPredicate(transfer, table, end);
    for (const { name, oid, leaf } of await treeOf(client, [quotedTable(table.name)])) {
      if (!leaf) continue;
      const { blocks, perBlock } = await shapeOf(client, name);
      const step = Math.max(1, Math.floor(BATCH / perBlock));
      for (let block = position[oid] ?? 0; block < blocks; block += step) {
        if (performance.now() > stop) {
          await keep();
          return false;
        }
        const start = performance.now();
        await client.query(
          `DELETE FROM ONLY ${name} WHERE ctid >= '(${block},0)' AND ctid < '(${block + step},0)' AND ${filter}`,
        );
        position[oid] = block + step;
        // Half of the time belongs to others.
        await pace.pause(Math.min(100, performance.now() - start));
      }
    }
  }
  await keep();
  await client.query('UPDATE shardwright.transfer SET emptied = pg_current_xact_id() WHERE id = $1', [
    transfer.id,
  ]);
  return true;
}

async function shapeOf(client: Client, name: string): Promise<{ blocks: number; perBlock: number }> {
  const { rows } = await client.query<{ blocks: number; density: number }>(
    `SELECT (pg_relation_size($1::regclass) / current_setting('block_size')::int8)::float8 AS blocks,
       (SELECT CASE WHEN relpages > 0 AND reltuples > 0 THEN reltuples / relpages ELSE 50 END FROM pg_class WHERE oid = $1::regclass)::float8 AS density`,
    [name],
  );
  return { blocks: rows[0]?.blocks ?? 0, perBlock: Math.max(1, rows[0]?.density ?? 50) };
}

/** Rows of the partition that are there, of which nobody should be any more. */
export async function rowsLeft(client: Client, end: End, transfer: Transfer): Promise<boolean> {
  for (const table of inOrder(transfer)) {
    const { rowCount } = await client.query(
      `SELECT FROM ${quotedTable(table.name)} WHERE ${partitionPredicate(transfer, table, end)} LIMIT 1`,
    );
    if (rowCount) return true;
  }
  return false;
}
