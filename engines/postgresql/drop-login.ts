/** The end of an application login: closed before, its sessions gone, it takes what is recorded of it along. */
import type { Client } from 'pg';
import { transaction } from './connection.ts';
import { quoteIdentifier, quoteLiteral } from './sql-text.ts';

/**
 * Drops logins that are closed and whose sessions were ended. One that began just before its login was closed, and was not to be
 * seen yet, ends here: it would fail at every statement, and a pooler would hand it on to whoever has that name next.
 */
export async function dropLogins(client: Client, logins: readonly string[]): Promise<void> {
  if (logins.length === 0) return;
  for (const login of logins) await transaction(client, () => client.query(dropLoginSql(login)));
  await client.query(
    'SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE usesysid IS NOT NULL AND usename IS NULL',
  );
}

/**
 * To be sent as one transaction. Nothing when the login is gone already. Whoever makes sure of access and whoever moves data may
 * both drop it: the lock that puts all that opens or closes logins in one order keeps them from meeting in the catalog, where
 * the second would fail ("tuple concurrently deleted").
 */
export function dropLoginSql(login: string): string {
  const name = quoteIdentifier(login);
  return `
SELECT FROM shardwright.generation FOR UPDATE;
DO $drop$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = ${quoteLiteral(login)}) THEN
    DROP OWNED BY ${name};
    DROP ROLE ${name};
  END IF;
END $drop$;
DELETE FROM shardwright.own WHERE role = ${quoteLiteral(login)}`;
}
