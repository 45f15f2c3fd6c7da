/**
 * Settles which of some rows differ for good, by their keys. Rows are looked at again and again until each was judged; one that
 * never stands still is held still for a moment by a lock on it alone.
 */
import type { Client } from 'pg';
import { sqlState, transaction } from '../../connection.ts';
import { UndecidedError } from './errors.ts';
import { judge, type Look } from './judge.ts';
import type { Both } from './sums.ts';
import type { TableText } from './table-text.ts';

export type Key = readonly string[];

export interface Parties {
  /** Connections in no transaction. */
  readonly clients: Both<Client>;
  /** Resolves when the follower has all that was committed at the leader at the time of the call. */
  readonly arrived: () => Promise<void>;
  readonly pause: (ms: number) => Promise<void>;
}

/** Rounds without regard to commits on their way: they weed out mere lag. */
const QUICK_ROUNDS = 3;
const LOCK_ROUND = 8;
const ROUNDS = 16;
/** Longest wait for a transaction that was writing at the time of a look. */
const WRITERS_MS = 20_000;
const WRITERS_POLL_MS = 5;
const LOCK_NOT_AVAILABLE = '55P03';

/** The keys whose rows differ for good. Throws UndecidedError, FollowerBehindError. */
export async function settle(
  parties: Parties,
  table: TableText,
  where: Both<string>,
  keys: readonly Key[],
): Promise<readonly Key[]> {
  const differing: Key[] = [];
  let open = keys;
  for (let round = 0; open.length > 0; round++) {
    if (round === ROUNDS) throw undecided(table, open);
    if (round > 0) await parties.pause(Math.min(2 ** round, 200));
    const careful = round >= QUICK_ROUNDS;
    const looks = await fourLooks(parties, table, where, open, careful);
    const left: Key[] = [];
    for (const [index, key] of open.entries()) {
      const judgement = judge({
        follower: [looks.before.get(index), looks.after.get(index)],
        leader: [looks.first.get(index), looks.second.get(index)],
      });
      if (judgement === 'differs' && careful) differing.push(key);
      else if (judgement !== 'equal') left.push(key);
    }
    open = round >= LOCK_ROUND ? await holdStill(parties, table, where, left, differing) : left;
  }
  return differing;
}

type LookedUp = ReadonlyMap<number, Look>;

async function fourLooks(
  { clients, arrived, pause }: Parties,
  table: TableText,
  where: Both<string>,
  keys: readonly Key[],
  careful: boolean,
): Promise<{ before: LookedUp; first: LookedUp; after: LookedUp; second: LookedUp }> {
  const before = await lookUp(clients.follower, table, where.follower, keys);
  if (careful) await writersEnd(clients.leader, table, pause);
  const first = await lookUp(clients.leader, table, where.leader, keys);
  await arrived();
  const after = await lookUp(clients.follower, table, where.follower, keys);
  if (careful) await writersEnd(clients.leader, table, pause);
  const second = await lookUp(clients.leader, table, where.leader, keys);
  return { before, first, after, second };
}

/** By position in `keys`. */
async function lookUp(
  client: Client,
  table: TableText,
  where: string,
  keys: readonly Key[],
  lock = '',
): Promise<LookedUp> {
  const names = table.keys.map((_, index) => `k${index}`);
  const { rows } = await client.query<{ position: number; version: string; hash: string }>(
    `SELECT k.position::int, format('%s %s %s', t.tableoid, t.ctid, t.xmin) AS version, ${table.rowHash}::text AS hash
     FROM unnest(${names.map((_, index) => `$${index + 1}::text[]`).join(', ')})
       WITH ORDINALITY AS k(${names.join(', ')}, position)
     JOIN ${table.from} AS t ON ${table.keys.map((key, index) => `${key.column} = k.k${index}::${key.type}`).join(' AND ')}
     WHERE ${where} ${lock}`,
    table.keys.map((_, index) => keys.map(key => key[index])),
  );
  return new Map(rows.map(({ position, version, hash }) => [position - 1, { version, hash }]));
}

/**
 * Waits until the transactions that are writing to the table at the time of the call have ended. A transaction holds its locks
 * until it is visible; its commit may have been sent before.
 */
async function writersEnd(client: Client, table: TableText, pause: Parties['pause']): Promise<void> {
  const query = `SELECT DISTINCT virtualtransaction AS writer FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND relation IN (SELECT to_regclass($1)::oid UNION ALL SELECT relid::oid FROM pg_partition_tree(to_regclass($1)))
      AND ($2::text[] IS NULL OR virtualtransaction = ANY ($2))`;
  const look = async (among: readonly string[] | null) => {
    const { rows } = await client.query<{ writer: string }>(query, [table.from, among]);
    return rows.map(({ writer }) => writer);
  };
  let writers = await look(null);
  for (let waited = 0; writers.length > 0; waited += WRITERS_POLL_MS) {
    if (waited > WRITERS_MS)
      throw new UndecidedError(
        `a transaction that writes to ${table.name} does not end, so its rows cannot be judged`,
      );
    await pause(WRITERS_POLL_MS);
    writers = await look(writers);
  }
}

/** Row by row: nobody waits longer than one row takes to arrive. Returns keys that have no row to hold. */
async function holdStill(
  { clients, arrived }: Parties,
  table: TableText,
  where: Both<string>,
  keys: readonly Key[],
  differing: Key[],
): Promise<readonly Key[]> {
  const left: Key[] = [];
  for (const key of keys) {
    const held = await transaction(clients.leader, async () => {
      await clients.leader.query(`SET LOCAL lock_timeout = '1s'`);
      const leader = (await lookUp(clients.leader, table, where.leader, [key], 'FOR SHARE OF t')).get(0);
      if (!leader) return undefined;
      await arrived();
      const follower = (await lookUp(clients.follower, table, where.follower, [key])).get(0);
      return { same: follower?.hash === leader.hash };
    }).catch((error: unknown) => {
      if (sqlState(error) === LOCK_NOT_AVAILABLE) return undefined;
      throw error;
    });
    if (!held) left.push(key);
    else if (!held.same) differing.push(key);
  }
  return left;
}

function undecided(table: TableText, keys: readonly Key[]): UndecidedError {
  const some = keys.slice(0, 3).map(key => `(${key.join(', ')})`);
  return new UndecidedError(`rows of ${table.name} change too often to be compared: ${some.join(', ')}`);
}
