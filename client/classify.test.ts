import { DatabaseError } from 'pg';
import { describe, expect, it } from 'vitest';
import { classify } from './classify.ts';

function refused(code: string, message = 'refused', severity = 'ERROR'): DatabaseError {
  const error = new DatabaseError(message, message.length, 'error');
  error.code = code;
  error.severity = severity;
  return error;
}

describe('classify', () => {
  it.each([
    ['a revoked generation', refused('42501'), 'stale'],
    [
      'a row that row security hides',
      refused('42501', 'new row violates row-level security policy for table "users"'),
      'stale',
    ],
    [
      'a login that was dropped under its session',
      Object.assign(refused('42704', 'invalid role OID: 33156'), { routine: 'GetUserNameFromId' }),
      'stale',
    ],
    ['another thing that is not there', refused('42704', 'type "x" does not exist'), 'final'],
    ['a login that is gone', refused('28P01', 'no such user', 'FATAL'), 'password'],
    ['a demoted primary', refused('25006'), 'away'],
    ['a deadlock', refused('40P01'), 'conflict'],
    ['an error of the statement', refused('23505'), 'final'],
    ['a session ended by an administrator', refused('57P01', 'terminating', 'FATAL'), 'broken'],
    ['any other end of the session', refused('XX000', 'panic', 'FATAL'), 'broken'],
    ['a pooler that lost its server', refused('08P01', 'server conn crashed?', 'FATAL'), 'broken'],
    ['a pooler whose server was gone', refused('08P01', 'server connection closed', 'FATAL'), 'away'],
    [
      'a pooler whose server ended while it was being prepared',
      refused('08P01', 'invalid server parameter', 'FATAL'),
      'away',
    ],
    ['a pooler that found no server', refused('08P01', 'query_wait_timeout', 'FATAL'), 'away'],
    [
      'a pooler whose server refuses',
      refused('08P01', 'server login has been failing, try again later (server_login_retry)', 'FATAL'),
      'away',
    ],
    ['a lost connection', new Error('Connection terminated unexpectedly'), 'broken'],
  ])('judges %s while a statement ran', (_name, error, verdict) => {
    expect(classify(error, { sent: true })).toBe(verdict);
  });

  it.each([
    ['a server that starts', refused('57P03', 'starting up', 'FATAL'), 'away'],
    ['a server that stops', refused('57P01', 'terminating', 'FATAL'), 'away'],
    ['a full server', refused('53300', 'too many', 'FATAL'), 'away'],
    ['no right to connect', refused('42501', 'permission denied for database', 'FATAL'), 'password'],
    ['a pooler that lost its server', refused('08P01', 'server conn crashed?', 'FATAL'), 'away'],
    ['a lost connection', new Error('ECONNRESET'), 'away'],
  ])('judges %s before anything was sent', (_name, error, verdict) => {
    expect(classify(error, { sent: false })).toBe(verdict);
  });

  /** As the server reports it from the place where it lets itself be interrupted. */
  function ended(code: string, routine = 'ProcessInterrupts'): DatabaseError {
    return Object.assign(refused(code, 'terminating connection', 'FATAL'), { routine });
  }

  it.each(['INSERT INTO t VALUES (1)', ' update t set n = 2;', 'WITH x AS (SELECT 1) DELETE FROM t'])(
    'knows that a session ended by order has rolled its one write back: %s',
    sql => expect(classify(ended('57P01'), { sent: true, sql })).toBe('away'),
  );

  it.each([
    ['a procedure, which may have committed on its way', ended('57P01'), 'CALL work()'],
    ['two statements', ended('57P01'), 'INSERT INTO t VALUES (1); COMMIT'],
    ['a commit', ended('57P01'), undefined],
    ['a crash', ended('57P02'), 'DELETE FROM t'],
    ['a pooler in between', refused('57P01', 'terminating', 'FATAL'), 'DELETE FROM t'],
    ['another place of the server', ended('57P01', 'SyncRepWaitForLSN'), 'DELETE FROM t'],
  ])('does not know it of %s', (_name, error, sql) => {
    expect(classify(error, { sent: true, ...(sql !== undefined && { sql }) })).toBe('broken');
  });

  it('takes a write that was asked for as a read for the caller’s mistake', () => {
    expect(classify(refused('25006'), { sent: true, readOnly: true })).toBe('final');
  });
});
