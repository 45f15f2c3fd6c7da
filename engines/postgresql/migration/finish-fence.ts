/** What follows from a decision, whoever finds it: done again it changes nothing. */
import type { Client } from 'pg';
import { EngineError } from '#engines/errors.ts';
import type { Transfer } from '#engines/migration.ts';
import { transaction } from '../connection.ts';
import { roles } from '../names.ts';
import { type Ends, other } from './ends.ts';
import type { Hooks } from './hooks.ts';
import type { Decision } from './journal.ts';
import { closeSql, endSessions, lockGenerations, loginsBelow, openAhead, tablesOf } from './logins.ts';

/** Sessions end within milliseconds unless their server process is stuck. */
const END_MS = 2_000;

/** Sessions of closed logins are still there: the map must not be published yet, they could read what is out of date. */
export class SessionsRemainError extends EngineError {
  override readonly name = 'SessionsRemainError';
  readonly code = 'SessionsRemain';
  readonly remedy =
    'The operator tries again; a server process that never ends needs a restart of the member.';
  override readonly retryable = true;
}

export async function finishFence(
  ends: Ends,
  transfer: Transfer,
  decision: Decision,
  hooks: Hooks,
  second?: Client,
): Promise<void> {
  const [gainer, loser] = [ends[decision.writes], ends[other(decision.writes)]];
  const closed = decision.generations[loser.end];
  const open = decision.generations[gainer.end];
  const logins = await loginsBelow(loser.client, 'writer', closed);
  await Promise.all([settleLoser(), settleGainer()]);
  await hooks.step('settled');
  await endOld(second ?? loser.client);
  await hooks.step('finished');

  async function settleLoser(): Promise<void> {
    const { client } = loser;
    await transaction(client, async () => {
      // A commit that the standbys acknowledge after the decision proves that they have the decision too.
      await client.query('SET LOCAL synchronous_commit = on');
      await client.query(lockGenerations);
      await client.query(
        `UPDATE shardwright.transfer SET decision = jsonb_set(decision, '{stallMs}', $2::jsonb) WHERE id = $1`,
        [transfer.id, JSON.stringify(decision.stallMs)],
      );
      for (const login of logins) await client.query(closeSql(login, await tablesOf(client, [login])));
    });
  }

  async function endOld(client: Client): Promise<void> {
    if (hooks.sabotage === 'old sessions stay') return;
    if (await endSessions(client, logins, END_MS, hooks.pace.pause)) return;
    throw new SessionsRemainError(`sessions of ${logins.join(', ')} do not end on ${loser.serverName}`);
  }

  async function settleGainer(): Promise<void> {
    const { client } = gainer;
    const login = roles.writer(open);
    const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1 AND rolcanlogin', [
      login,
    ]);
    // A fail-over that lost it: with asynchronous replication only.
    if (rowCount === 0) {
      const older = await loginsBelow(client, 'writer', open);
      const from = Math.max(...older.map(name => Number(name.replace(/\D/g, ''))));
      await openAhead(gainer, {
        kind: 'writer',
        from,
        to: open,
        transfer: transfer.id,
        sees: true,
        grace: true,
      });
    }
    await transaction(client, async () => {
      await client.query(lockGenerations);
      await client.query('UPDATE shardwright.generation SET writer = greatest(writer, $1)', [open]);
      await client.query(`DELETE FROM shardwright.kept_login WHERE role = $1 AND kind = 'ahead'`, [login]);
    });
  }
}
