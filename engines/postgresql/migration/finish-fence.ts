/** What follows from a decision, whoever finds it: done again it changes nothing. */
import type { Client } from 'pg';
import { EngineError } from '#engines/errors.ts';
import type { Transfer } from '#engines/migration.ts';
import { transaction } from '../connection.ts';
import { generationOf } from '../generation-login.ts';
import { roles } from '../names.ts';
import { type Ends, type OpenEnd, other } from './ends.ts';
import type { Hooks } from './hooks.ts';
import type { Decision } from './journal.ts';
import { closeSql, endSessions, lockGenerations, loginsBelow, openAhead, tablesOf } from './logins.ts';

/** Sessions of closed logins are still there: the map must not be published yet, they could read what is out of date. */
export class SessionsRemainError extends EngineError {
  override readonly name = 'SessionsRemainError';
  readonly code = 'SessionsRemain';
  readonly remedy =
    'The operator tries again; a server process that never ends needs a restart of the member.';
  override readonly retryable = true;
}

/** Right after the commit, on the way to publishing: only what must come before it. `logins` are the closed ones. */
export async function finishOwn(
  loser: OpenEnd,
  transfer: Transfer,
  decision: Decision,
  made: { readonly logins: readonly string[]; readonly second: Client },
  hooks: Hooks,
): Promise<void> {
  await Promise.all([
    endOld(made.second, loser, made.logins, hooks),
    loser.client.query(recordStall, [transfer.id, JSON.stringify(decision.stallMs)]),
  ]);
  await hooks.step('finished');
}

/** For whoever finds a decision that somebody else made. */
export async function finishFound(
  ends: Ends,
  transfer: Transfer,
  decision: Decision,
  hooks: Hooks,
): Promise<void> {
  await settle(ends, transfer, decision);
  const loser = ends[other(decision.writes)];
  const logins = await loginsBelow(loser.client, 'writer', decision.generations[loser.end]);
  await endOld(loser.client, loser, logins, hooks);
}

const recordStall = `UPDATE shardwright.transfer SET decision = jsonb_set(decision, '{stallMs}', $2::jsonb) WHERE id = $1`;

async function endOld(client: Client, { serverName }: OpenEnd, logins: readonly string[], hooks: Hooks) {
  if (hooks.sabotage === 'old sessions stay') return;
  if (await endSessions(client, logins, hooks.pace.pause)) return;
  throw new SessionsRemainError(`sessions of ${logins.join(', ')} do not end on ${serverName}`);
}

/** What can come after publishing: the rights of closed logins elsewhere, and what kept the new ones from being closed. */
export async function settle(ends: Ends, transfer: Transfer, decision: Decision): Promise<void> {
  const [gainer, loser] = [ends[decision.writes], ends[other(decision.writes)]];
  // A commit that the standbys acknowledge after the decision proves that they have the decision too: what was found may not
  // have reached them yet, and must have before anything is built on it.
  await settleLoser(loser, transfer, decision);
  await settleGainer(gainer, transfer, decision);
}

async function settleLoser({ client, end }: OpenEnd, transfer: Transfer, decision: Decision): Promise<void> {
  await transaction(client, async () => {
    await client.query('SET LOCAL synchronous_commit = on');
    await client.query(lockGenerations);
    // Under the lock: whoever makes sure of access drops closed logins.
    const logins = await loginsBelow(client, 'writer', decision.generations[end]);
    await client.query(recordStall, [transfer.id, JSON.stringify(decision.stallMs)]);
    for (const login of logins) await client.query(closeSql(login, await tablesOf(client, [login])));
  });
}

async function settleGainer(gainer: OpenEnd, transfer: Transfer, decision: Decision): Promise<void> {
  const { client, end } = gainer;
  const generation = decision.generations[end];
  const login = roles.writer(generation);
  const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1 AND rolcanlogin', [login]);
  // A fail-over that lost it: with asynchronous replication only.
  if (rowCount === 0) {
    const older = await loginsBelow(client, 'writer', generation);
    const from = Math.max(...older.map(generationOf));
    const ahead = {
      kind: 'writer',
      from,
      to: generation,
      transfer: transfer.id,
      sees: true,
      grace: true,
    } as const;
    await openAhead(gainer, ahead);
  }
  await transaction(client, async () => {
    await client.query(lockGenerations);
    await client.query('UPDATE shardwright.generation SET writer = greatest(writer, $1)', [generation]);
    await client.query(`DELETE FROM shardwright.kept_login WHERE role = $1 AND kind = 'ahead'`, [login]);
    // For the day when the loser is gone: whoever finds this end alone knows that the rows are its own.
    await client.query('UPDATE shardwright.transfer SET decision = $2 WHERE id = $1', [
      transfer.id,
      JSON.stringify(decision),
    ]);
  });
}
