/**
 * Logins, rights and the operator's own schema, made so and kept so. Everything that narrows a right is one transaction, and
 * what was begun under the old rights is ended right after it.
 */
import type { Client } from 'pg';
import type { AccessInput } from '#engines/engine.ts';
import { StaleAccessError } from '#engines/errors.ts';
import { readAccessFacts } from './access-facts.ts';
import { planAccess } from './access-plan.ts';
import { transaction } from './connection.ts';
import { dropLogins } from './drop-login.ts';
import { roles } from './names.ts';
import { broadcastRole, schemaLogin, schemaScript, schemaVersion } from './schema-sql.ts';
import { fullTableName, quoteIdentifier, quoteLiteral } from './sql-text.ts';

/** Roles without which neither the schema nor any plan can be carried out. None of them has a password. */
const baseRoles: Readonly<Record<string, string>> = {
  [roles.owner]: 'NOLOGIN',
  [roles.pooler]: 'LOGIN',
  [broadcastRole]: 'NOLOGIN',
  [schemaLogin]: 'NOLOGIN',
};

/** Creates the database, on a connection to another one of the same server. */
export async function createDatabase(client: Client, database: string): Promise<void> {
  await createBaseRoles(client);
  await client.query(`CREATE DATABASE ${quoteIdentifier(database)} OWNER ${quoteIdentifier(roles.owner)}`);
}

/**
 * `home`: this shard gives out the versions of reference tables. Returns what it changed, in words. Throws
 * {@link StaleAccessError} when a generation of the order was closed meanwhile.
 */
export async function ensureAccess(
  client: Client,
  access: AccessInput,
  home: boolean,
): Promise<readonly string[]> {
  const changes = await ensureSchema(client);
  const tables = access.tables.map(({ name }) => fullTableName(name));
  const plan = await transaction(client, async () => {
    await checkGenerations(client, access);
    const planned = planAccess(access, await readAccessFacts(client, tables), home);
    for (const { sql } of planned.steps) await client.query(sql);
    return planned;
  });
  await endSessions(client, plan.fenced, plan.narrowed);
  await dropLogins(client, plan.dropped);
  return [
    ...changes,
    ...plan.steps.map(({ says }) => says),
    ...plan.dropped.map(name => `dropped login ${name}`),
  ];
}

/** Under a lock until the transaction ends: no transfer opens or closes a login between the look and the change. */
async function checkGenerations(client: Client, access: AccessInput): Promise<void> {
  const { rows } = await client.query<{ writer: string; reader: string }>(
    'SELECT writer::text, reader::text FROM shardwright.generation FOR SHARE',
  );
  const [lowest] = rows;
  if (!lowest) return;
  if (access.generation >= Number(lowest.writer) && access.readerGeneration >= Number(lowest.reader)) return;
  throw new StaleAccessError(
    `generations ${access.generation} and ${access.readerGeneration} (readers) are out of date: the lowest that may be open are ${lowest.writer} and ${lowest.reader}`,
  );
}

async function ensureSchema(client: Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ version: string | null }>(
    `SELECT obj_description(oid, 'pg_namespace') AS version FROM pg_namespace WHERE nspname = 'shardwright'`,
  );
  if (rows[0]?.version === schemaVersion) return [];
  await transaction(client, async () => {
    await createBaseRoles(client);
    await client.query(schemaScript);
  });
  return ['created the schema shardwright'];
}

async function createBaseRoles(client: Client): Promise<void> {
  const { rows } = await client.query<{ rolname: string }>('SELECT rolname FROM pg_roles');
  const existing = new Set(rows.map(row => row.rolname));
  for (const [role, attributes] of Object.entries(baseRoles)) {
    if (!existing.has(role)) await client.query(`CREATE ROLE ${quoteIdentifier(role)} ${attributes}`);
  }
  await client.query(`GRANT ${quoteIdentifier(roles.owner)} TO ${quoteIdentifier(schemaLogin)}`);
  await client.query(`ALTER ROLE ${quoteIdentifier(schemaLogin)} SET role = ${quoteLiteral(roles.owner)}`);
}

/**
 * Rights are looked at when a statement begins: what has begun goes on (a cursor, a loop in a function). Sessions of fenced
 * logins end whatever they do; those of logins that lost a right end if they are in a transaction.
 */
async function endSessions(
  client: Client,
  fenced: readonly string[],
  narrowed: readonly string[],
): Promise<void> {
  if (fenced.length === 0 && narrowed.length === 0) return;
  await client.query(
    `SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
     WHERE usename = ANY ($1) OR usename = ANY ($2) AND xact_start IS NOT NULL`,
    [fenced, narrowed],
  );
}
