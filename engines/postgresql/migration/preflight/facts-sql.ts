/** Reads {@link EndFacts}. Looks only: what it makes is a temporary table that goes with its transaction. */
import type { Client } from 'pg';
import { transaction } from '../../connection.ts';
import { roles } from '../../names.ts';
import { fullTableName, quoteLiteral } from '../../sql-text.ts';
import { quotedTable } from '../tables.ts';
import { type EndFacts, facts } from './facts.ts';

/** Names that the operator gives; what carries them is not a person's. */
const ours = `'^(shardwright|sw_|zz_sw_)'`;
const applications = `'^(app|app_ref|app_g[0-9]+|app_ro_g[0-9]+)$'`;

const array = (items: string) => `coalesce((SELECT jsonb_agg(${items}), '[]')`;

/** Of the relation `c`. */
const storage = `'kind', c.relkind, 'unlogged', c.relpersistence <> 'p', 'identity', c.relreplident,
  'keys', (SELECT jsonb_agg(a.attname ORDER BY array_position(i.indkey::int2[], a.attnum))
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
      AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END)`;

const fullName = (relation: string) => `(SELECT n.nspname || '.' || k.relname FROM pg_class k
  JOIN pg_namespace n ON n.oid = k.relnamespace WHERE k.oid = ${relation})`;

const columnsOf = (
  numbers: string,
  relation: string,
) => `coalesce((SELECT jsonb_agg(a.attname ORDER BY u.place)
  FROM unnest(${numbers}) WITH ORDINALITY AS u (number, place)
  JOIN pg_attribute a ON a.attrelid = ${relation} AND a.attnum = u.number), '[]')`;

const moving = `moving AS (
  SELECT name, place, to_regclass(quoted)::oid AS oid FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS m (name, quoted, place)
),
member AS (
  SELECT oid FROM moving UNION SELECT relid::oid FROM moving, pg_partition_tree(moving.oid)
)`;

const columns = `SELECT a.*, t.typtype, t.typbasetype, t.typelem, t.oid AS type_oid, pg_get_expr(d.adbin, d.adrelid) AS expression,
    l.oid AS collation_oid, l.collname, l.collisdeterministic,
    coalesce(
      (SELECT s.refobjid FROM pg_depend s JOIN pg_class q ON q.oid = s.refobjid AND q.relkind = 'S'
       WHERE s.classid = 'pg_attrdef'::regclass AND s.objid = d.oid AND s.refclassid = 'pg_class'::regclass LIMIT 1),
      (SELECT s.objid FROM pg_depend s JOIN pg_class q ON q.oid = s.objid AND q.relkind = 'S'
       WHERE s.classid = 'pg_class'::regclass AND s.refclassid = 'pg_class'::regclass AND s.deptype = 'i'
         AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum LIMIT 1)) AS sequence
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN pg_collation l ON l.oid = a.attcollation
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped`;

/** Without the names of indexes and constraints: those differ without meaning anything. */
const definition = `
  SELECT 'column ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
    || coalesce(' collation ' || a.collname, '') || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
    || CASE a.attidentity WHEN '' THEN '' WHEN 'a' THEN ' always identity' ELSE ' by default identity' END
    || CASE WHEN a.attgenerated <> '' THEN ' generated' WHEN a.expression IS NULL THEN '' ELSE ' default' END
    || coalesce(' ' || a.expression, '') AS line
  FROM (${columns}) AS a
  UNION ALL
  SELECT DISTINCT 'type ' || format_type(e.enumtypid, NULL) || ' ' ||
    (SELECT string_agg(quote_literal(o.enumlabel), ', ' ORDER BY o.enumsortorder) FROM pg_enum o WHERE o.enumtypid = e.enumtypid)
  FROM (${columns}) AS a JOIN pg_enum e ON e.enumtypid IN (a.type_oid, a.typbasetype, a.typelem)
  UNION ALL
  SELECT 'index ' || replace(pg_get_indexdef(i.indexrelid), ' ' || quote_ident(x.relname) || ' ON ', ' ON ')
    || CASE WHEN i.indisreplident THEN ' (replica identity)' ELSE '' END
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid
  UNION ALL
  SELECT 'constraint ' || pg_get_constraintdef(o.oid) FROM pg_constraint o WHERE o.conrelid = c.oid AND o.contype <> 't'
  UNION ALL
  SELECT 'partition ' || ${fullName('p.relid')} || ' ' || pg_get_expr(k.relpartbound, k.oid)
  FROM pg_partition_tree(c.oid) p JOIN pg_class k ON k.oid = p.relid WHERE p.relid <> c.oid
  UNION ALL
  SELECT 'trigger ' || pg_get_triggerdef(g.oid) FROM pg_trigger g
  WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgname !~ ${ours}`;

