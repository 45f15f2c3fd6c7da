/** The end of an application login: closed before, its sessions gone, it takes what is recorded of it along. */
import { quoteIdentifier, quoteLiteral } from './sql-text.ts';

/** To be sent as one transaction. Fails with SQLSTATE 42704 when the login is gone already. */
export function dropLoginSql(login: string): string {
  const name = quoteIdentifier(login);
  return `DROP OWNED BY ${name}; DROP ROLE ${name}; DELETE FROM shardwright.own WHERE role = ${quoteLiteral(login)}`;
}
