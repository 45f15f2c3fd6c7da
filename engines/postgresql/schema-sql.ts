/**
 * The operator's own schema in every shard's database, as one script that can be run again at any time. What clients may
 * rely on is described in README.md: the functions `reference_write` and `reference_apply`, the table `broadcast`.
 *
 * Functions that act for a caller (SECURITY DEFINER) see pg_catalog only, quote every name, and belong to a role that can do
 * no more than they need: triggers of a person's tables run inside them.
 */
import { createHash } from 'node:crypto';
import { roles } from './names.ts';
import { movingStates, transferSchema } from './transfer-schema-sql.ts';

/** Owns the functions that write reference tables; nobody logs in as it. */
export const broadcastRole = 'shardwright_broadcast';
/** Applies schema files: a login for that moment only, member of the owner, so that no SQL in a file can become superuser. */
export const schemaLogin = 'shardwright_schema';

/** SQLSTATEs of the schema's own errors. */
export const sqlStates = {
  notHome: 'SW001',
  gap: 'SW002',
  notReference: 'SW003',
  diverged: 'SW004',
  badChange: 'SW005',
  ...movingStates,
} as const;

const tables = `
CREATE SCHEMA IF NOT EXISTS shardwright;
REVOKE ALL ON SCHEMA shardwright FROM PUBLIC;

-- What each application login may see: the partition of its generation.
CREATE TABLE IF NOT EXISTS shardwright.own (
  role text PRIMARY KEY,
  partition jsonb NOT NULL
);
CREATE TABLE IF NOT EXISTS shardwright.schema_file (
  name text PRIMARY KEY,
  hash text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS shardwright.reference_table (
  name text PRIMARY KEY
);
-- One row. On the home shard, and there only, versions are given out.
CREATE TABLE IF NOT EXISTS shardwright.reference_version (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version bigint NOT NULL DEFAULT 0,
  home boolean NOT NULL DEFAULT false
);
INSERT INTO shardwright.reference_version DEFAULT VALUES ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS shardwright.broadcast (
  version bigint PRIMARY KEY,
  table_name text NOT NULL,
  change jsonb NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);
`;