const tables = `WITH ${moving}
SELECT ${array(`jsonb_build_object('name', m.name, 'owner', c.relowner::regrole::text, ${storage},
  'rowSecurity', c.relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname ~ ${ours}),
  'policies', ${array(`p.polname) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname !~ ${ours}`)},
  'leaves', (SELECT coalesce(jsonb_agg(leaf ORDER BY leaf ->> 'name'), '[]') FROM (
    SELECT jsonb_build_object('name', ${fullName('c.oid')}, ${storage}) AS leaf
    FROM pg_partition_tree(m.oid) AS tree JOIN pg_class AS c ON c.oid = tree.relid
    WHERE tree.isleaf AND tree.relid <> m.oid) AS leaves),
  'relatives', ${array(`${fullName('CASE WHEN h.inhparent = c.oid THEN h.inhrelid ELSE h.inhparent END')}) FROM pg_inherits h
    JOIN pg_class k ON k.oid = h.inhrelid WHERE c.oid IN (h.inhrelid, h.inhparent) AND NOT k.relispartition`)},
  'columns', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
      'notNull', a.attnotnull, 'generated', a.attgenerated <> '', 'sequence', ${fullName('a.sequence')},
      'collation', CASE WHEN a.collation_oid IS NULL THEN NULL ELSE jsonb_build_object('name', a.collname,
        'deterministic', a.collisdeterministic, 'builtIn', a.collation_oid < 16384) END) ORDER BY a.attname), '[]')
    FROM (${columns}) AS a),
  'uniques', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', x.relname,
      'columns', ${columnsOf('(i.indkey::int2[])[0:i.indnkeyatts - 1]', 'c.oid')}, 'expressions', 0 = ANY (i.indkey),
      'random', EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
        AND a.atttypid = 'uuid'::regtype)) ORDER BY x.relname), '[]')
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)),
  'triggers', ${array(`jsonb_build_object('name', g.tgname, 'enabled', g.tgenabled, 'source', f.prosrc,
      'beforeUpdate', g.tgtype & 1 = 1 AND g.tgtype & 2 = 2 AND g.tgtype & 16 = 16))
    FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
    WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgname !~ ${ours}`)},
  'rules', ${array(`r.rulename) FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1'`)},
  'definition', (SELECT coalesce(jsonb_agg(line ORDER BY line), '[]') FROM (${definition}) AS lines)) ORDER BY m.place)
  FROM moving m JOIN pg_class c ON c.oid = m.oid`)} AS facts`;

const relations = `WITH RECURSIVE ${moving},
view AS (
  SELECT r.ev_class AS oid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.refobjid IN (SELECT oid FROM member) AND r.ev_class NOT IN (SELECT oid FROM member WHERE oid IS NOT NULL)
  UNION
  SELECT r.ev_class FROM view v
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid
  JOIN pg_rewrite r ON r.oid = d.objid
)
SELECT jsonb_build_object(
  'foreignKeys', ${array(`jsonb_build_object('name', o.conname, 'from', ${fullName('o.conrelid')},
      'fromColumns', ${columnsOf('o.conkey', 'o.conrelid')}, 'to', ${fullName('o.confrelid')},
      'toColumns', ${columnsOf('o.confkey', 'o.confrelid')}) ORDER BY o.conname)
    FROM pg_constraint o WHERE o.contype = 'f' AND o.conparentid = 0
      AND (o.conrelid IN (SELECT oid FROM member) OR o.confrelid IN (SELECT oid FROM member))`)},
  'views', ${array(`jsonb_build_object('name', ${fullName('c.oid')}, 'materialized', c.relkind = 'm',
      'invoker', EXISTS (SELECT FROM pg_options_to_table(c.reloptions)
        WHERE option_name = 'security_invoker' AND option_value::boolean)) ORDER BY c.relname)
    FROM view JOIN pg_class c ON c.oid = view.oid`)}) AS facts`;

