/** The readers' switch, and the closing of logins that have had their time. */
import type { Switch, Transfer } from '#engines/migration.ts';
import { transaction } from '../connection.ts';
import { dropLogins } from '../drop-login.ts';
import { generationOf } from '../generation-login.ts';
import { roles } from '../names.ts';
import { type Ends, type OpenEnd, type OpenEnds, other } from './ends.ts';
import { SessionsRemainError, settle } from './finish-fence.ts';
import type { Hooks } from './hooks.ts';
import { readDecision, WrongMomentError } from './journal.ts';
import { closeSql, endSessions, lockGenerations, loginsBelow, openAhead, tablesOf } from './logins.ts';

/** A session that did nothing for so long has finished what it began. */
const IDLE_S = 1;
/** After so long a superseded login has no more sessions between two statements either. */
const GRACE_S = 60;

export async function openReaders(
  ends: Ends,
  transfer: Transfer,
  change: Switch,
  hooks: Hooks,
): Promise<void> {
  if (change.side !== 'read') throw new WrongMomentError('writers are opened by the fence');
  // The gainer first: whoever has a newer login anywhere finds the rows somewhere.
  for (const end of [ends[change.to], ends[other(change.to)]]) {
    const gains = end.end === change.to;
    const generations = change.generations[end.end];
    await openAhead(end, {
      kind: 'reader',
      ...generations,
      transfer: transfer.id,
      sees: gains,
      grace: gains,
    });
    await hooks.step(`opened readers at the ${end.end}`);
  }
}

/** Throws {@link SessionsRemainError}. */
export async function closeReaders(ends: Ends, change: Switch, hooks: Hooks): Promise<void> {
  const [gainer, loser] = [ends[change.to], ends[other(change.to)]];
  // Both first: whatever cuts this off, the clean-up then knows which logins have had their time.
  for (const end of [loser, gainer]) await raiseFloor(end, change.generations[end.end].to);
  const logins = await loginsBelow(loser.client, 'reader', change.generations[loser.end].to);
  await closeLogins(loser, logins);
  await hooks.step('closed readers');
  if (!(await endSessions(loser.client, logins, hooks.pace.pause)))
    throw new SessionsRemainError(`sessions of ${logins.join(', ')} do not end on ${loser.serverName}`);
}

/** The new login is the map's now: nothing needs to keep it, and no older order can close it. */
async function raiseFloor({ client }: OpenEnd, generation: number): Promise<void> {
  await transaction(client, async () => {
    await client.query(lockGenerations);
    await client.query('UPDATE shardwright.generation SET reader = greatest(reader, $1)', [generation]);
    await client.query(`DELETE FROM shardwright.kept_login WHERE role = $1 AND kind = 'ahead'`, [
      roles.reader(generation),
    ]);
  });
}

/** Those of them that are still there: whoever drops one does so under the same lock. */
export async function closeLogins(
  { client }: Pick<OpenEnd, 'client'>,
  logins: readonly string[],
): Promise<void> {
  if (logins.length === 0) return;
  await transaction(client, async () => {
    await client.query(lockGenerations);
    const { rows } = await client.query<{ rolname: string }>(
      'SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)',
      [logins],
    );
    for (const { rolname } of rows) await client.query(closeSql(rolname, await tablesOf(client, [rolname])));
  });
}

/**
 * Closed, and nobody's to keep. Whoever makes sure of access drops such a login; one that was still kept when it did so, or whose
 * dropping failed, would stay.
 */
async function closedLogins({ client }: OpenEnd): Promise<readonly string[]> {
  const { rows } = await client.query<{ rolname: string }>(
    `SELECT rolname FROM pg_roles WHERE rolname ~ '^app_(ro_)?g[0-9]+$' AND NOT rolcanlogin
       AND rolname NOT IN (SELECT role FROM shardwright.kept_login)`,
  );
  return rows.map(({ rolname }) => rolname);
}

interface Kept {
  readonly role: string;
  readonly age: number;
  readonly floor: number;
}

async function keptLogins(
  { client }: OpenEnd,
  id: string,
  kind: 'ahead' | 'grace',
): Promise<readonly Kept[]> {
  const { rows } = await client.query<Kept>(
    `SELECT k.role::text, extract(epoch FROM clock_timestamp() - k.since)::float8 AS age,
       (CASE WHEN k.role ~ '^app_ro_' THEN g.reader ELSE g.writer END)::float8 AS floor
     FROM shardwright.kept_login k, shardwright.generation g WHERE k.transfer = $1 AND k.kind = $2`,
    [id, kind],
  );
  return rows;
}

/** What the Shard was told: where `closeReaders` was never called, as its work was done already, the floor says less. */
function inForce({ shard: { spec } }: OpenEnd, role: string): number {
  return role.startsWith('app_ro_') ? spec.readerGeneration : spec.generation;
}

/** Ends idle sessions of superseded logins, and closes those logins that have none left. Returns how many remain. */
export async function closeSuperseded(ends: Ends, transfer: Transfer): Promise<number> {
  const decision = await readDecision(ends, transfer.id);
  if (decision) await settle(ends, transfer, decision);
  const remaining = await Promise.all([ends.source, ends.target].map(end => closeAt(end, transfer)));
  return remaining.reduce((sum, count) => sum + count, 0);
}

async function closeAt(end: OpenEnd, transfer: Transfer): Promise<number> {
  const kept = (await keptLogins(end, transfer.id, 'grace')).filter(
    ({ role, floor }) => generationOf(role) < Math.max(floor, inForce(end, role)),
  );
  let remain = 0;
  for (const { role, age } of kept) {
    // No new sessions from here on; what is refused finds the newer map.
    await end.client.query(`ALTER ROLE "${role}" NOLOGIN`);
    await end.client.query(
      `SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
       WHERE usename = $1 AND state = 'idle' AND state_change < clock_timestamp() - make_interval(secs => $2)`,
      [role, age > GRACE_S ? 0 : IDLE_S],
    );
    const { rowCount } = await end.client.query('SELECT FROM pg_stat_activity WHERE usename = $1', [role]);
    if (rowCount === 0) {
      await closeLogins(end, [role]);
      await dropLogins(end.client, [role]);
    } else remain++;
  }
  return remain;
}

/**
 * Closes what the transfer still keeps, at once: superseded logins, and those opened ahead of a map that never came to name
 * them.
 */
export async function closeKept(ends: OpenEnds, transfer: Transfer, hooks: Hooks): Promise<void> {
  for (const end of [ends.source, ends.target]) {
    if (!end) continue;
    const [ahead, grace] = [
      await keptLogins(end, transfer.id, 'ahead'),
      await keptLogins(end, transfer.id, 'grace'),
    ];
    const logins = [
      ...ahead.filter(({ role, floor }) => generationOf(role) > Math.max(floor, inForce(end, role))),
      ...grace.filter(({ role, floor }) => generationOf(role) < Math.max(floor, inForce(end, role))),
    ].map(({ role }) => role);
    await closeLogins(end, logins);
    const closed = await closedLogins(end);
    await endSessions(end.client, closed, hooks.pace.pause);
    await dropLogins(end.client, closed);
  }
}
