/**
 * What a transfer needs at one end before anything is copied, made in one transaction and taken away in one: row security that
 * hides the partition from logins that do not own it, refusals, the publication, the login that the other end reads with.
 */
import type { Transfer } from '#engines/migration.ts';
import { transaction } from '../connection.ts';
import { roles } from '../names.ts';
import { quoteIdentifier, quoteLiteral } from '../sql-text.ts';
import type { OpenEnd } from './ends.ts';
import { type Journal, lockJournal, WrongMomentError } from './journal.ts';
import { lockGenerations } from './logins.ts';
import {
  basePolicy,
  keyTrigger,
  moverLogin,
  policyName,
  publisher,
  streamName,
  streams,
  truncateTrigger,
} from './names.ts';
import { partitionPredicate } from './predicate.ts';
import { type Pace, withTables } from './short-lock.ts';
import { snapshotsGone } from './snapshots.ts';
import { inOrder, quotedTable, quotedTables, treeOf } from './tables.ts';

/** Idempotent. `peer`: the other end's system identifier. Throws TablesBusyError. */
export async function prepareEnd(end: OpenEnd, transfer: Transfer, peer: string, pace: Pace): Promise<void> {
  const { client } = end;
  const begun = await begin(end, transfer, peer);
  if (begun.prepared) return;
  // A transaction that looks at the state before sees the policies, as everybody does, but not who is exempt from them.
  if (end.end === 'source') await snapshotsGone(client, begun.begun, pace);
  await withTables(client, quotedTables(transfer), pace, async () => {
    const journal = await lockJournal(client, transfer.id);
    if (!journal || journal.closing || journal.prepared) return;
    await client.query(rememberRelations, [transfer.id, quotedTables(transfer)]);
    for (const statement of await statements(end, transfer)) await client.query(statement);
    await client.query('UPDATE shardwright.transfer SET prepared = true WHERE id = $1', [transfer.id]);
  });
}

