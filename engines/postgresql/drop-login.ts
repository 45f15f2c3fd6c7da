/** The end of an application login: closed before, its sessions gone, it takes what is recorded of it along. */
import { quoteIdentifier, quoteLiteral } from './sql-text.ts';

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
