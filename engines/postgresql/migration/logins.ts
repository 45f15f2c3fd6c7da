/**
 * Opening the next generation of a login ahead of the map, and closing older ones. Whoever does either holds the row of
 * `shardwright.generation`: nothing else opens or closes logins meanwhile.
 */
import type { Client } from 'pg';
import { EngineError } from '#engines/errors.ts';
import { readAccessFacts } from '../access-facts.ts';
import { planLoginAhead } from '../access-plan.ts';
import { transaction } from '../connection.ts';
import { roles } from '../names.ts';
import { fullTableName, quoteIdentifier, quoteLiteral } from '../sql-text.ts';
import type { OpenEnd } from './ends.ts';

/** Sessions end within milliseconds unless their server process is stuck. */
const END_MS = 2_000;

export type LoginKind = 'writer' | 'reader';

/** The login that should be copied is not there: the shard's logins were never made sure of. */
export class NoLoginError extends EngineError {
  override readonly name = 'NoLoginError';
  readonly code = 'NoLogin';
  readonly remedy = 'Wait until the shard is ready; if it is, look at the conditions of its Shard.';
  override readonly retryable = true;
}

export const lockGenerations = 'SELECT writer, reader FROM shardwright.generation FOR UPDATE';

export interface Ahead {
  readonly kind: LoginKind;
  readonly from: number;
  readonly to: number;
  readonly transfer: string;
  /** Whether the new login sees what the transfer moves. Of other transfers it sees what the old one saw. */
  readonly sees: boolean;
  /** Keep the old login, too, when the map no longer names it. */
  readonly grace: boolean;
}

/** Idempotent. One transaction. */
export async function openAhead({ client, shard }: OpenEnd, ahead: Ahead): Promise<void> {
  const { sharding, state } = shard.spec;
  const from = roles[ahead.kind](ahead.from);
  const to = roles[ahead.kind](ahead.to);
  await transaction(client, async () => {
    await client.query(lockGenerations);
    const facts = await readAccessFacts(
      client,
      sharding.tables.map(({ name }) => fullTableName(name)),
    );
    const verifier = (facts.roles[from] ?? facts.roles[to])?.verifier;
    if (!verifier) throw new NoLoginError(`${shard.metadata.name} has no login ${from} to make ${to} like`);
    const login = { name: to, kind: ahead.kind, verifier } as const;
    const tables = sharding.tables.map(({ name, reference }) => ({ name, reference: reference ?? false }));
    for (const { sql } of planLoginAhead(login, { tables, state }, facts)) await client.query(sql);
    await client.query(sightSql(ahead, from, to));
  });
}

function sightSql({ transfer, sees, grace }: Ahead, from: string, to: string): string {
  const [id, old, next] = [transfer, from, to].map(quoteLiteral);
  const keep = (login: string | undefined, kind: string) =>
    `INSERT INTO shardwright.kept_login (role, transfer, kind) VALUES (${login}, ${id}, '${kind}') ON CONFLICT DO NOTHING;`;
  return `
DELETE FROM shardwright.visible WHERE role = ${next};
INSERT INTO shardwright.visible SELECT ${next}, transfer FROM shardwright.visible WHERE role = ${old} AND transfer <> ${id};
${sees ? `INSERT INTO shardwright.visible VALUES (${next}, ${id});` : ''}
INSERT INTO shardwright.own SELECT ${next}, partition FROM shardwright.own WHERE role = ${old} ON CONFLICT DO NOTHING;
${keep(next, 'ahead')}
${grace ? keep(old, 'grace') : ''}`;
}

/**
 * Statements that close a login for good: no new session, no rights on the given tables. Its sessions are to be ended after the
 * commit; whoever makes sure of access drops it. What it sees it goes on seeing: a statement that was let in just before may take
 * its snapshot just after, and would find nothing, without an error.
 */
export function closeSql(login: string, tables: readonly string[]): string {
  const name = quoteIdentifier(login);
  return `
ALTER ROLE ${name} NOLOGIN;
${tables.length > 0 ? `REVOKE ALL ON TABLE ${tables.join(', ')} FROM ${name};` : ''}
DELETE FROM shardwright.kept_login WHERE role = ${quoteLiteral(login)};`;
}

/** Generation logins of a kind that are there and below the generation. */
export async function loginsBelow(
  client: Client,
  kind: LoginKind,
  generation: number,
): Promise<readonly string[]> {
  const { rows } = await client.query<{ rolname: string }>(
    `SELECT rolname FROM pg_roles WHERE rolname ~ $1 AND substring(rolname FROM '[0-9]+$')::numeric < $2`,
    [kind === 'writer' ? '^app_g[0-9]+$' : '^app_ro_g[0-9]+$', generation],
  );
  return rows.map(row => row.rolname);
}

/** Names of tables on which a login was given rights, quoted. */
export async function tablesOf(client: Client, logins: readonly string[]): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT DISTINCT format('%I.%I', n.nspname, c.relname) AS name
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS x
     WHERE c.relkind <> 'S' AND x.grantee IN (SELECT oid FROM pg_roles WHERE rolname = ANY ($1)) ORDER BY 1`,
    [logins],
  );
  return rows.map(row => row.name);
}

/**
 * Ends all sessions of the logins, after their rights are gone, and waits for those that are in a transaction. One that is not has
 * to begin one to do anything, and sees then that it has no rights any more. True when none is left that could go on.
 */
export async function endSessions(
  client: Client,
  logins: readonly string[],
  pause: (ms: number) => Promise<void>,
): Promise<boolean> {
  if (logins.length === 0) return true;
  const deadline = performance.now() + END_MS;
  for (;;) {
    const { rows } = await client.query<{ busy: boolean }>({
      name: 'end sessions',
      text: `SELECT xact_start IS NOT NULL AS busy, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY ($1)`,
      values: [logins],
    });
    if (!rows.some(({ busy }) => busy)) return true;
    if (performance.now() > deadline) return false;
    await pause(1);
  }
}
