/** Which rights the application's logins have, and the statements from what they have to what they should have. Pure. */
import type { AccessInput } from '#engines/engine.ts';
import type { AccessFacts, Grant } from './access-facts.ts';
import { generationLogin, type Login } from './generation-login.ts';
import { roles } from './names.ts';
import { broadcastRole } from './schema-sql.ts';
import { fullTableName, quoteIdentifier } from './sql-text.ts';

export interface Step {
  readonly sql: string;
  /** In words and without secrets. */
  readonly says: string;
}

export function wantedGrants(
  access: AccessInput,
  facts: AccessFacts,
  logins: readonly Login[],
): readonly Grant[] {
  const wanted: Grant[] = logins.flatMap(login => loginGrants(login, access, facts));
  const grant = granting(wanted);
  const declared = declaredTables(access.tables);
  grant(facts.database, roles.pooler, 'CONNECT');
  grant('DATABASE postgres', roles.replication, 'CONNECT');
  for (const schema of facts.schemas) grant(schema, broadcastRole, 'USAGE');
  for (const { object, name, kind } of facts.relations) {
    if (kind === 'sequence') grant(object, broadcastRole, 'USAGE', 'SELECT');
    else if (declared.get(name) === 'reference')
      grant(object, broadcastRole, 'SELECT', 'INSERT', 'UPDATE', 'DELETE');
  }
  grant('SCHEMA shardwright', roles.reference, 'USAGE');
  grant('TABLE shardwright.broadcast', roles.reference, 'SELECT');
  grant('TABLE shardwright.reference_version', roles.reference, 'SELECT');
  if (access.state === 'active') grant('FUNCTION shardwright.reference_write', roles.reference, 'EXECUTE');
  if (access.state !== 'maintenance')
    grant('FUNCTION shardwright.reference_apply', roles.reference, 'EXECUTE');
  return wanted;
}

export function loginGrants(
  login: Login,
  { tables, state }: Pick<AccessInput, 'tables' | 'state'>,
  facts: AccessFacts,
): readonly Grant[] {
  const wanted: Grant[] = [];
  const grant = granting(wanted);
  const declared = declaredTables(tables);
  grant(facts.database, login.name, 'CONNECT');
  if (login.kind === 'reference') return wanted;
  for (const schema of facts.schemas) grant(schema, login.name, 'USAGE');
  if (state === 'maintenance') return wanted;
  const writes = login.kind === 'writer' && state === 'active';
  for (const { object, name, kind } of facts.relations) {
    if (kind === 'sequence') grant(object, login.name, 'SELECT', ...(writes ? ['USAGE'] : []));
    // A table that the fleet does not declare would be left behind by a migration: it can be read, not written.
    else if (writes && declared.get(name) === 'sharded')
      grant(object, login.name, 'SELECT', 'INSERT', 'UPDATE', 'DELETE');
    else grant(object, login.name, 'SELECT');
  }
  return wanted;
}

function granting(into: Grant[]) {
  return (object: string, grantee: string, ...privileges: readonly string[]): void => {
    for (const privilege of privileges) into.push({ object, grantee, privilege });
  };
}

function declaredTables(tables: AccessInput['tables']): ReadonlyMap<string, 'reference' | 'sharded'> {
  return new Map(
    tables.map(({ name, reference }) => [fullTableName(name), reference ? 'reference' : 'sharded']),
  );
}

/** Rights that the plan decides on; the operator's own script and the owner have the rest. */
function isPlanned({ object, grantee }: Grant): boolean {
  if (generationLogin.test(grantee) || grantee === roles.reference || grantee === roles.stable) return true;
  if (object.startsWith('DATABASE ')) return ['PUBLIC', roles.pooler, roles.replication].includes(grantee);
  if (/ shardwright(\.|$)/.test(object)) return false;
  // What everybody may do, a fenced login may do too.
  return grantee === broadcastRole || (grantee === 'PUBLIC' && !object.startsWith('SCHEMA '));
}

export function planGrants(
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
