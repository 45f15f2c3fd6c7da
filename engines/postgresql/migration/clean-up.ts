/**
 * The end of a transfer, however it went: nothing of it is left, and what it moved is visible at one end only. Whoever owns the
 * rows by the decision record keeps them, whatever the caller says.
 */
import type { End, Transfer } from '#engines/migration.ts';
import { sqlState, transaction } from '../connection.ts';
import { restoreIndexes, stopBuilding } from './defer-indexes.ts';
import { deleteRows } from './delete-rows.ts';
import { queryEnd, tracesOf } from './end-query.ts';
import { bothEnds, type OpenEnds } from './ends.ts';
import { settle } from './finish-fence.ts';
import type { Hooks } from './hooks.ts';
import { type Decision, type Journal, lockJournal, standing, WrongMomentError } from './journal.ts';
import { streams } from './names.ts';
import { unprepareEnd } from './prepare.ts';
import { closeKept } from './readers.ts';
import { snapshotsGone } from './snapshots.ts';
import { forgetStandbys } from './standbys.ts';
import { dropStream } from './streams.ts';

/** True when nothing is left. */
export async function cleanUp(
  ends: OpenEnds,
  transfer: Transfer,
  loser: End | undefined,
  hooks: Hooks,
): Promise<boolean> {
  const present = [ends.source, ends.target].filter(end => end !== undefined);
  const journals = await close(present, transfer);
  const decision = standing(...journals);
  const losing = loser ?? undecidedLoser(ends, journals, decision);
  const owner = decision?.writes ?? 'source';
  // An end that is gone has no rows to lose, and has taken the decision with it.
  if (losing !== undefined && losing === owner && ends[losing])
    throw new WrongMomentError(`the ${losing} of transfer ${transfer.id} has the writes: its rows stay`);
  await hooks.step('closed');
  if (decision && ends.source && ends.target) await settle(bothEnds(ends), transfer, decision);
  await closeKept(ends, transfer, hooks);
  for (const stream of streams) await dropStream(ends, transfer, stream, hooks.pace);
  await hooks.step('streams dropped');
  if (ends.target) await stopBuilding(ends.target, transfer.id);
  const end = losing && ends[losing];
  // Without a journal there nothing was ever hidden, copied or left over.
  if (end && journals.some(journal => journal?.side === losing) && mayHaveRows(losing, journals)) {
    if (!(await deleteRows(end, transfer, hooks.pace))) return false;
    await hooks.step('rows deleted');
    // What has just been deleted is hidden still: a transaction that looks at an older state would see it again.
    const journal = await transaction(end.client, () => lockJournal(end.client, transfer.id));
    if (journal?.emptied) await snapshotsGone(end.client, journal.emptied, hooks.pace);
  }
  if (ends.target) await restoreIndexes(ends.target, transfer.id);
  // The winner first: while the loser's journal stands, this whole work is found again.
  for (const side of present.toSorted((a, b) => Number(a.end === losing) - Number(b.end === losing))) {
    await unprepareEnd(side, transfer, hooks.pace);
    await forgetStandbys(side.client);
    await hooks.step(`cleaned ${side.end}`);
  }
  const traces = await Promise.all(
    present.map(async side =>
      tracesOf(transfer.id, await queryEnd(side.client, transfer.id, side.given.standbys)),
    ),
  );
  return traces.flat().length === 0;
}

/** From here on no fence begins; one that is at work is waited for. */
async function close(
  ends: readonly NonNullable<OpenEnds['source']>[],
  transfer: Transfer,
): Promise<readonly (Journal | undefined)[]> {
  const journals: (Journal | undefined)[] = [];
  for (const { client } of ends) {
    journals.push(
      await transaction(client, async () => {
        const journal = await lockJournal(client, transfer.id).catch((cause: unknown) => {
          if (sqlState(cause) !== '55P03') throw cause;
          throw new WrongMomentError(`a fence of transfer ${transfer.id} is at work`, { cause });
        });
        if (journal && !journal.closing)
          await client.query('UPDATE shardwright.transfer SET closing = true WHERE id = $1', [transfer.id]);
        return journal;
      }),
    );
  }
  return journals;
}

/** Nobody said whose rows go: what was copied and never decided on is the target's. */
function undecidedLoser(
  ends: OpenEnds,
  journals: readonly (Journal | undefined)[],
  decision: Decision | undefined,
): End | undefined {
  if (!ends.source || !ends.target || decision) return undefined;
  return journals.some(journal => journal?.side === 'target' && journal.copied) ? 'target' : undefined;
}

/** The target has rows when a copy was begun; the source always had them. */
function mayHaveRows(losing: End, journals: readonly (Journal | undefined)[]): boolean {
  return losing === 'source' || journals.some(journal => journal?.side === 'target' && journal.copied);
}

/**
 * Ends the forward stream and takes back what it copied, before writes have moved. Both streams go: the back stream would carry
 * the deletions to the source.
 */
export async function dropForward(ends: OpenEnds, transfer: Transfer, hooks: Hooks): Promise<boolean> {
  const { source, target } = bothEnds(ends);
  // Under the lock that a fence takes first: none is at work, and the next finds no stream.
  const journals = await Promise.all(
    [source, target].map(({ client }) => transaction(client, () => lockJournal(client, transfer.id))),
  );
  if (standing(...journals))
    throw new WrongMomentError(`writes of transfer ${transfer.id} have moved already`);
  for (const stream of streams) await dropStream(ends, transfer, stream, hooks.pace);
  await stopBuilding(target, transfer.id);
  await target.client.query(
    'UPDATE shardwright.transfer SET forward_verified = NULL, back_verified = NULL WHERE id = $1',
    [transfer.id],
  );
  if (!(await deleteRows(target, transfer, hooks.pace))) return false;
  await target.client.query(
    `UPDATE shardwright.transfer SET copied = false, copy = NULL, position = '{}', emptied = NULL WHERE id = $1`,
    [transfer.id],
  );
  return true;
}