const functions = `
-- For PgBouncer: the verifier of an application login, of nobody else.
CREATE OR REPLACE FUNCTION shardwright.pooler_login(wanted text)
RETURNS TABLE (login text, verifier text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT rolname::text, rolpassword FROM pg_authid
  WHERE rolname = wanted AND rolcanlogin AND NOT rolsuper AND NOT rolreplication
    AND (rolname = '${roles.stable}' OR rolname ~ '^app_(ref|g[0-9]+|ro_g[0-9]+)$')
    AND (rolvaliduntil IS NULL OR rolvaliduntil > now())
$$;
REVOKE ALL ON FUNCTION shardwright.pooler_login(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION shardwright.schema_applied(file text, content_hash text)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO shardwright.schema_file (name, hash) VALUES (file, content_hash)
$$;
REVOKE ALL ON FUNCTION shardwright.schema_applied(text, text) FROM PUBLIC;

-- Applies a change and returns it in the form to repeat elsewhere: whole rows, whatever defaults filled in.
CREATE OR REPLACE FUNCTION shardwright.reference_change(table_name text, change jsonb)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  full_name text := CASE WHEN strpos(table_name, '.') > 0 THEN table_name ELSE 'public.' || table_name END;
  target regclass;
  rows jsonb := coalesce(change -> 'upsert', change -> 'delete');
  keys text[];
  given text[];
  settable text[];
  result jsonb;
BEGIN
  IF NOT EXISTS (SELECT FROM shardwright.reference_table r WHERE r.name = full_name) THEN
    RAISE EXCEPTION 'table % is not a reference table of this fleet', table_name
      USING ERRCODE = '${sqlStates.notReference}', HINT = 'Declare it in spec.sharding.tables with reference: true.';
  END IF;
  target := to_regclass(format('%I.%I', split_part(full_name, '.', 1), split_part(full_name, '.', 2)));
  IF target IS NULL THEN
    RAISE EXCEPTION 'reference table % does not exist', table_name
      USING ERRCODE = 'undefined_table', HINT = 'Create it by a schema file.';
  END IF;
  IF rows IS NULL OR jsonb_typeof(rows) <> 'array' OR (SELECT count(*) FROM jsonb_object_keys(change)) <> 1 THEN
    RAISE EXCEPTION 'a change is {"upsert": [rows]} or {"delete": [keys]}' USING ERRCODE = '${sqlStates.badChange}';
  END IF;
  SELECT array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum)) INTO keys
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = target AND i.indisprimary;
  IF keys IS NULL THEN
    RAISE EXCEPTION 'reference table % has no primary key', table_name
      USING ERRCODE = '${sqlStates.badChange}', HINT = 'Add one by a schema file.';
  END IF;
  IF jsonb_array_length(rows) = 0 THEN
    RETURN change;
  END IF;
  SELECT array_agg(k ORDER BY k) INTO given FROM jsonb_object_keys(rows -> 0) AS k;
  IF NOT given @> keys OR EXISTS (
    SELECT FROM jsonb_array_elements(rows) AS element
    WHERE (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(element) AS k) IS DISTINCT FROM given
  ) THEN
    RAISE EXCEPTION 'every row of a change has the same columns, the primary key (%) among them', array_to_string(keys, ', ')
      USING ERRCODE = '${sqlStates.badChange}';
  END IF;
  IF change ? 'delete' THEN
    EXECUTE format('DELETE FROM %1$s AS t USING jsonb_populate_recordset(NULL::%1$s, $1) AS k WHERE %2$s', target,
        (SELECT string_agg(format('t.%1$I = k.%1$I', c), ' AND ') FROM unnest(keys) AS c))
      USING rows;
    RETURN change;
  END IF;
  -- An identity that is always generated can be inserted, not updated.
  SELECT array_agg(attname::text) INTO settable FROM pg_attribute
    WHERE attrelid = target AND attname = ANY (given) AND attidentity <> 'a' AND NOT attisdropped;
  EXECUTE format(
      'WITH written AS (INSERT INTO %1$s AS t (%2$s) OVERRIDING SYSTEM VALUE '
      'SELECT %2$s FROM jsonb_populate_recordset(NULL::%1$s, $1) ON CONFLICT (%3$s) DO %4$s RETURNING t.*) '
      'SELECT jsonb_agg(to_jsonb(written) - $2) FROM written', target,
      (SELECT string_agg(quote_ident(c), ', ') FROM unnest(given) AS c),
      (SELECT string_agg(quote_ident(c), ', ') FROM unnest(keys) AS c),
      coalesce((SELECT 'UPDATE SET ' || string_agg(format('%1$I = excluded.%1$I', c), ', ') FROM unnest(settable) AS c),
        'NOTHING'))
    INTO result
    -- Generated columns cannot be given again; they follow from the others.
    USING rows, (SELECT coalesce(array_agg(attname::text), '{}') FROM pg_attribute
                 WHERE attrelid = target AND attgenerated <> '' AND NOT attisdropped);
  RETURN jsonb_build_object('upsert', coalesce(result, '[]'::jsonb));
END
$$;
REVOKE ALL ON FUNCTION shardwright.reference_change(text, jsonb) FROM PUBLIC;

-- On the home shard: gives the change the next version, applies and logs it.
CREATE OR REPLACE FUNCTION shardwright.reference_write(table_name text, change jsonb,
  OUT version bigint, OUT applied_change jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  at_home boolean;
BEGIN
  -- The row lock puts all writers in one order, here and so everywhere.
  SELECT v.version + 1, v.home INTO version, at_home FROM shardwright.reference_version AS v FOR UPDATE;
  IF NOT at_home THEN
    RAISE EXCEPTION 'this is not the home shard of reference tables'
      USING ERRCODE = '${sqlStates.notHome}', HINT = 'Write on shard 0, then apply what it returns on the others.';
  END IF;
  applied_change := shardwright.reference_change(table_name, change);
  INSERT INTO shardwright.broadcast (version, table_name, change)
    VALUES (reference_write.version, reference_write.table_name, applied_change);
  UPDATE shardwright.reference_version AS v SET version = reference_write.version;
END
$$;
REVOKE ALL ON FUNCTION shardwright.reference_write(text, jsonb) FROM PUBLIC;

-- On the others: true when applied now, false when it was applied before. In order, without gaps.
CREATE OR REPLACE FUNCTION shardwright.reference_apply(version bigint, table_name text, change jsonb)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  last bigint;
BEGIN
  SELECT v.version INTO last FROM shardwright.reference_version AS v FOR UPDATE;
  IF reference_apply.version <= last THEN
    IF EXISTS (
      SELECT FROM shardwright.broadcast AS b WHERE b.version = reference_apply.version
        AND (b.table_name <> reference_apply.table_name OR b.change <> reference_apply.change)
    ) THEN
      RAISE EXCEPTION 'version % was applied here with another content', reference_apply.version
        USING ERRCODE = '${sqlStates.diverged}';
    END IF;
    RETURN false;
  END IF;
  IF reference_apply.version <> last + 1 THEN
    RAISE EXCEPTION 'version % cannot follow version %', reference_apply.version, last
      USING ERRCODE = '${sqlStates.gap}',
        HINT = 'Apply the versions between first: the home shard has them in shardwright.broadcast.';
  END IF;
  PERFORM shardwright.reference_change(table_name, change);
  INSERT INTO shardwright.broadcast (version, table_name, change)
    VALUES (reference_apply.version, reference_apply.table_name, reference_apply.change);
  UPDATE shardwright.reference_version AS v SET version = reference_apply.version;
  RETURN true;
END
$$;
REVOKE ALL ON FUNCTION shardwright.reference_apply(bigint, text, jsonb) FROM PUBLIC;
`;

const rights = `
GRANT USAGE ON SCHEMA shardwright TO ${broadcastRole}, ${roles.pooler}, ${roles.owner};
GRANT SELECT ON shardwright.reference_table TO ${broadcastRole};
GRANT SELECT, UPDATE ON shardwright.reference_version TO ${broadcastRole};
GRANT SELECT, INSERT ON shardwright.broadcast TO ${broadcastRole};
-- Owning a function needs the right to create in its schema at that moment only.
GRANT CREATE ON SCHEMA shardwright TO ${broadcastRole};
ALTER FUNCTION shardwright.reference_change(text, jsonb) OWNER TO ${broadcastRole};
ALTER FUNCTION shardwright.reference_write(text, jsonb) OWNER TO ${broadcastRole};
ALTER FUNCTION shardwright.reference_apply(bigint, text, jsonb) OWNER TO ${broadcastRole};
REVOKE CREATE ON SCHEMA shardwright FROM ${broadcastRole};
GRANT EXECUTE ON FUNCTION shardwright.pooler_login(text) TO ${roles.pooler};
GRANT EXECUTE ON FUNCTION shardwright.schema_applied(text, text) TO ${roles.owner};
`;

const script = `${tables}${functions}${rights}${transferSchema}`;

/** Kept as the schema's comment: another hash there means that the script must be run again. */
export const schemaVersion = `shardwright ${createHash('sha256').update(script).digest('hex').slice(0, 16)}`;

export const schemaScript = `${script}COMMENT ON SCHEMA shardwright IS '${schemaVersion}';\n`;
