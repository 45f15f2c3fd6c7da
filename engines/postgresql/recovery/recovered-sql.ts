/**
 * What is asked of a database that came back from a backup, and what is done to it before anybody else may see it: nothing in it
 * dials the fleet that it comes from, and no login of that fleet is let in. Transfers that were under way are noted down; who owns
 * what they moved is decided for the whole fleet later.
 */
import { roles } from '../names.ts';

/** Transfers that came back with the data, until `settleRestored` has dealt with them. */
export const restoredTable = 'shardwright.restored_transfer';

/** Whether the shard was ever told what it owns. */
export const knownStatement = `SELECT to_regclass('shardwright.marker') IS NOT NULL`;

const generationLogins = '^app_(ro_)?g[0-9]+$';

/** Read by `found.ts`. Journals are taken whole: an older version's has fewer columns. */
export const foundStatement = `SELECT jsonb_build_object(
  'own', (SELECT coalesce(jsonb_object_agg(role, partition), '{}') FROM shardwright.own),
  'logins', (SELECT coalesce(jsonb_agg(rolname), '[]') FROM pg_roles WHERE rolname ~ '${generationLogins}'),
  'floor', (SELECT jsonb_build_object('writer', writer, 'reader', reader) FROM shardwright.generation),
  'transfers', (SELECT coalesce(jsonb_agg(to_jsonb(t) || jsonb_build_object('markers',
      (SELECT coalesce(jsonb_agg(token), '[]') FROM shardwright.marker AS m WHERE m.transfer = t.id))), '[]')
    FROM shardwright.transfer AS t))`;

/** Each by itself: ALTER SYSTEM wants no transaction around it. */
export const prepareStatements: readonly string[] = [
  `DO $$
DECLARE
  found name;
BEGIN
  FOR found IN SELECT subname FROM pg_subscription
    WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  LOOP
    EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', found);
    -- Its slot is the lost fleet's, and must not be asked for.
    EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', found);
    EXECUTE format('DROP SUBSCRIPTION %I', found);
  END LOOP;
  FOR found IN SELECT rolname FROM pg_roles
    WHERE rolname ~ '${generationLogins}' OR rolname IN ('${roles.reference}', '${roles.stable}')
      OR rolname LIKE 'shardwright\\_mover\\_%'
  LOOP
    EXECUTE format('ALTER ROLE %I NOLOGIN', found);
  END LOOP;
  IF to_regclass('shardwright.transfer') IS NOT NULL THEN
    DROP TABLE IF EXISTS ${restoredTable};
    CREATE TABLE ${restoredTable} AS SELECT id FROM shardwright.transfer;
  END IF;
END
$$`,
  'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots',
  // What bringing it back has left, and names of standbys' slots that are no more: waiting for those would stop every stream.
  ...[
    'archive_mode',
    'restore_command',
    'recovery_target_time',
    'recovery_target_action',
    'recovery_target_timeline',
    'primary_conninfo',
    'synchronized_standby_slots',
  ].map(setting => `ALTER SYSTEM RESET ${setting}`),
];
