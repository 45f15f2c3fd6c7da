/**
 * Secondary indexes of a target that has no rows yet are dropped before the first copy and built after it: one sort is cheaper
 * than an insertion for every row. Their definitions are kept in the transaction that drops them, and each is forgotten in the one
 * that builds it again; the stream counts as caught up when none is left.
 *
 * Indexes that promise something stay: unique ones, those of constraints, replica identities.
 */
import { EngineError } from '#engines/errors.ts';
import type { Transfer } from '#engines/migration.ts';
import { disconnect } from '../connection.ts';
import { quoteLiteral } from '../sql-text.ts';
import { passSetting } from '../transfer-schema-sql.ts';
import type { OpenEnd } from './ends.ts';
import { lockJournal, WrongMomentError } from './journal.ts';
import { streamName } from './names.ts';
import { type Pace, withTables } from './short-lock.ts';
import { quotedTables } from './tables.ts';

/** So many failures to build one, and the stream counts as broken. */
export const INDEX_FAILURES = 3;

/** An index that was dropped for a copy cannot be built again; its definition is kept. */
export class IndexBuildError extends EngineError {
  override readonly name = 'IndexBuildError';
  readonly code = 'IndexBuildFailed';
  readonly remedy = 'Correct what the message names; it is tried again.';
  override readonly retryable = true;
}

const builderName = (id: string) => `shardwright_index_${id}`;

/**
 * Of the tables of the transfer and their partitions. An index with properties that its definition does not tell is left alone.
 * `$1`: the tables, quoted.
 */
const secondary = `
SELECT format('%I.%I', n.nspname, x.relname) AS name,
  replace(pg_get_indexdef(x.oid), format(' ON ONLY %I.%I ', tn.nspname, t.relname), format(' ON %I.%I ', tn.nspname, t.relname)) AS definition
FROM unnest($1::text[]) AS root (name)
CROSS JOIN LATERAL (SELECT root.name::regclass AS relid UNION SELECT relid FROM pg_partition_tree(root.name::regclass)) AS tree
JOIN pg_index i ON i.indrelid = tree.relid
JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE NOT (i.indisunique OR i.indisexclusion OR i.indisreplident OR i.indisclustered) AND i.indisvalid
  -- That of a partitioned table has those of its partitions with it.
  AND NOT x.relispartition AND x.reltablespace = 0
  AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = x.oid)
  AND NOT EXISTS (SELECT FROM pg_description d WHERE d.classoid = 'pg_class'::regclass AND d.objoid = x.oid)
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0)
ORDER BY 1`;

/** Before the forward stream is made; does nothing once it is there, or where the target has rows of its own. Throws TablesBusyError. */
export async function deferIndexes({ client }: OpenEnd, transfer: Transfer, pace: Pace): Promise<void> {
  if (!transfer.targetEmpty) return;
  const subscribed = await client.query('SELECT FROM pg_subscription WHERE subname = $1', [
    streamName(transfer.id, 'forward'),
  ]);
  if (subscribed.rowCount) return;
  await client.query(
    'UPDATE shardwright.deferred_index SET failures = 0, message = NULL WHERE transfer = $1',
    [transfer.id],
  );
  const tables = quotedTables(transfer);
  const { rowCount } = await client.query(secondary, [tables]);
  if (!rowCount) return;
  await withTables(client, tables, pace, async () => {
    const journal = await lockJournal(client, transfer.id);
    if (!journal || journal.closing)
      throw new WrongMomentError(`transfer ${transfer.id} is not prepared at the target`);
    await client.query(`SET LOCAL ${passSetting} = on`);
    const { rows } = await client.query<{ name: string; definition: string }>(secondary, [tables]);
    for (const { name, definition } of rows) {
      await client.query('INSERT INTO shardwright.deferred_index (transfer, definition) VALUES ($1, $2)', [
        transfer.id,
        definition,
      ]);
      await client.query(`DROP INDEX ${name}`);
    }
  });
}

/**
 * Begins to build what was deferred, if nobody is at it, and does not wait: building takes as long as it takes. The database goes
 * on when the session ends.
 */
export async function beginBuilding(end: OpenEnd, id: string): Promise<void> {
  const name = builderName(id);
  const busy = await end.client.query('SELECT FROM pg_stat_activity WHERE application_name = $1', [name]);
  if (busy.rowCount) return;
  const builder = await openBuilder(end, name);
  void builder
    .query(build(id))
    .catch(() => undefined)
    .finally(() => void disconnect(builder));
}

/** Builds what was deferred, and waits for it: for tables without rows. Throws {@link IndexBuildError}. */
export async function restoreIndexes(end: OpenEnd, id: string): Promise<void> {
  const deferred = await end.client.query('SELECT FROM shardwright.deferred_index WHERE transfer = $1', [id]);
  if (!deferred.rowCount) return;
  await stopBuilding(end, id);
  const builder = await openBuilder(end, builderName(id));
  try {
    await builder.query(build(id));
  } finally {
    await disconnect(builder);
  }
  const { rows } = await end.client.query<{ definition: string; message: string | null }>(
    'SELECT definition, message FROM shardwright.deferred_index WHERE transfer = $1 LIMIT 1',
    [id],
  );
  if (rows[0]) throw new IndexBuildError(`${rows[0].definition}: ${rows[0].message ?? 'not built'}`);
}

/** Whoever is building holds the tables. */
export async function stopBuilding({ client }: OpenEnd, id: string): Promise<void> {
  await client.query(
    'SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1',
    [builderName(id)],
  );
}

/** `client_connection_check_interval`: a build that nobody waits for any more goes on. */
const builderSettings = {
  statement_timeout: '0',
  lock_timeout: '0',
  client_connection_check_interval: '0',
  [passSetting]: 'on',
} as const;

async function openBuilder(end: OpenEnd, name: string): ReturnType<OpenEnd['open']> {
  const builder = await end.open(builderSettings);
  await builder.query(`SET application_name = ${quoteLiteral(name)}`);
  return builder;
}

/** One transaction for each index. One that fails is counted, and the next call tries it again. */
function build(id: string): string {
  const transfer = quoteLiteral(id);
  return `DO $do$
DECLARE
  item record;
  failure text;
BEGIN
  FOR item IN SELECT definition FROM shardwright.deferred_index WHERE transfer = ${transfer} ORDER BY failures, definition LOOP
    PERFORM FROM shardwright.deferred_index WHERE transfer = ${transfer} AND definition = item.definition FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    failure := NULL;
    BEGIN
      EXECUTE item.definition;
      DELETE FROM shardwright.deferred_index WHERE transfer = ${transfer} AND definition = item.definition;
    EXCEPTION WHEN OTHERS THEN
      failure := SQLERRM;
    END;
    IF failure IS NOT NULL THEN
      UPDATE shardwright.deferred_index SET failures = failures + 1, message = failure
      WHERE transfer = ${transfer} AND definition = item.definition;
    END IF;
    -- From now on it is protected as the tables are.
    INSERT INTO shardwright.transfer_relation (transfer, relation)
      SELECT ${transfer}, i.indexrelid FROM pg_index i
      WHERE i.indrelid IN (SELECT relation FROM shardwright.transfer_relation WHERE transfer = ${transfer})
      ON CONFLICT DO NOTHING;
    COMMIT;
  END LOOP;
END
$do$`;
}
