/**
 * What a failure means for the statement it hit. Everything here errs to the side of "may have taken effect": only what
 * the server's answer proves is called harmless.
 */
import { DatabaseError } from 'pg';

/**
 * - `stale`: refused because the login's generation has passed; took no effect, a newer map helps
 * - `password`: refused at the door; took no effect, newer credentials or a newer map help
 * - `away`: no server took it (fail-over, demoted, starting up); took no effect, time helps
 * - `conflict`: lost against another transaction; took no effect, repeating helps
 * - `broken`: the connection ended in the middle; may have taken effect
 * - `final`: the server refused it for what it is; took no effect, repeating won't help
 */
export type Verdict = 'stale' | 'password' | 'away' | 'conflict' | 'broken' | 'final';

/** Nothing of a statement was sent yet when a {@link NotSentError} is thrown. */
export class NotSentError extends Error {
  override readonly name = 'NotSentError';
}

export interface Circumstances {
  /** A statement was on its way. Errors that end a session mean different things before and after. */
  readonly sent: boolean;
  /** The statement, if it was one of its own, outside any transaction. */
  readonly sql?: string;
  /** Nothing but reads was asked for: of a replica, or in a transaction that is to be read-only. */
  readonly readOnly?: boolean;
}

export function classify(error: unknown, { sent, sql, readOnly = false }: Circumstances): Verdict {
  if (!(error instanceof DatabaseError)) return sent ? 'broken' : 'away';
  switch (error.code ?? '') {
    case '42501': // insufficient_privilege: the generation was revoked, or row security hides what the statement writes
      return sent ? 'stale' : 'password';
    case '28000': // invalid_authorization: the login may not log in any more
    case '28P01': // invalid_password; also for a login that does not exist
      return 'password';
    case '42704': // undefined_object; said of the session's own login when that was dropped, which replicas learn in no other way
      return sent && error.routine === 'GetUserNameFromId' ? 'stale' : 'final';
    case '40001': // serialization_failure
    case '40P01': // deadlock_detected
      return 'conflict';
    case '25006': // read_only_sql_transaction: a primary that was demoted, or a shard made read-only
      return readOnly ? 'final' : 'away';
    case '57P03': // cannot_connect_now
    case '53300': // too_many_connections
      return 'away';
    case '57P01': // admin_shutdown
    case '57P02': // crash_shutdown
    case '57P05': // idle_session_timeout
    case '25P03': // idle_in_transaction_session_timeout
      return sent && !brokeOff(error, sql) ? 'broken' : 'away';
    default:
      break;
  }
  // The pooler has one code for all its troubles. These tell that no server was given the statement, or not all of it: "server
  // connection closed" is said of a statement that could not be handed over, since the server's end was closed, "invalid server
  // parameter" of one that still waits for the session to be given its parameters (PgBouncer 1.24, src/server.c).
  if (error.code?.startsWith('08') === true) {
    return !sent || neverAssigned.test(error.message) ? 'away' : 'broken';
  }
  // A session that the server ends (FATAL) may have ended after its commit.
  if (error.severity === 'FATAL' || error.severity === 'PANIC') return sent ? 'broken' : 'away';
  return 'final';
}

/**
 * A server that is told to end a session does so where it may break its work off, which is never between a commit and the
 * answer that tells of it: told by an error of that place, a statement that is its own transaction was rolled back. A crash
 * and a pooler say no such thing.
 */
function brokeOff(error: DatabaseError, sql: string | undefined): boolean {
  const endedByOrder =
    error.code !== '57P02' && error.severity === 'FATAL' && error.routine === 'ProcessInterrupts';
  return endedByOrder && sql !== undefined && oneWrite.test(sql);
}

/** One statement that cannot commit on its way, as a procedure could. */
const oneWrite = /^\s*(insert|update|delete|merge|with)\b[^;]*;?\s*$/i;

const neverAssigned =
  /server login (has been failing|failed)|query_wait_timeout|cannot connect to server|server connection closed|invalid server parameter/;
