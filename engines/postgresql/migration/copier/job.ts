/**
 * The first copy as the copier makes it (images/postgres/copier.py): by ranges of blocks as of one snapshot, in several sessions, at a
 * pace. What is to be copied stands in the target's `shardwright.copy` and `copy_range`; the program runs beside the target's server and
 * goes on without the operator. One that died is begun again, and copies what is left.
 */
import type { Client } from 'pg';
import type { CopyPace, Transfer } from '#engines/migration.ts';
import { disconnect, messageOf } from '../../connection.ts';
import { quoteIdentifier, quoteLiteral } from '../../sql-text.ts';
import type { OpenEnd } from '../ends.ts';
import { partitionPredicate } from '../predicate.ts';
import type { Pace } from '../short-lock.ts';
import { inOrder, quotedTable, treeOf } from '../tables.ts';
import { type BlockRange, rangesOf } from './ranges.ts';

const program = 'exec /usr/bin/python3 -s /opt/member/copier.py';

/** The program's own session and the one that started it; those that read and write rows. */
export function copierName(id: string): string {
  return `shardwright_copier_${id}`;
}

function workerName(id: string): string {
  return `shardwright_copy_${id}`;
}

/** One for each session that copies. */
export function originPattern(id: string): string {
  return `^sw_${id}_c[0-9]+$`;
}

export interface CopyJob {
  readonly tables: readonly {
    readonly from: string;
    readonly into: string;
    readonly columns: string;
    readonly filter: string;
  }[];
  readonly ranges: readonly BlockRange[];
}

/** `source`: a connection that keeps the tables from being rewritten, and sees the snapshot. */
export async function jobOf(source: Client, transfer: Transfer, parallel: number): Promise<CopyJob> {
  const found: (CopyJob['tables'][number] & { readonly blocks: number })[] = [];
  for (const table of inOrder(transfer)) {
    const into = quotedTable(table.name);
    const filter = partitionPredicate(transfer, table, 'source');
    const columns = await columnsOf(source, into);
    for (const { name: from, leaf } of await treeOf(source, [into])) {
      if (!leaf) continue;
      const { rows } = await source.query<{ blocks: string }>(
        `SELECT pg_relation_size($1::regclass) / current_setting('block_size')::int AS blocks`,
        [from],
      );
      found.push({ from, into, columns, filter, blocks: Number(rows[0]?.blocks ?? 0) });
    }
  }
  return {
    tables: found.map(({ from, into, columns, filter }) => ({ from, into, columns, filter })),
    ranges: rangesOf(found, parallel),
  };
}

/** Those that are computed are computed again. */
async function columnsOf(client: Client, table: string): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`,
    [table],
  );
  return rows.map(({ name }) => quoteIdentifier(name)).join(', ');
}

/** In the transaction that makes the subscription. */
export async function recordJob(
  target: Client,
  id: string,
  snapshot: string,
  pace: CopyPace,
  { tables, ranges }: CopyJob,
): Promise<void> {
  await target.query(
    'INSERT INTO shardwright.copy (transfer, snapshot, pace, tables) VALUES ($1, $2, $3, $4)',
    [id, snapshot, JSON.stringify(pace), JSON.stringify(tables)],
  );
  await target.query(
    `INSERT INTO shardwright.copy_range (transfer, number, item, first, past)
     SELECT $1, r.number, r.item, r.first, r.past
     FROM unnest($2::int[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS r (item, first, past, number)`,
    [
      id,
      ranges.map(({ item }) => item),
      ranges.map(({ first }) => first),
      ranges.map(({ past }) => past ?? null),
    ],
  );
}

/** Begins the program, if it is not at work, and does not wait for it. What it cannot even begin with is counted as its failure. */
export async function beginCopying(end: OpenEnd, id: string): Promise<void> {
  const { rows } = await end.client.query<{ busy: boolean; sockets: string; port: string }>(
    `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1) AS busy,
       split_part(current_setting('unix_socket_directories'), ',', 1) AS sockets, current_setting('port') AS port`,
    [copierName(id)],
  );
  if (!rows[0] || rows[0].busy) return;
  const { sockets, port } = rows[0];
  const starter = await end.open({
    statement_timeout: '0',
    idle_in_transaction_session_timeout: '0',
    client_connection_check_interval: '0',
  });
  await starter.query(`SET application_name = ${quoteLiteral(copierName(id))}`);
  const order = { transfer: id, sockets, port: Number(port), database: end.shard.spec.engine.database };
  void starter
    .query(`COPY (SELECT ${quoteLiteral(JSON.stringify(order))}) TO PROGRAM ${quoteLiteral(program)}`)
    .catch((error: unknown) =>
      starter.query('UPDATE shardwright.copy SET failures = failures + 1, message = $2 WHERE transfer = $1', [
        id,
        `the copier: ${messageOf(error)}`,
      ]),
    )
    .catch(() => undefined)
    .finally(() => void disconnect(starter));
}

/** The program takes it up within a second. */
export async function setPace({ client }: OpenEnd, id: string, pace: CopyPace): Promise<void> {
  await client.query(
    'UPDATE shardwright.copy SET pace = $2 WHERE transfer = $1 AND pace IS DISTINCT FROM $2::jsonb',
    [id, JSON.stringify(pace)],
  );
}

/** Afterwards nothing more is copied, and nothing of the copying is left but the rows. */
export async function stopCopying({ client }: OpenEnd, id: string, pace: Pace): Promise<void> {
  for (;;) {
    // Who copies holds what is deleted, for as long as it takes to commit.
    await client.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ANY ($1)',
      [[workerName(id), copierName(id)]],
    );
    await client.query('DELETE FROM shardwright.copy WHERE transfer = $1', [id]);
    const { rowCount } = await client.query(
      'SELECT FROM pg_stat_activity WHERE application_name = ANY ($1)',
      [[workerName(id), copierName(id)]],
    );
    if (rowCount === 0) break;
    await pace.pause(20);
  }
  await client.query(
    'SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname ~ $1',
    [originPattern(id)],
  );
}
