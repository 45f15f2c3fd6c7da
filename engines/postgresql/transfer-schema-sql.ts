/**
 * The part of the operator's schema that moving data needs: the journal of transfers, who may see what moves, which
 * generations of logins may be open, and what refuses statements that a running transfer could not follow.
 * docs/adr/0003-moving-data.md says why; migration/README.md how.
 */

/** SQLSTATEs of statements that are refused while a table takes part in a transfer. */
export const movingStates = {
  ddl: 'SW006',
  truncate: 'SW007',
  key: 'SW008',
} as const;

/** A superuser's session with this setting `on` may change moving tables: the operator's own. */
export const passSetting = 'shardwright.pass';

const tables = `
-- One row for each transfer that this database has a part in.
CREATE TABLE IF NOT EXISTS shardwright.transfer (
  id text PRIMARY KEY,
  migration text NOT NULL,
  side text NOT NULL CHECK (side IN ('source', 'target')),
  -- System identifier of the other end: the temporary slots of a first copy carry it.
  peer text NOT NULL,
  -- Who sees what is written here before it is hidden: whoever looks at an older state than this would see nothing.
  begun xid8 NOT NULL DEFAULT pg_current_xact_id(),
  -- All that a transfer needs at this end is there.
  prepared boolean NOT NULL DEFAULT false,
  -- At the target: rows may have been copied. What was to be copied, for showing progress.
  copied boolean NOT NULL DEFAULT false,
  copy jsonb,
  -- When content was last found equal, and on which timelines of both ends.
  forward_verified jsonb,
  back_verified jsonb,
  -- At the one that lost the writes: {"writes", "at", "stallMs", "generations"}. The transaction that writes it is the cutover.
  decision jsonb,
  -- From here on there is no fence any more; and how far the deleting of rows is.
  closing boolean NOT NULL DEFAULT false,
  position jsonb NOT NULL DEFAULT '{}',
  -- When the last row was deleted: whoever looks at an older state must not see it again.
  emptied xid8
);
-- {"partition", "whole", "targetEmpty"}: for whoever finds the journal in a database that came back from a backup, where nothing
-- else tells what was moving.
ALTER TABLE shardwright.transfer ADD COLUMN IF NOT EXISTS moves jsonb;
-- Tables, their partitions and indexes.
CREATE TABLE IF NOT EXISTS shardwright.transfer_relation (
  transfer text NOT NULL REFERENCES shardwright.transfer ON DELETE CASCADE,
  relation oid NOT NULL,
  PRIMARY KEY (relation, transfer)
);
-- Logins that see what a transfer hides. The policies look here with the rights of whoever asks; without USAGE of the schema
-- nobody can name it otherwise.
CREATE TABLE IF NOT EXISTS shardwright.visible (
  role name NOT NULL,
  transfer text NOT NULL,
  PRIMARY KEY (role, transfer)
);
GRANT SELECT ON shardwright.visible TO PUBLIC;
-- Logins that making sure of access leaves alone: 'ahead' of the map, or in 'grace' until what they began is done.
CREATE TABLE IF NOT EXISTS shardwright.kept_login (
  role name NOT NULL,
  transfer text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('ahead', 'grace')),
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (role, transfer)
);
-- One row: the lowest generations that may be open. Its lock puts all that opens or closes logins in one order.
CREATE TABLE IF NOT EXISTS shardwright.generation (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  writer bigint NOT NULL DEFAULT 1,
  reader bigint NOT NULL DEFAULT 1
);
INSERT INTO shardwright.generation DEFAULT VALUES ON CONFLICT DO NOTHING;
-- Indexes that were dropped for a first copy and are to be built after it. While one stands here its transfer cannot be forgotten.
CREATE TABLE IF NOT EXISTS shardwright.deferred_index (
  transfer text NOT NULL REFERENCES shardwright.transfer,
  definition text NOT NULL,
  failures int NOT NULL DEFAULT 0,
  message text,
  PRIMARY KEY (transfer, definition)
);
-- A first copy that the copier makes, and its ranges of blocks. While a row stands here its stream is still to be switched on.
CREATE TABLE IF NOT EXISTS shardwright.copy (
  transfer text PRIMARY KEY REFERENCES shardwright.transfer ON DELETE CASCADE,
  -- Of the source, for as long as a session there holds it.
  snapshot text NOT NULL,
  -- {"parallel", "maxBytesPerSecond", "maxReplicaLagBytes", "maxCommitLatencyMs"}
  pace jsonb NOT NULL,
  -- [{"from", "into", "columns", "filter"}]: names and expressions as SQL.
  tables jsonb NOT NULL,
  -- The copier's account: bytes read, the most in a second, how many a second it allows itself now.
  bytes bigint NOT NULL DEFAULT 0,
  fastest bigint NOT NULL DEFAULT 0,
  allowed bigint,
  -- Since a range was last copied.
  failures int NOT NULL DEFAULT 0,
  message text
);
CREATE TABLE IF NOT EXISTS shardwright.copy_range (
  transfer text NOT NULL REFERENCES shardwright.copy ON DELETE CASCADE,
  number int NOT NULL,
  item int NOT NULL,
  first bigint NOT NULL,
  -- The first block that is no part of it; null: to the end.
  past bigint,
  -- Null until it is copied.
  rows bigint,
  PRIMARY KEY (transfer, number)
);
-- {"bytes", "fastest"}: the copier's account when it had done.
ALTER TABLE shardwright.transfer ADD COLUMN IF NOT EXISTS copier jsonb;
-- A row written here on one side and read on the other proves that all before it has arrived.
CREATE TABLE IF NOT EXISTS shardwright.marker (
  transfer text NOT NULL,
  token uuid NOT NULL DEFAULT gen_random_uuid(),
  PRIMARY KEY (transfer, token)
);
`;

