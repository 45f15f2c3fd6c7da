/** What a database says of logins, rights and the operator's own rows: everything that the plan compares with. */
import type { Client } from 'pg';
import { z } from 'zod';
import { roles } from './names.ts';

export interface Grant {
  /** As GRANT wants it: `TABLE public.users`, `DATABASE social`. */
  readonly object: string;
  /** A role's name, or PUBLIC. */
  readonly grantee: string;
  readonly privilege: string;
}

export interface Relation {
  readonly object: string;
  /** `public.users` */
  readonly name: string;
  readonly kind: 'table' | 'sequence';
}

export interface RoleFacts {
  readonly login: boolean;
  readonly verifier: string | null;
  /** `name=value`, as ALTER ROLE SET made them. */
  readonly settings: readonly string[];
  readonly memberOf: readonly string[];
}

export interface AccessFacts {
  readonly database: string;
  readonly roles: Readonly<Record<string, RoleFacts>>;
  readonly relations: readonly Relation[];
  /** Schemas that hold tables of the owner. */
  readonly schemas: readonly string[];
  readonly grants: readonly Grant[];
  readonly own: Readonly<Record<string, unknown>>;
  readonly referenceTables: readonly string[];
  readonly home: boolean;
  /** Logins that transfers keep open. */
  readonly kept: readonly string[];
}

const facts = z.object({
  database: z.string(),
  roles: z.record(
    z.string(),
    z.object({
      login: z.boolean(),
      verifier: z.string().nullable(),
      settings: z.array(z.string()),
      memberOf: z.array(z.string()),
    }),
  ),
  relations: z.array(z.object({ object: z.string(), name: z.string(), kind: z.enum(['table', 'sequence']) })),
  schemas: z.array(z.string()),
  grants: z.array(z.object({ object: z.string(), grantee: z.string(), privilege: z.string() })),
  own: z.record(z.string(), z.unknown()),
  referenceTables: z.array(z.string()),
  home: z.boolean(),
  kept: z.array(z.string()),
});

const query = `
WITH
owner AS (SELECT oid FROM pg_roles WHERE rolname = '${roles.owner}'),
relation AS (
  SELECT c.relowner, c.relacl, n.nspname, n.nspname || '.' || c.relname AS name,
    CASE WHEN c.relkind = 'S' THEN 'sequence' ELSE 'table' END AS kind,
    CASE WHEN c.relkind = 'S' THEN 's' ELSE 'r' END AS acl_kind,
    CASE WHEN c.relkind = 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || format('%I.%I', n.nspname, c.relname) AS object
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  -- Partitions are reached through their parent.
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT c.relispartition
    AND n.nspname <> 'shardwright' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    AND (c.relowner = (SELECT oid FROM owner) OR n.nspname || '.' || c.relname = ANY ($1::text[]))
),
acl AS (
  SELECT object, coalesce(relacl, acldefault(acl_kind::"char", relowner)) AS acl FROM relation
  UNION ALL
  SELECT 'SCHEMA ' || quote_ident(nspname), coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
  WHERE nspname = 'shardwright' OR nspname IN (SELECT nspname FROM relation)
  UNION ALL
  SELECT 'TABLE shardwright.' || relname, relacl FROM pg_class
  WHERE relnamespace = 'shardwright'::regnamespace AND relkind = 'r'
  UNION ALL
  SELECT 'FUNCTION shardwright.' || proname, proacl FROM pg_proc WHERE pronamespace = 'shardwright'::regnamespace
  UNION ALL
  SELECT 'DATABASE ' || quote_ident(datname), coalesce(datacl, acldefault('d', datdba))
  FROM pg_database WHERE datname = current_database() OR datname = 'postgres'
)
SELECT jsonb_build_object(
  'database', 'DATABASE ' || quote_ident(current_database()),
  'roles', (SELECT jsonb_object_agg(a.rolname, jsonb_build_object('login', a.rolcanlogin, 'verifier', a.rolpassword,
      'settings', coalesce((SELECT setconfig FROM pg_db_role_setting s WHERE s.setrole = a.oid AND s.setdatabase = 0), '{}'),
      'memberOf', coalesce((SELECT array_agg(g.rolname) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        WHERE m.member = a.oid), '{}')))
    FROM pg_authid a WHERE a.rolname !~ '^pg_'),
  'relations', coalesce((SELECT jsonb_agg(jsonb_build_object('object', object, 'name', name, 'kind', kind) ORDER BY name)
    FROM relation), '[]'),
  'schemas', coalesce((SELECT jsonb_agg(DISTINCT 'SCHEMA ' || quote_ident(nspname)) FROM relation), '[]'),
  'grants', (SELECT jsonb_agg(jsonb_build_object('object', object, 'privilege', x.privilege_type,
      'grantee', CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END))
    FROM acl, aclexplode(acl) AS x),
  'own', coalesce((SELECT jsonb_object_agg(role, partition) FROM shardwright.own), '{}'),
  'referenceTables', coalesce((SELECT jsonb_agg(name ORDER BY name) FROM shardwright.reference_table), '[]'),
  'home', (SELECT home FROM shardwright.reference_version),
  'kept', (SELECT coalesce(jsonb_agg(DISTINCT role), '[]') FROM shardwright.kept_login)
) AS facts`;

/** Needs the operator's schema. `tables` are full names that count even when somebody else owns them. */
export async function readAccessFacts(client: Client, tables: readonly string[]): Promise<AccessFacts> {
  const { rows } = await client.query<{ facts: unknown }>(query, [tables]);
  return facts.parse(rows[0]?.facts);
}
