/**
 * From what an application may do and what the database says now, to the statements that close the gap. Pure. No statement
 * remains when nothing differs, so that running it again is free.
 */
import type { AccessInput } from '#engines/engine.ts';
import type { AccessFacts, Grant } from './access-facts.ts';
import { roles } from './names.ts';
import { broadcastRole } from './schema-sql.ts';
import { fullTableName, quoteIdentifier, quoteLiteral } from './sql-text.ts';

export interface Step {
  readonly sql: string;
  /** In words and without secrets. */
  readonly says: string;
}

export interface AccessPlan {
  /** One transaction. */
  readonly steps: readonly Step[];
  /** Logins whose sessions must end once the transaction is committed. */
  readonly fenced: readonly string[];
  /** Logins to drop after that. */
  readonly dropped: readonly string[];
  /** Logins that lost a right: those of their sessions that are in a transaction must end. */
  readonly narrowed: readonly string[];
}

/** Generations: of writers `app_g<N>`, of readers `app_ro_g<N>`. */
const generationLogin = /^app_(ro_)?g\d+$/;

/** A client that holds a transaction open stands in the way of whatever needs a lock, a migration's fence above all. */
const loginSettings = { idle_in_transaction_session_timeout: '1min', transaction_timeout: '5min' } as const;

interface Login {
  readonly name: string;
  readonly kind: 'writer' | 'reader' | 'reference';
  readonly verifier: string;
}

export function planAccess(access: AccessInput, facts: AccessFacts, home: boolean): AccessPlan {
  const logins = wantedLogins(access);
  const names = new Set(logins.map(login => login.name));
  const stale = Object.keys(facts.roles).filter(
    name => (generationLogin.test(name) || name === roles.stable) && !names.has(name),
  );
  const grants = planGrants(wantedGrants(access, facts, logins), facts.grants);
  return {
    steps: [
      ...logins.flatMap(login => planLogin(login, facts)),
      ...stale
        .filter(name => facts.roles[name]?.login)
        .map(name => ({ sql: `ALTER ROLE ${quoteIdentifier(name)} NOLOGIN`, says: `closed login ${name}` })),
      ...grants.steps,
      ...planRows(access, facts, logins, home),
    ],
    fenced: stale,
    dropped: stale,
    narrowed: grants.narrowed.filter(name => names.has(name)),
  };
}

function wantedLogins(access: AccessInput): readonly Login[] {
  const { verifier } = access;
  return [
    { name: roles.writer(access.generation), kind: 'writer', verifier },
    { name: roles.reader(access.readerGeneration), kind: 'reader', verifier },
    { name: roles.reference, kind: 'reference', verifier: access.referenceVerifier },
    ...(access.stableLogin ? [{ name: roles.stable, kind: 'writer', verifier } as const] : []),
  ];
}

function planLogin(login: Login, facts: AccessFacts): readonly Step[] {
  const now = facts.roles[login.name];
  const name = quoteIdentifier(login.name);
  const password = `LOGIN PASSWORD ${quoteLiteral(login.verifier)}`;
  const steps: Step[] = [];
  if (!now) steps.push({ sql: `CREATE ROLE ${name} ${password}`, says: `created login ${login.name}` });
  else if (!now.login || now.verifier !== login.verifier)
    steps.push({ sql: `ALTER ROLE ${name} ${password}`, says: `set the password of ${login.name}` });
  for (const [parameter, value] of Object.entries(loginSettings)) {
    if (now?.settings.includes(`${parameter}=${value}`)) continue;
    steps.push({
      sql: `ALTER ROLE ${name} SET ${parameter} = ${quoteLiteral(value)}`,
      says: `set ${parameter} of ${login.name}`,
    });
  }
  return steps;
}

function wantedGrants(access: AccessInput, facts: AccessFacts, logins: readonly Login[]): readonly Grant[] {
  const wanted: Grant[] = [];
  const grant = (object: string, grantee: string, ...privileges: readonly string[]) => {
    for (const privilege of privileges) wanted.push({ object, grantee, privilege });
  };
  const declared = new Map(
    access.tables.map(({ name, reference }) => [fullTableName(name), reference ? 'reference' : 'sharded']),
  );
  for (const login of logins) grant(facts.database, login.name, 'CONNECT');
  grant(facts.database, roles.pooler, 'CONNECT');
  grant('DATABASE postgres', roles.replication, 'CONNECT');
  for (const schema of facts.schemas) {
    grant(schema, broadcastRole, 'USAGE');
    for (const { name, kind } of logins) if (kind !== 'reference') grant(schema, name, 'USAGE');
  }
  for (const { object, name, kind } of facts.relations) {
    const use = declared.get(name);
    if (kind === 'sequence') grant(object, broadcastRole, 'USAGE', 'SELECT');
    else if (use === 'reference') grant(object, broadcastRole, 'SELECT', 'INSERT', 'UPDATE', 'DELETE');
    for (const login of logins) {
      if (login.kind === 'reference' || access.state === 'maintenance') continue;
      const writes = login.kind === 'writer' && access.state === 'active';
      if (kind === 'sequence') grant(object, login.name, 'SELECT', ...(writes ? ['USAGE'] : []));
      // A table that the fleet does not declare would be left behind by a migration: it can be read, not written.
      else if (writes && use === 'sharded') grant(object, login.name, 'SELECT', 'INSERT', 'UPDATE', 'DELETE');
      else grant(object, login.name, 'SELECT');
    }
  }
  grant('SCHEMA shardwright', roles.reference, 'USAGE');
  grant('TABLE shardwright.broadcast', roles.reference, 'SELECT');
  grant('TABLE shardwright.reference_version', roles.reference, 'SELECT');
  if (access.state === 'active') grant('FUNCTION shardwright.reference_write', roles.reference, 'EXECUTE');
  if (access.state !== 'maintenance')
    grant('FUNCTION shardwright.reference_apply', roles.reference, 'EXECUTE');
  return wanted;
}

