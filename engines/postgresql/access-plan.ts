/**
 * From what an application may do and what the database says now, to the statements that close the gap. Pure. No statement
 * remains when nothing differs, so that running it again is free.
 */
import type { AccessInput } from '#engines/engine.ts';
import type { AccessFacts } from './access-facts.ts';
import { loginGrants, planGrants, type Step, wantedGrants } from './access-grants.ts';
import { generationLogin, generationOf, type Login, readerLogin } from './generation-login.ts';
import { roles } from './names.ts';
import { fullTableName, quoteIdentifier, quoteLiteral } from './sql-text.ts';

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

/** A client that holds a transaction open stands in the way of whatever needs a lock, a migration's fence above all. */
const loginSettings = { idle_in_transaction_session_timeout: '1min', transaction_timeout: '5min' } as const;

export function planAccess(access: AccessInput, facts: AccessFacts, home: boolean): AccessPlan {
  const logins = wantedLogins(access, facts);
  const names = new Set(logins.map(login => login.name));
  const stale = Object.keys(facts.roles).filter(
    name =>
      (generationLogin.test(name) || name === roles.stable) &&
      !names.has(name) &&
      // One that is being closed may finish what it began.
      !facts.kept.includes(name),
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

/**
 * What makes one more login like those that are there: a transfer opens the next generation ahead of the map. Other logins are
 * left alone.
 */
export function planLoginAhead(
  login: Login,
  rights: Pick<AccessInput, 'tables' | 'state'>,
  facts: AccessFacts,
): readonly Step[] {
  const actual = facts.grants.filter(({ grantee }) => grantee === login.name);
  return [...planLogin(login, facts), ...planGrants(loginGrants(login, rights, facts), actual).steps];
}

/** Those of the map's generations, and those that a transfer keeps: ahead of the map, or a little longer. */
function wantedLogins(access: AccessInput, facts: AccessFacts): readonly Login[] {
  const { verifier } = access;
  const wanted: readonly Login[] = [
    { name: roles.writer(access.generation), kind: 'writer', verifier },
    { name: roles.reader(access.readerGeneration), kind: 'reader', verifier },
    { name: roles.reference, kind: 'reference', verifier: access.referenceVerifier },
    ...(access.stableLogin ? [{ name: roles.stable, kind: 'writer', verifier } as const] : []),
  ];
  const kept = facts.kept.filter(
    name => facts.roles[name]?.login && wanted.every(login => login.name !== name),
  );
  return [
    ...wanted,
    ...kept.map(name => ({ name, kind: readerLogin.test(name) ? 'reader' : 'writer', verifier }) as const),
  ];
}

function planLogin(login: Login, facts: AccessFacts): readonly Step[] {
  const now = facts.roles[login.name];
  const name = quoteIdentifier(login.name);
  const password = `LOGIN PASSWORD ${quoteLiteral(login.verifier)}`;
  const steps: Step[] = [];
  if (!now) {
    const sees = inheritSight(login, facts);
    steps.push({
      sql: `CREATE ROLE ${name} ${password}${sees && `; ${sees}`}`,
      says: `created login ${login.name}`,
    });
  }
  if (now && (!now.login || now.verifier !== login.verifier))
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

/** A login that nobody opened ahead sees of running transfers what the one before it saw. */
function inheritSight(login: Login, facts: AccessFacts): string {
  const generation = generationOf(login.name);
  const before = Object.keys(facts.roles)
    .filter(name => readerLogin.test(name) === readerLogin.test(login.name) && generationLogin.test(name))
    .filter(name => generationOf(name) < generation)
    .toSorted((a, b) => generationOf(b) - generationOf(a))[0];
  if (before === undefined) return '';
  return `INSERT INTO shardwright.visible SELECT ${quoteLiteral(login.name)}, transfer FROM shardwright.visible
    WHERE role = ${quoteLiteral(before)} ON CONFLICT DO NOTHING`;
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
  const current = [roles.writer(access.generation), roles.reader(access.readerGeneration), roles.stable];
  // What a kept login owns is its transfer's to say.
  for (const name of owners.filter(owner => current.includes(owner))) {
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
