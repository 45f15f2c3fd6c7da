/**
 * A slot and the snapshot of the moment that it begins at: what the snapshot shows is copied, what comes later is streamed. A session of
 * the source holds the snapshot until somebody reads from the slot, or until it is gone; it needs no operator for that.
 */
import type { Client } from 'pg';
import { disconnect } from '../../connection.ts';
import { quoteIdentifier, quoteLiteral } from '../../sql-text.ts';
import type { OpenEnd } from '../ends.ts';
import { streamName } from '../names.ts';

/** Between two looks at the slot, in seconds. */
const LOOK_S = 0.5;
/** Whoever saw the target just before the stream began must still find the snapshot held. */
const LINGER_S = 5;

export function holderName(id: string): string {
  return `shardwright_snapshot_${id}`;
}

/**
 * `read` is given a connection that sees the snapshot and keeps `tables` (quoted) from being rewritten; what it returns is returned, with
 * the snapshot's name. The slot is made here; `limitMs`: for making it, which waits for transactions that are running. Undefined when
 * that was not enough.
 */
export async function slotWithSnapshot<T>(
  end: OpenEnd,
  id: string,
  tables: readonly string[],
  limitMs: number,
  read: (client: Client) => Promise<T>,
): Promise<{ readonly snapshot: string; readonly found: T } | undefined> {
  await endHolders(end, id);
  const exporter = await end.openReplication();
  try {
    const exported = await makeSlot(end, exporter, streamName(id, 'forward'), limitMs);
    if (exported === undefined) return undefined;
    const holder = await end.open({
      statement_timeout: '0',
      idle_in_transaction_session_timeout: '0',
      transaction_timeout: '0',
      client_connection_check_interval: '0',
    });
    await holder.query(`SET application_name = ${quoteLiteral(holderName(id))}`);
    await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await holder.query(`SET TRANSACTION SNAPSHOT ${quoteLiteral(exported)}`);
    await holder.query(`LOCK TABLE ${tables.join(', ')} IN ACCESS SHARE MODE`);
    const found = await read(holder);
    const { rows } = await holder.query<{ name: string }>('SELECT pg_export_snapshot() AS name');
    void holder
      .query(hold(streamName(id, 'forward')))
      .catch(() => undefined)
      .finally(() => void disconnect(holder));
    return { snapshot: rows[0]?.name ?? '', found };
  } finally {
    await disconnect(exporter);
  }
}

/** The name of the snapshot; undefined when others' transactions took too long. */
async function makeSlot(
  end: OpenEnd,
  exporter: Client,
  slot: string,
  limitMs: number,
): Promise<string | undefined> {
  const { rows } = await exporter.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  let late = false;
  // Nothing on the server's side limits a command of this protocol.
  const timer = setTimeout(() => {
    late = true;
    void end.client.query('SELECT pg_cancel_backend($1)', [rows[0]?.pid]).catch(() => undefined);
  }, limitMs);
  try {
    const made = await exporter.query<{ snapshot_name: string }>(
      `CREATE_REPLICATION_SLOT ${quoteIdentifier(slot)} LOGICAL pgoutput (SNAPSHOT 'export', FAILOVER true)`,
    );
    return made.rows[0]?.snapshot_name ?? '';
  } catch (error) {
    if (late) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Slots are seen as they are, not as the snapshot has them. */
function hold(slot: string): string {
  return `DO $do$
BEGIN
  WHILE EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = ${quoteLiteral(slot)} AND NOT active) LOOP
    PERFORM pg_sleep(${LOOK_S});
  END LOOP;
  IF EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = ${quoteLiteral(slot)}) THEN
    PERFORM pg_sleep(${LINGER_S});
  END IF;
END
$do$`;
}

export async function endHolders({ client }: OpenEnd, id: string): Promise<void> {
  await client.query(
    'SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1',
    [holderName(id)],
  );
}