/** Rights that the plan decides on; the operator's own script and the owner have the rest. */
function isPlanned({ object, grantee }: Grant): boolean {
  if (generationLogin.test(grantee) || grantee === roles.reference || grantee === roles.stable) return true;
  if (object.startsWith('DATABASE ')) return ['PUBLIC', roles.pooler, roles.replication].includes(grantee);
  if (/ shardwright(\.|$)/.test(object)) return false;
  // What everybody may do, a fenced login may do too.
  return grantee === broadcastRole || (grantee === 'PUBLIC' && !object.startsWith('SCHEMA '));
}

function planGrants(
  wanted: readonly Grant[],
  actual: readonly Grant[],
): { readonly steps: readonly Step[]; readonly narrowed: readonly string[] } {
  const missing = difference(wanted, actual);
  const surplus = difference(actual.filter(isPlanned), wanted);
  return {
    steps: [
      ...groups(surplus).flatMap(group => grantStep('REVOKE', 'FROM', group)),
      ...groups(missing).flatMap(group => grantStep('GRANT', 'TO', group)),
    ],
    narrowed: [...new Set(surplus.map(grant => grant.grantee))],
  };
}

/** By object and grantee: one statement each. */
function groups(grants: readonly Grant[]): readonly (readonly Grant[])[] {
  return [...Map.groupBy(grants, ({ object, grantee }) => `${object}|${grantee}`).values()];
}

function grantStep(verb: 'GRANT' | 'REVOKE', preposition: string, group: readonly Grant[]): readonly Step[] {
  const first = group[0];
  if (!first) return [];
  const what = `${group.map(grant => grant.privilege).join(', ')} ON ${first.object}`;
  const who = first.grantee === 'PUBLIC' ? 'PUBLIC' : quoteIdentifier(first.grantee);
  return [
    {
      sql: `${verb} ${what} ${preposition} ${who}`,
      says: `${verb === 'GRANT' ? 'granted' : 'revoked'} ${what} ${preposition.toLowerCase()} ${first.grantee}`,
    },
  ];
}

function difference(left: readonly Grant[], right: readonly Grant[]): readonly Grant[] {
  const known = new Set(right.map(grantKey));
  return left.filter(grant => !known.has(grantKey(grant)));
}

function grantKey({ object, grantee, privilege }: Grant): string {
  return `${object}|${grantee}|${privilege}`;
}

function planRows(
  access: AccessInput,
  facts: AccessFacts,
  logins: readonly Login[],
  home: boolean,
): readonly Step[] {
  const steps: Step[] = [];
  const partition = JSON.stringify(access.partition);
  const owners = logins.filter(({ kind }) => kind !== 'reference').map(({ name }) => name);
  for (const name of owners) {
    if (sameJson(facts.own[name], access.partition)) continue;
    steps.push({
      sql: `INSERT INTO shardwright.own (role, partition) VALUES (${quoteLiteral(name)}, ${quoteLiteral(partition)})
        ON CONFLICT (role) DO UPDATE SET partition = excluded.partition`,
      says: `recorded what ${name} owns`,
    });
  }
  for (const name of Object.keys(facts.own)) {
    if (owners.includes(name)) continue;
    steps.push({
      sql: `DELETE FROM shardwright.own WHERE role = ${quoteLiteral(name)}`,
      says: `forgot what ${name} owned`,
    });
  }
  const references = access.tables
    .filter(({ reference }) => reference)
    .map(({ name }) => fullTableName(name))
    .toSorted();
  if (references.join() !== facts.referenceTables.join()) {
    const values = references.map(name => `(${quoteLiteral(name)})`).join(', ');
    steps.push({
      sql: `DELETE FROM shardwright.reference_table; ${values && `INSERT INTO shardwright.reference_table VALUES ${values}`}`,
      says: `declared reference tables: ${references.join(', ') || 'none'}`,
    });
  }
  if (facts.home !== home) {
    steps.push({
      sql: `UPDATE shardwright.reference_version SET home = ${home}`,
      says: home ? 'made it the home of reference tables' : 'made it no home of reference tables',
    });
  }
  return steps;
}

/** jsonb returns keys in an order of its own. */
function sameJson(left: unknown, right: unknown): boolean {
  return canonical(left) === canonical(right);
}

function canonical(value: unknown): string | undefined {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
