/** Checks of who may do what: row security and generations of logins must bind every client. */
import { roles } from '../../names.ts';
import { at, bothEnds, type Check, caution, failure, listed, movingTables } from './check.ts';
import type { DatabaseFacts } from './facts.ts';

/** Owners and superusers see what is hidden from others. */
export const ownerRole: Check = context =>
  bothEnds.flatMap(end => [
    ...movingTables(context, end)
      .filter(({ facts }) => facts.owner !== roles.owner)
      .map(({ facts }) =>
        failure(
          'OwnerRole',
          `${facts.name} on ${at(context, end)} belongs to ${facts.owner}, not to the fleet’s owner`,
          `ALTER TABLE ${facts.name} OWNER TO ${roles.owner}; tables that schema files create belong to it.`,
        ),
      ),
    ...context.facts[end].unbound.map(login =>
      failure(
        'OwnerRole',
        `login ${login} on ${at(context, end)} is a superuser, bypasses row security or is a member of the owner of moving tables`,
        `Take that from it: ALTER ROLE ${login} NOSUPERUSER NOBYPASSRLS; REVOKE ${roles.owner} FROM ${login}.`,
      ),
    ),
  ]);

/** A login that stays when generations change can be shut out of nothing. */
export const stableLogin: Check = context =>
  bothEnds.flatMap(end => [
    ...(context.shards[end].spec.access.stableLogin
      ? [
          failure(
            'StableLogin',
            `${at(context, end)} has the stable login ${roles.stable}, which does not change when data moves`,
            'Let applications use the client library and set spec.access.stableLogin of the ShardCluster to false.',
          ),
        ]
      : []),
    ...context.facts[end].otherWriters
      .filter(login => login !== roles.stable || !context.shards[end].spec.access.stableLogin)
      .map(login =>
        failure(
          'StableLogin',
          `login ${login} on ${at(context, end)} may write to moving tables and has no generation, so it cannot be shut out at the cutover`,
          `REVOKE its rights to write, or ALTER ROLE ${login} NOLOGIN while the migration runs.`,
        ),
      ),
  ]);

const writingWords = /\b(insert|update|delete|merge|truncate|copy|execute|perform|call)\b/i;
const readableLanguages = new Set(['sql', 'plpgsql']);

/** What runs with the owner's rights sees hidden rows and writes past the rules of the migration. */
export const securityDefiner: Check = context =>
  bothEnds.flatMap(end =>
    context.facts[end].definers.map(definer => {
      const what = `function ${definer.name} on ${at(context, end)} runs with the rights of ${definer.owner}`;
      return mayWrite(definer)
        ? failure(
            'SecurityDefiner',
            `${what} and may write: what it does to moving rows is bound by no generation`,
            `ALTER FUNCTION ${definer.name} SECURITY INVOKER, or declare it STABLE if it only reads.`,
          )
        : caution(
            'SecurityDefiner',
            `${what}: it sees rows that the migration hides`,
            `ALTER FUNCTION ${definer.name} SECURITY INVOKER if it reads moving tables.`,
          );
    }),
  );

/** Functions that are not volatile cannot write; of other languages nobody can tell. */
function mayWrite({ volatile, language, source }: DatabaseFacts['definers'][number]): boolean {
  return volatile && (!readableLanguages.has(language) || writingWords.test(source));
}

/** A view reads with its owner's rights, and row security does not bind the owner of a table. */
export const viewsOfOwner: Check = context =>
  bothEnds.flatMap(end => {
    const { views } = context.facts[end];
    const owners = views.filter(({ materialized, invoker }) => !materialized && !invoker);
    const copies = views.filter(({ materialized }) => materialized);
    return [
      ...owners.map(({ name }) =>
        failure(
          'ViewsOfOwner',
          `view ${name} on ${at(context, end)} reads moving tables with its owner’s rights: it shows rows that the migration hides`,
          `ALTER VIEW ${name} SET (security_invoker = true), and give the application rights on the tables that it reads.`,
        ),
      ),
      ...(copies.length > 0
        ? [
            caution(
              'ViewsOfOwner',
              `materialized views on ${at(context, end)} keep copies of moving rows: ${listed(copies.map(({ name }) => name))}`,
              'Refresh them after the cutover and after the clean-up.',
            ),
          ]
        : []),
    ];
  });