const functions = `
CREATE OR REPLACE FUNCTION shardwright.may_change_moving()
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(current_setting('${passSetting}', true) = 'on', false)
    AND (SELECT rolsuper FROM pg_roles WHERE rolname = session_user)
$$;

CREATE OR REPLACE FUNCTION shardwright.refuse_ddl()
RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_migration text;
  found_object text;
BEGIN
  IF NOT EXISTS (SELECT FROM shardwright.transfer) OR shardwright.may_change_moving() THEN
    RETURN;
  END IF;
  IF TG_EVENT = 'sql_drop' THEN
    SELECT t.migration, d.object_identity INTO found_migration, found_object
    FROM pg_event_trigger_dropped_objects() AS d
    JOIN shardwright.transfer_relation AS r ON r.relation = d.objid AND d.classid = 'pg_class'::regclass
      -- Triggers, policies, rules, constraints: schema and table stand before the name.
      OR cardinality(d.address_names) > 2 AND r.relation = to_regclass(format('%I.%I', d.address_names[1], d.address_names[2]))
    JOIN shardwright.transfer AS t ON t.id = r.transfer
    LIMIT 1;
  ELSE
    SELECT t.migration, c.object_identity INTO found_migration, found_object
    FROM pg_event_trigger_ddl_commands() AS c
    JOIN shardwright.transfer_relation AS r ON
      c.classid = 'pg_class'::regclass AND (r.relation = c.objid
        OR r.relation IN (SELECT indrelid FROM pg_index WHERE indexrelid = c.objid)
        OR r.relation IN (SELECT inhparent FROM pg_inherits WHERE inhrelid = c.objid))
      OR c.classid = 'pg_trigger'::regclass AND r.relation = (SELECT tgrelid FROM pg_trigger WHERE oid = c.objid)
      OR c.classid = 'pg_policy'::regclass AND r.relation = (SELECT polrelid FROM pg_policy WHERE oid = c.objid)
      OR c.classid = 'pg_rewrite'::regclass AND r.relation = (SELECT ev_class FROM pg_rewrite WHERE oid = c.objid)
      OR c.classid = 'pg_type'::regclass AND r.relation IN (SELECT attrelid FROM pg_attribute AS a JOIN pg_type AS y
        ON y.oid = a.atttypid WHERE c.objid IN (y.oid, y.typelem, y.typbasetype) AND NOT a.attisdropped)
    JOIN shardwright.transfer AS t ON t.id = r.transfer
    LIMIT 1;
  END IF;
  IF found_migration IS NOT NULL THEN
    RAISE EXCEPTION '% on % is refused while ShardMigration % moves its rows', TG_TAG, found_object, found_migration
      USING ERRCODE = '${movingStates.ddl}',
        HINT = 'Wait until the ShardMigration is completed, or abort it; a schema file is tried again by itself.';
  END IF;
END
$$;
DROP EVENT TRIGGER IF EXISTS shardwright_ddl;
CREATE EVENT TRIGGER shardwright_ddl ON ddl_command_end EXECUTE FUNCTION shardwright.refuse_ddl();
DROP EVENT TRIGGER IF EXISTS shardwright_drop;
CREATE EVENT TRIGGER shardwright_drop ON sql_drop EXECUTE FUNCTION shardwright.refuse_ddl();

-- Arguments: the ShardMigration.
CREATE OR REPLACE FUNCTION shardwright.refuse_truncate()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'TRUNCATE of %.% is refused while ShardMigration % moves its rows', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
    USING ERRCODE = '${movingStates.truncate}',
      HINT = 'Wait until the ShardMigration is completed or abort it; DELETE is followed.';
END
$$;
CREATE OR REPLACE FUNCTION shardwright.refuse_key_change()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the shard key of a row of %.% cannot change while ShardMigration % moves it', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
    USING ERRCODE = '${movingStates.key}',
      HINT = 'Delete the row and insert it under its new key, on the shard that the key belongs to.';
END
$$;
`;

export const transferSchema = `${tables}${functions}`;
