/**
 * A stream is the database's own subscription: it copies what is there, or has the copier do that, then follows. The slot is made first
 * and the subscription with its journal entry in one transaction, so what is cut off in between is a slot that the next try drops.
 */

import { randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import { EngineError } from '#engines/errors.ts';
import type { CopyPace, Transfer } from '#engines/migration.ts';
import { scramVerifier } from '#engines/scram.ts';
import { sqlState, transaction } from '../connection.ts';
import { paths, ports } from '../names.ts';
import { quoteIdentifier, quoteLiteral } from '../sql-text.ts';
import { beginCopying, type CopyJob, jobOf, recordJob, stopCopying } from './copier/job.ts';
import { endHolders, slotWithSnapshot } from './copier/snapshot.ts';
import type { Ends, OpenEnd, OpenEnds } from './ends.ts';
import { lockJournal, WrongMomentError } from './journal.ts';
import { moverLogin, publisher, type Stream, streamName, subscriber } from './names.ts';
import type { Pace } from './short-lock.ts';
import { keepStandbys } from './standbys.ts';
import { quotedTables, treeOf } from './tables.ts';

/** Making a slot waits for every transaction that is running. */
const SLOT_MS = 20_000;
/** Workers of a subscription that was switched off end within this time, or are ended. */
const WORKERS_MS = 3_000;

/** Transactions that run on the publishing end are in the way of a new slot. */
export class SlotTimeoutError extends EngineError {
  override readonly name = 'SlotTimeoutError';
  readonly code = 'SlotTimeout';
  readonly remedy = 'Look for long transactions in pg_stat_activity; the operator tries again by itself.';
  override readonly retryable = true;
}

export interface StreamOptions {
  readonly copy: boolean;
  /** The copier makes the copy, at this pace; else the database does. */
  readonly pace?: CopyPace;
  /** For tests of what it protects from; `none` always. */
  readonly origin: 'none' | 'any';
  /** Journal entry of a first copy: by table, what was to be copied. */
  readonly size?: Readonly<Record<string, { readonly rows: number; readonly bytes: number }>>;
}

/** Nothing is done when the subscription is there. */
export async function startStream(
  ends: Ends,
  transfer: Transfer,
  stream: Stream,
  options: StreamOptions,
): Promise<void> {
  const [from, to] = [ends[publisher(stream)], ends[subscriber(stream)]];
  const name = streamName(transfer.id, stream);
  if ((await subscriptionOf(to.client, name)) !== undefined) return;
  await keepStandbys(from);
  await dropSlots(from.client, [name]);
  await Promise.all(
    [from, to].map(({ client }) =>
      client.query('DELETE FROM shardwright.marker WHERE transfer = $1', [transfer.id]),
    ),
  );
  const password = randomBytes(24).toString('base64url');
  const verifier = scramVerifier(password, randomBytes(16));
  await from.client.query(
    `ALTER ROLE ${quoteIdentifier(moverLogin(transfer.id))} PASSWORD ${quoteLiteral(verifier)}`,
  );
  const job = options.copy && options.pace ? await prepareCopy(from, transfer, options.pace) : undefined;
  if (!job) await makeSlot(from, name);
  await transaction(to.client, async () => {
    const journal = await lockJournal(to.client, transfer.id);
    if (!journal || journal.closing || !journal.prepared)
      throw new WrongMomentError(`transfer ${transfer.id} is not prepared at the ${to.end}`);
    await to.client.query(
      `UPDATE shardwright.transfer SET ${stream}_verified = NULL${options.copy ? ', copied = true, copy = $2' : ''}
       WHERE id = $1`,
      options.copy ? [transfer.id, JSON.stringify(options.size ?? {})] : [transfer.id],
    );
    // No extension may keep the text of this statement: it has the password.
    await to.client.query(`SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1;
      SET LOCAL log_min_duration_sample = -1; SET LOCAL pg_stat_statements.track_utility = off`);
    await to.client.query(`CREATE SUBSCRIPTION ${name} CONNECTION ${quoteLiteral(connectionText(from, transfer.id, password))}
      PUBLICATION ${name} WITH (create_slot = false, slot_name = ${name}, failover = true, enabled = ${!job}, copy_data = ${options.copy && !job},
        origin = ${options.origin}, synchronous_commit = on, streaming = on, disable_on_error = false, run_as_owner = false)`);
    if (job) await recordJob(to.client, transfer.id, job.snapshot, job.pace, job.found);
  });
  if (job) await beginCopying(to, transfer.id);
}

async function prepareCopy(
  from: OpenEnd,
  transfer: Transfer,
  pace: CopyPace,
): Promise<{ readonly snapshot: string; readonly found: CopyJob; readonly pace: CopyPace }> {
  const tree = await treeOf(from.client, quotedTables(transfer));
  const made = await slotWithSnapshot(
    from,
    transfer.id,
    tree.map(({ name }) => name),
    SLOT_MS,
    client => jobOf(client, transfer, pace.parallel),
  );
  if (!made) throw new SlotTimeoutError(slotTimeout(from));
  return { ...made, pace };
}

function slotTimeout({ serverName }: OpenEnd): string {
  return `no replication slot could be made on ${serverName} within ${SLOT_MS / 1000} s`;
}

function connectionText({ serverName, given, shard }: OpenEnd, id: string, password: string): string {
  const { peer } = given;
  const words: Readonly<Record<string, string>> = {
    host: serverName,
    ...(peer && { hostaddr: peer.host }),
    port: String(peer?.port ?? ports.postgresql),
    dbname: shard.spec.engine.database,
    user: moverLogin(id),
    password,
    sslmode: 'verify-full',
    sslrootcert: peer?.rootCertificate ?? `${paths.certificates}/ca.crt`,
    connect_timeout: '5',
    keepalives_idle: '5',
    keepalives_interval: '2',
    keepalives_count: '3',
    tcp_user_timeout: '10000',
    // A table whose rows are hidden from this login is an error then, not an empty table.
    options: '-crow_security=off',
  };
  return Object.entries(words)
    .map(([word, value]) => `${word}='${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`)
    .join(' ');
}

async function makeSlot(end: OpenEnd, name: string): Promise<void> {
  const { client } = end;
  try {
    await client.query(`SET statement_timeout = ${SLOT_MS}`);
    await client.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput', false, false, true)`, [
      name,
    ]);
  } catch (cause) {
    if (sqlState(cause) !== '57014') throw cause;
    throw new SlotTimeoutError(slotTimeout(end), { cause });
  } finally {
    await client.query(`RESET statement_timeout`).catch(() => undefined);
  }
}

