/**
 * The login that deletes: a member of the role that owns the tables and nothing more, with a password for one run. A table's
 * triggers run with the rights of whoever deletes, and they are the application's own code.
 */
import { randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import { roles } from '#engines/postgresql/names.ts';
import { scramVerifier } from '#engines/scram.ts';
import { quoteIdentifier, quoteLiteral } from './sql.ts';

/** Nobody logs in as it at rest. */
export const eraserLogin = 'shardwright_archive';

/** What is given to it each time: all that it needs, whatever is there already. */
export async function openEraser(admin: Client): Promise<string> {
  const password = randomBytes(24).toString('base64url');
  const login = quoteIdentifier(eraserLogin);
  const { rowCount } = await admin.query('SELECT FROM pg_roles WHERE rolname = $1', [eraserLogin]);
  if (rowCount === 0) await admin.query(`CREATE ROLE ${login} NOLOGIN`);
  await admin.query(`GRANT ${quoteIdentifier(roles.owner)} TO ${login}`);
  await admin.query(`ALTER ROLE ${login} SET role = ${quoteLiteral(roles.owner)}`);
  const verifier = quoteLiteral(scramVerifier(password, randomBytes(16)));
  await admin.query(`ALTER ROLE ${login} LOGIN PASSWORD ${verifier}`);
  return password;
}

/** Never throws: a connection that is gone closes nothing, and the password is known to nobody. */
export async function closeEraser(admin: Client): Promise<void> {
  await admin
    .query(`ALTER ROLE ${quoteIdentifier(eraserLogin)} NOLOGIN PASSWORD NULL`)
    .catch(() => undefined);
}