/** The journal, and at the source that all of today's logins see what moves; a login that comes later sees what the one before it saw. */
async function begin({ client, end }: OpenEnd, transfer: Transfer, peer: string): Promise<Journal> {
  const { partition, whole, targetEmpty } = transfer;
  return transaction(client, async () => {
    await client.query(lockGenerations);
    await client.query(
      `INSERT INTO shardwright.transfer (id, migration, side, peer, moves) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
      [transfer.id, transfer.migration, end, peer, JSON.stringify({ partition, whole, targetEmpty })],
    );
    const journal = await lockJournal(client, transfer.id);
    if (!journal || journal.closing)
      throw new WrongMomentError(`transfer ${transfer.id} is being cleaned up`);
    if (end === 'source' && !journal.prepared) await client.query(everybodySees, [transfer.id]);
    return journal;
  });
}

const rememberRelations = `
WITH root AS (SELECT oid FROM unnest($2::text[]) AS name, LATERAL (SELECT name::regclass::oid AS oid) AS o),
tree AS (SELECT oid FROM root UNION SELECT relid FROM root, pg_partition_tree(root.oid))
INSERT INTO shardwright.transfer_relation (transfer, relation)
SELECT $1, oid FROM tree UNION SELECT $1, indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM tree)`;

/** The source's clients go on seeing what is theirs. */
const everybodySees = `
INSERT INTO shardwright.visible (role, transfer)
SELECT rolname, $1 FROM pg_roles WHERE rolname = '${roles.stable}' OR rolname ~ '^app_(ro_)?g[0-9]+$'
ON CONFLICT DO NOTHING`;

async function statements(end: OpenEnd, transfer: Transfer): Promise<readonly string[]> {
  const { client } = end;
  const { id } = transfer;
  const mover = quoteIdentifier(moverLogin(id));
  const migration = quoteLiteral(transfer.migration);
  const tables = inOrder(transfer);
  const tree = await treeOf(client, quotedTables(transfer));
  const { rows } = await client.query<{ name: string }>(
    `SELECT name FROM unnest($1::text[]) AS name
     WHERE EXISTS (SELECT FROM pg_policy WHERE polrelid = name::regclass AND polname = $2)`,
    [quotedTables(transfer), basePolicy],
  );
  const based = new Set(rows.map(row => row.name));
  const schemas = new Set(tables.map(({ name }) => quotedTable(name).split('.')[0]));
  const filters = tables.map(
    table => `${quotedTable(table.name)} WHERE (${partitionPredicate(transfer, table, end.end)})`,
  );
  return [
    `CREATE ROLE ${mover} LOGIN REPLICATION BYPASSRLS CONNECTION LIMIT 20`,
    `GRANT CONNECT ON DATABASE ${quoteIdentifier(end.shard.spec.engine.database)} TO ${mover}`,
    `GRANT USAGE ON SCHEMA shardwright, ${[...schemas].join(', ')} TO ${mover}`,
    // A copy reads partitions one by one.
    `GRANT SELECT ON shardwright.marker, ${tree.map(({ name }) => name).join(', ')} TO ${mover}`,
    // How far replicas are behind, which a copy slows down for.
    `GRANT pg_read_all_stats TO ${mover}`,
    ...streams
      .filter(stream => publisher(stream) === end.end)
      .map(
        stream =>
          `CREATE PUBLICATION ${streamName(id, stream)} FOR TABLE ${filters.join(', ')},
  shardwright.marker WHERE (transfer = ${quoteLiteral(id)})
  WITH (publish = 'insert, update, delete', publish_via_partition_root = true)`,
      ),
    ...tables.flatMap(table => {
      const name = quotedTable(table.name);
      const [before, after] = ['OLD', 'NEW'].map(row => partitionPredicate(transfer, table, end.end, row));
      const keys = [table.key, ...(transfer.regionColumn === undefined ? [] : [transfer.regionColumn])];
      const changed = keys.map(
        key => `OLD.${quoteIdentifier(key)} IS DISTINCT FROM NEW.${quoteIdentifier(key)}`,
      );
      return [
        `CREATE POLICY ${policyName(id)} ON ${name} AS RESTRICTIVE USING (
  ${partitionPredicate(transfer, table, end.end)} IS NOT TRUE OR EXISTS (
    SELECT FROM shardwright.visible WHERE transfer = ${quoteLiteral(id)} AND role = current_user))`,
        ...(based.has(name) ? [] : [`CREATE POLICY ${basePolicy} ON ${name} USING (true)`]),
        `ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY`,
        `CREATE TRIGGER ${keyTrigger(id)} BEFORE UPDATE ON ${name} FOR EACH ROW
  WHEN ((${changed.join(' OR ')}) AND (${before} OR ${after})) EXECUTE FUNCTION shardwright.refuse_key_change(${migration})`,
      ];
    }),
    // Of a partitioned table and of each partition: TRUNCATE may name any of them.
    ...tree.map(
      ({ name }) =>
        `CREATE TRIGGER ${truncateTrigger(id)} BEFORE TRUNCATE ON ${name} EXECUTE FUNCTION shardwright.refuse_truncate(${migration})`,
    ),
  ];
}

/** Takes away what prepareEnd made, whoever else is at it. Rows that were hidden are visible afterwards. */
export async function unprepareEnd(end: OpenEnd, transfer: Transfer, pace: Pace): Promise<void> {
  const { client } = end;
  const { id } = transfer;
  const { rows } = await client.query<{ name: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM shardwright.transfer_relation r
     JOIN pg_class c ON c.oid = r.relation JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE r.transfer = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1`,
    [id],
  );
  const tables = rows.map(row => row.name);
  await withTables(client, tables, pace, async () => {
    await client.query(lockGenerations);
    const tree = await treeOf(client, tables);
    for (const { name } of tree)
      await client.query(`DROP TRIGGER IF EXISTS ${truncateTrigger(id)} ON ${name}`);
    for (const name of tables) {
      await client.query(`DROP TRIGGER IF EXISTS ${keyTrigger(id)} ON ${name};
        DROP POLICY IF EXISTS ${policyName(id)} ON ${name}`);
      const others = await client.query(
        'SELECT FROM shardwright.transfer_relation WHERE relation = $1::regclass AND transfer <> $2',
        [name, id],
      );
      if (others.rowCount === 0) {
        await client.query(`DROP POLICY IF EXISTS ${basePolicy} ON ${name};
          ALTER TABLE ${name} DISABLE ROW LEVEL SECURITY`);
      }
    }
    for (const stream of streams) await client.query(`DROP PUBLICATION IF EXISTS ${streamName(id, stream)}`);
    await client.query(dropMover(id));
    for (const table of ['visible', 'kept_login', 'marker'])
      await client.query(`DELETE FROM shardwright.${table} WHERE transfer = $1`, [id]);
    await client.query('DELETE FROM shardwright.transfer WHERE id = $1', [id]);
  });
}

function dropMover(id: string): string {
  const name = moverLogin(id);
  return `DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = ${quoteLiteral(name)}) THEN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ${quoteLiteral(name)};
    DROP OWNED BY ${quoteIdentifier(name)};
    DROP ROLE ${quoteIdentifier(name)};
  END IF;
END $$`;
}