/** Its oid as text. */
async function subscriptionOf(client: Client, name: string): Promise<string | undefined> {
  const { rows } = await client.query<{ oid: string }>(
    'SELECT oid::text FROM pg_subscription WHERE subname = $1 AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())',
    [name],
  );
  return rows[0]?.oid;
}

/**
 * Ends a stream for good at whichever ends are there: subscription, workers, slots. In an order in which nothing is left that
 * nobody could find again.
 */
export async function dropStream(
  ends: OpenEnds,
  transfer: Transfer,
  stream: Stream,
  pace: Pace,
): Promise<void> {
  const [from, to] = [ends[publisher(stream)], ends[subscriber(stream)]];
  const name = streamName(transfer.id, stream);
  const oid = to && (await subscriptionOf(to.client, name));
  if (stream === 'forward') {
    if (to) await stopCopying(to, transfer.id, pace);
    if (from) await endHolders(from, transfer.id);
  }
  if (to && oid !== undefined) {
    await to.client.query(`ALTER SUBSCRIPTION ${name} DISABLE`);
    await workersGone(to.client, oid, pace);
  }
  if (from) await dropSlots(from.client, [name, ...(await copySlots(from.client, transfer.id, oid))], pace);
  if (to && oid !== undefined) {
    await transaction(to.client, () =>
      to.client.query(`ALTER SUBSCRIPTION ${name} SET (slot_name = NONE); DROP SUBSCRIPTION ${name}`),
    );
  }
}

async function workersGone(client: Client, oid: string, pace: Pace): Promise<void> {
  const deadline = performance.now() + WORKERS_MS;
  for (;;) {
    const late = performance.now() > deadline;
    const { rowCount } = await client.query(
      `SELECT CASE WHEN $2 THEN pg_terminate_backend(pid) END FROM pg_stat_subscription WHERE subid = $1::oid AND pid IS NOT NULL`,
      [oid, late],
    );
    if (rowCount === 0) return;
    await pace.pause(10);
  }
}

/**
 * The first copy of each table has a slot of its own, `pg_<subscription>_sync_<table>_<system>`. When the subscription cannot
 * be asked any more, the other end's system identifier is what they are known by.
 */
async function copySlots(client: Client, id: string, oid: string | undefined): Promise<readonly string[]> {
  const { rows } = await client.query<{ slot_name: string }>(
    `SELECT slot_name FROM pg_replication_slots
     WHERE slot_name LIKE 'pg\\_' || coalesce($2, '%') || '\\_sync\\_%\\_' || (SELECT peer FROM shardwright.transfer WHERE id = $1)`,
    [id, oid ?? null],
  );
  return rows.map(row => row.slot_name);
}

async function dropSlots(client: Client, names: readonly string[], pace?: Pace): Promise<void> {
  for (const name of names) {
    for (let tries = 0; ; tries++) {
      try {
        await client.query(
          `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`,
          [name],
        );
        await client.query(
          'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
          [name],
        );
        break;
      } catch (error) {
        // Its walsender has not ended yet.
        if (sqlState(error) !== '55006' || tries >= 100) throw error;
        await pace?.pause(20);
      }
    }
  }
}
