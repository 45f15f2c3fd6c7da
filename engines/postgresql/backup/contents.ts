/**
 * Rows and hashes of tables at one position of the log, taken on a replica that stands still meanwhile: the primary is asked
 * for nothing but a tiny commit behind that position, so that a recovery has something to stop at.
 *
 * Standing still and going on again is one statement of the replica's server. It goes on also when whoever asked is gone, and
 * when the statement fails or is cancelled; only somebody who ends its backend by force leaves the replica standing, and the
 * next session makes it go on: a file beside the server tells our hold from that of a person, which is left alone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { z } from 'zod';
import { sqlState } from '../connection.ts';
import { digestSettings, digestStatement } from './digest.ts';

export interface Contents {
  readonly target: string;
  readonly contents: readonly { readonly table: string; readonly rows: string; readonly hash: string }[];
}

/** Held by whoever holds the replay, so that nobody else's end lets it go on. */
const LOCK = 7_301_946_021;
/** Names the server's life in which we held its replay; the pod's own folder, gone with it. */
const HELD = `'/tmp/held-replay'`;
const LIFE = 'pg_postmaster_start_time()::text';
/** The expectation travels in an object of the API server. */
const MOST_TABLES = 200;
/** A replica that is further behind cannot be waited for. */
const CATCH_UP_MS = 30_000;
const LOOK_MS = 100;

/**
 * Of the replica's session. No check for a lost client: it would end the backend where nothing can be caught. The hold is
 * bounded instead, as readers of the replica see no news meanwhile.
 */
export const contentsSettings: Readonly<Record<string, string>> = {
  ...digestSettings,
  statement_timeout: '120s',
  // A lock that was replayed is not released while the replay stands still.
  lock_timeout: '10s',
  client_connection_check_interval: '0',
  log_min_error_statement: 'panic',
};

const answer = z.object({
  target: z.string(),
  contents: z.array(z.object({ table: z.string(), rows: z.string(), hash: z.string() })),
});

/** Makes a replica go on that somebody left standing. */
export async function letGoOn(replica: Client): Promise<void> {
  await replica.query(`DO $$ BEGIN
    IF pg_is_in_recovery() AND pg_is_wal_replay_paused()
      AND rtrim(pg_read_file(${HELD}, true), E'\\n') = ${LIFE} AND pg_try_advisory_lock(${LOCK}) THEN
      PERFORM pg_wal_replay_resume();
      COPY (SELECT '') TO ${HELD};
      PERFORM pg_advisory_unlock(${LOCK});
    END IF;
  END $$`);
}

/** SQLSTATEs of a replica that had something else to do: a lock, time that was up, a promotion, a conflict, its end. */
const BUSY: ReadonlySet<string> = new Set(['55P03', '57014', '55000', '40001', '57P01']);

/**
 * The smallest tables first, up to `limitBytes` in all. Undefined when the replica is too far behind, is no replica any more,
 * stands still already, or has something else to do.
 */
export async function readContents(
  primary: Client,
  replica: Client,
  limitBytes: number,
): Promise<Contents | undefined> {
  if (!(await hasCaughtUp(primary, replica))) return undefined;
  try {
    await replica.query(holdAndRead(limitBytes));
  } catch (error) {
    if (BUSY.has(sqlState(error) ?? '')) return undefined;
    throw error;
  }
  const { rows } = await replica.query<{ answer: string | null }>(
    `SELECT nullif(current_setting('shardwright.contents', true), '') AS answer`,
  );
  const text = rows[0]?.answer ?? undefined;
  if (text === undefined) return undefined;
  // A commit, so that archiving takes it for news.
  await primary.query(`SELECT pg_logical_emit_message(true, 'shardwright', 'contents')`);
  return answer.parse(JSON.parse(text));
}

/** Waits until the replica has replayed what the primary has written by now. */
async function hasCaughtUp(primary: Client, replica: Client): Promise<boolean> {
  const { rows } = await primary.query<{ position: string }>('SELECT pg_current_wal_lsn()::text AS position');
  const position = rows[0]?.position;
  for (let waited = 0; waited <= CATCH_UP_MS; waited += LOOK_MS) {
    const { rows: seen } = await replica.query<{ reached: boolean | null }>(
      'SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= $1::pg_lsn AS reached',
      [position],
    );
    if (seen[0]?.reached === true) return true;
    await sleep(LOOK_MS);
  }
  return false;
}

/** Its answer is left in a setting, as a replica has nowhere else to put it. */
function holdAndRead(limitBytes: number): string {
  return `DO $hold$
DECLARE
  held boolean := false;
  target pg_lsn;
  item record;
  statement text;
  result record;
  results jsonb := '[]';
BEGIN
  PERFORM set_config('shardwright.contents', '', false);
  IF NOT pg_is_in_recovery() OR pg_is_wal_replay_paused() OR NOT pg_try_advisory_lock(${LOCK}) THEN
    RETURN;
  END IF;
  held := true;
  COPY (SELECT ${LIFE}) TO ${HELD};
  PERFORM pg_wal_replay_pause();
  WHILE pg_get_wal_replay_pause_state() <> 'paused' LOOP
    PERFORM pg_sleep(0.02);
  END LOOP;
  target := pg_last_wal_replay_lsn();
  FOR item IN
    SELECT name, relation FROM (
      SELECT format('%I.%I', n.nspname, c.relname) AS name, c.oid::regclass AS relation,
        sum(pg_relation_size(c.oid)) OVER (ORDER BY pg_relation_size(c.oid), c.oid) AS so_far,
        row_number() OVER (ORDER BY pg_relation_size(c.oid), c.oid) AS place
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND c.relpersistence = 'p'
        AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    ) AS tables WHERE so_far <= ${Math.floor(limitBytes)} AND place <= ${MOST_TABLES} ORDER BY name
  LOOP
    statement := (${digestStatement('item.relation')});
    EXECUTE statement INTO result;
    results := results || jsonb_build_object('table', item.name, 'rows', result.rows, 'hash', result.hash);
  END LOOP;
  IF pg_get_wal_replay_pause_state() <> 'paused' OR pg_last_wal_replay_lsn() <> target THEN
    RAISE EXCEPTION 'the replica went on while it was read';
  END IF;
  PERFORM pg_wal_replay_resume();
  COPY (SELECT '') TO ${HELD};
  PERFORM pg_advisory_unlock(${LOCK});
  PERFORM set_config('shardwright.contents', jsonb_build_object('target', target, 'contents', results)::text, false);
EXCEPTION WHEN query_canceled OR OTHERS THEN
  IF held AND pg_is_in_recovery() THEN
    PERFORM pg_wal_replay_resume();
  END IF;
  IF held THEN
    COPY (SELECT '') TO ${HELD};
    PERFORM pg_advisory_unlock(${LOCK});
  END IF;
  RAISE;
END $hold$`;
}