const code = `WITH ${moving}
SELECT jsonb_build_object(
  'definers', ${array(`jsonb_build_object('name', f.oid::regprocedure::text, 'owner', f.proowner::regrole::text,
      'language', l.lanname, 'volatile', f.provolatile = 'v', 'source', f.prosrc || coalesce(pg_get_function_sqlbody(f.oid), ''))
      ORDER BY f.oid::regprocedure::text)
    FROM pg_proc f JOIN pg_language l ON l.oid = f.prolang JOIN pg_namespace n ON n.oid = f.pronamespace
    WHERE f.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'shardwright')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')`)},
  'eventTriggers', ${array(`evtname ORDER BY evtname) FROM pg_event_trigger WHERE evtenabled <> 'D' AND evtname !~ ${ours}`)},
  'extensions', coalesce((SELECT jsonb_object_agg(extname, extversion) FROM pg_extension), '{}'),
  'largeObjects', EXISTS (SELECT FROM pg_largeobject_metadata),
  'unbound', ${array(`r.rolname ORDER BY r.rolname) FROM pg_roles r WHERE r.rolname ~ ${applications}
      AND (r.rolsuper OR r.rolbypassrls OR EXISTS (SELECT FROM moving m JOIN pg_class c ON c.oid = m.oid
        WHERE pg_has_role(r.oid, c.relowner, 'MEMBER')))`)},
  'otherWriters', ${array(`r.rolname ORDER BY r.rolname) FROM pg_roles r
    WHERE r.rolcanlogin AND (r.rolname = '${roles.stable}' OR r.rolname !~ ${applications}) AND r.rolname !~ ${ours}
      AND r.rolname <> ALL ('{${roles.superuser},${roles.replication},${roles.pooler}}')
      AND (r.rolsuper OR EXISTS (SELECT FROM moving m WHERE m.oid IS NOT NULL
        AND has_table_privilege(r.oid, m.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')))`)}) AS facts`;

const server = `SELECT jsonb_build_object(
  'server', jsonb_build_object(
    'version', current_setting('server_version_num')::int,
    'walLevel', current_setting('wal_level'),
    'encoding', pg_encoding_to_char(d.encoding),
    'locale', concat_ws(' ', d.datlocprovider, d.datcollate, d.datctype, d.datlocale),
    'maxWalBytes', (SELECT setting::float8 * 1048576 FROM pg_settings WHERE name = 'max_wal_size'),
    'databaseBytes', pg_database_size(d.oid),
    'slots', jsonb_build_object('max', current_setting('max_replication_slots')::int,
      'used', (SELECT count(*) FROM pg_replication_slots)),
    'origins', jsonb_build_object('max', current_setting('max_replication_slots')::int,
      'used', (SELECT count(*) FROM pg_replication_origin)),
    'senders', jsonb_build_object('max', current_setting('max_wal_senders')::int,
      'used', (SELECT count(*) FROM pg_stat_replication)),
    'workers', jsonb_build_object('max', current_setting('max_logical_replication_workers')::int,
      'used', (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL),
      'syncPerSubscription', current_setting('max_sync_workers_per_subscription')::int),
    'synchronousStandbys', (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))),
  'transactions', ${array(`jsonb_build_object('pid', pid, 'login', usename,
      'seconds', extract(epoch FROM now() - xact_start)) ORDER BY xact_start)
    FROM pg_stat_activity WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()`)},
  'preparedTransactions', ${array(`gid ORDER BY prepared) FROM pg_prepared_xacts`)}) AS facts
FROM pg_database d WHERE d.datname = current_database()`;

/** `declared`: names of the moving tables. Throws what the driver throws. */
export async function readFacts(client: Client, declared: readonly string[]): Promise<EndFacts> {
  const names = declared.map(fullTableName);
  const moved = [names, names.map(quotedTable)];
  const parts = facts.parse({
    tables: await read(client, tables, moved),
    ...(await read(client, relations, moved)),
    ...(await read(client, code, moved)),
    ...(await read(client, server, [])),
  });
  const freeBytes = await readFreeBytes(client);
  return { ...parts, ...(freeBytes !== undefined && { freeBytes }) };
}

async function read(client: Client, query: string, parameters: unknown[]): Promise<object> {
  const { rows } = await client.query<{ facts: object }>(query, parameters);
  return rows[0]?.facts ?? {};
}

/**
 * The database has no function for it, so the machine's `df` is asked. Undefined where that cannot be run or says something else.
 */
export async function readFreeBytes(client: Client): Promise<number | undefined> {
  try {
    return await transaction(client, async () => {
      const { rows: settings } = await client.query<{ path: string }>(
        `SELECT current_setting('data_directory') AS path`,
      );
      const path = (settings[0]?.path ?? '').replaceAll("'", `'\\''`);
      await client.query('CREATE TEMPORARY TABLE shardwright_df (line text) ON COMMIT DROP');
      await client.query(`COPY pg_temp.shardwright_df FROM PROGRAM ${quoteLiteral(`df -P -k '${path}'`)}`);
      const { rows } = await client.query<{ line: string }>('SELECT line FROM pg_temp.shardwright_df');
      return freeBytesOf(rows.map(({ line }) => line).join('\n'));
    });
  } catch {
    return undefined;
  }
}

/** POSIX: name, blocks of 1 kB, used, available, percent, mount point. */
export function freeBytesOf(df: string): number | undefined {
  const available = /\s\d+\s+\d+\s+(\d+)\s+\d+%\s/.exec(df)?.[1];
  return available === undefined ? undefined : Number(available) * 1024;
}
