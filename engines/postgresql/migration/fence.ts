/**
 * Takes writes from one end and gives them to the other: docs/adr/0003-moving-data.md, "the fence". Until the loser's transaction
 * commits nothing has changed but logins that nobody knows; from then on the decision record says what is to be done, and
 * doing it again changes nothing.
 */
import type { Client } from 'pg';
import { EngineError } from '#engines/errors.ts';
import type { FenceLimits, FenceNotice, FenceResult, Switch, Transfer } from '#engines/migration.ts';
import { disconnect, messageOf, sqlState, transaction } from '../connection.ts';
import { dropLogins } from '../drop-login.ts';
import { roles } from '../names.ts';
import { quoteLiteral } from '../sql-text.ts';
import { type Ends, type OpenEnd, other } from './ends.ts';
import { finishFound, finishOwn } from './finish-fence.ts';
import type { Hooks } from './hooks.ts';
import { type Decision, lockJournal, readDecision, WrongMomentError } from './journal.ts';
import { closeSql, endSessions, lockGenerations, loginsBelow, openAhead, tablesOf } from './logins.ts';
import { awaitMarker, sendMarker } from './markers.ts';
import { lockStates, streamName, streamTo } from './names.ts';
import { advanceSql, positionsOf, type Sequence, sequencesOf } from './sequences.ts';
import { blockers, type Pace } from './short-lock.ts';
import { quotedTables } from './tables.ts';

/** Between two tries, so that those who waited get on, in milliseconds. */
const BREATH_MS = 100;
/** What the server waits beyond our own limits before it ends the locking transaction of an operator that stands still. */
const SLACK_MS = 250;

interface Parties {
  readonly loser: OpenEnd;
  readonly gainer: OpenEnd;
  readonly lock: Client;
  readonly mark: Client;
  readonly poll: Client;
  readonly sequence: Client;
  readonly sequences: readonly Sequence[];
  readonly tables: readonly string[];
  /** Logins whose sessions end with the decision. */
  readonly closing: readonly string[];
}

interface Terms {
  readonly limits: FenceLimits;
  readonly notice: FenceNotice | undefined;
}

/** Stops a try; nothing was changed. */
class UndoneError extends Error {
  override readonly name = 'UndoneError';
  readonly reason: string;
  readonly again: boolean;

  constructor(reason: string, message: string, again: boolean, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
    this.again = again;
  }
}

export async function fence(
  ends: Ends,
  transfer: Transfer,
  change: Switch,
  { limits, notice }: Terms,
  hooks: Hooks,
): Promise<FenceResult> {
  const decided = await readDecision(ends, transfer.id);
  await hooks.step('looked');
  if (decided?.writes === change.to) {
    await finishFound(ends, transfer, decided, hooks);
    return { kind: 'Fenced', stallMs: decided.stallMs, tries: 0 };
  }
  const [gainer, loser] = [ends[change.to], ends[other(change.to)]];
  const missing = await streamMissing(gainer, transfer, change);
  if (missing) return { kind: 'Undone', reason: 'NoStream', message: missing };
  const parties = await warmUp(loser, gainer, transfer, change);
  try {
    await openBoth(parties, transfer, change, hooks);
    if (notice) {
      await notice.opened();
      await hooks.pace.pause(notice.leadMs);
      await hooks.step('announced');
    }
    const result = await tries(parties, transfer, change, { limits, notice }, hooks);
    if (result.kind === 'Undone') await undo(parties, transfer, change, hooks.pace);
    if ('decision' in result) {
      await hooks.step('committed');
      const made = { logins: parties.closing, second: parties.mark };
      await finishOwn(loser, transfer, result.decision, made, hooks);
      return { kind: 'Fenced', stallMs: result.decision.stallMs, tries: result.tries };
    }
    return result;
  } finally {
    const { lock, mark, poll, sequence } = parties;
    await Promise.all([lock, mark, poll, sequence].map(disconnect));
  }
}

/** Everything that can be done before anybody waits. */
async function warmUp(loser: OpenEnd, gainer: OpenEnd, transfer: Transfer, change: Switch): Promise<Parties> {
  const tables = quotedTables(transfer);
  const [lock, mark, poll, sequence, sequences] = await Promise.all([
    // Rights and the decision are acknowledged by the standbys, whatever the server's default says.
    loser.open({ synchronous_commit: 'on' }),
    loser.open({ synchronous_commit: 'local' }),
    gainer.open(),
    gainer.open(),
    sequencesOf(loser.client, tables),
  ]);
  const closing = await loginsBelow(loser.client, 'writer', change.generations[loser.end].to);
  return { loser, gainer, lock, mark, poll, sequence, sequences, tables, closing };
}

async function streamMissing(
  gainer: OpenEnd,
  transfer: Transfer,
  change: Switch,
): Promise<string | undefined> {
  const name = streamName(transfer.id, streamTo(change.to));
  const { rows } = await gainer.client.query<{ ready: boolean | null }>(
    `SELECT (SELECT bool_and(r.srsubstate = 'r') FROM pg_subscription_rel r WHERE r.srsubid = s.oid) AS ready
     FROM pg_subscription s WHERE s.subname = $1`,
    [name],
  );
  if (rows[0]?.ready) return undefined;
  return `the stream ${name} to the ${change.to} is ${rows[0] ? 'still copying' : 'not there'}`;
}

/** The next writers of both ends. Nobody knows these logins before the map names them. */
async function openBoth(
  { loser, gainer }: Parties,
  transfer: Transfer,
  change: Switch,
  hooks: Hooks,
): Promise<void> {
  for (const end of [gainer, loser]) {
    const gains = end === gainer;
    const generations = change.generations[end.end];
    await openAhead(end, {
      kind: 'writer',
      ...generations,
      transfer: transfer.id,
      sees: gains,
      grace: gains,
    });
    await hooks.step(`opened at the ${gains ? 'gainer' : 'loser'}`);
  }
  // What was found equal before somebody else takes the writes says nothing of the time after.
  for (const { client } of [gainer, loser])
    await client.query('UPDATE shardwright.transfer SET back_verified = NULL WHERE id = $1', [transfer.id]);
}

type Tried =
  | Extract<FenceResult, { kind: 'Undone' }>
  | { readonly kind: 'Decided'; readonly decision: Decision; readonly tries: number };

async function tries(
  parties: Parties,
  transfer: Transfer,
  change: Switch,
  { limits, notice }: Terms,
  hooks: Hooks,
): Promise<Tried> {
  let stalled = 0;
  for (let count = 1; ; count++) {
    const hindrance = await notice?.hindrance();
    if (hindrance !== undefined) return { kind: 'Undone', reason: 'Hindered', message: hindrance };
    const left = limits.maxStallMs - stalled;
    const watch = { from: performance.now() };
    try {
      const decision = await attempt(
        parties,
        transfer,
        change,
        { ...limits, maxStallMs: left },
        hooks,
        watch,
      );
      return { kind: 'Decided', decision, tries: count };
    } catch (error) {
      await parties.lock.query('ROLLBACK').catch(() => undefined);
      if (!(error instanceof UndoneError)) throw error;
      stalled += performance.now() - watch.from;
      if (!error.again || stalled + limits.lockTimeoutMs > limits.maxStallMs) {
        const message = error.again
          ? `${error.message} in ${count} tries; in the way: ${await blockers(parties.mark, parties.tables)}`
          : error.message;
        return { kind: 'Undone', reason: error.reason, message };
      }
      await hooks.pace.pause(BREATH_MS * (0.5 + hooks.pace.random()));
    }
  }
}

/** One try: all or nothing. `watch.from` is set to when others began to wait. */
async function attempt(
  parties: Parties,
  transfer: Transfer,
  change: Switch,
  limits: FenceLimits,
  hooks: Hooks,
  watch: { from: number },
): Promise<Decision> {
  const { lock, mark, poll, tables, loser } = parties;
  const { id } = transfer;
  await begin(
    lock,
    `BEGIN;
    SET LOCAL lock_timeout = ${Math.ceil(limits.lockTimeoutMs)};
    SET LOCAL deadlock_timeout = 50;
    SET LOCAL transaction_timeout = ${Math.ceil(limits.maxStallMs + 2 * limits.lockTimeoutMs + SLACK_MS)};
    ${lockGenerations};`,
  );
  const journal = await lockJournal(lock, id);
  if (!journal || journal.closing)
    throw new WrongMomentError(`transfer ${id} is not prepared, or being cleaned up, at the ${loser.end}`);
  const newest = journal.decision?.generations[loser.end] ?? 0;
  if (newest >= change.generations[loser.end].to)
    throw new WrongMomentError(`transfer ${id} was decided on meanwhile`);
  await hooks.step('begun');
  watch.from = performance.now();
  const deadline = watch.from + limits.maxStallMs;
  try {
    await lock.query(`SET LOCAL statement_timeout = ${Math.ceil(limits.lockTimeoutMs)};
      LOCK TABLE ${tables.join(', ')} IN EXCLUSIVE MODE;
      SET LOCAL statement_timeout = 0`);
  } catch (cause) {
    if (!lockStates.includes(sqlState(cause) ?? '')) throw cause;
    throw new UndoneError('LockTimeout', `no lock within ${limits.lockTimeoutMs} ms`, true, { cause });
  }
  await hooks.step('locked');
  const advance = async () => {
    const statement = advanceSql(parties.sequences, await positionsOf(lock, parties.sequences));
    if (statement !== undefined) await parties.sequence.query(statement);
  };
  const arrive = async (): Promise<string> => {
    const token = await sendMarker(mark, id);
    await hooks.step('marked');
    if (await awaitMarker(poll, { id, token }, deadline, hooks.pace)) return token;
    throw new UndoneError(
      'StreamBehind',
      `what was written before did not arrive at the ${change.to} within ${limits.maxStallMs} ms`,
      false,
    );
  };
  const [, marker] = await Promise.all([advance(), arrive()]);
  await hooks.step('arrived');
  const stallMs = performance.now() - watch.from;
  if (stallMs > limits.maxStallMs)
    throw new UndoneError('TooSlow', `writes would wait longer than ${limits.maxStallMs} ms`, false);
  const decision: Decision = {
    writes: change.to,
    at: new Date(hooks.now()).toISOString(),
    stallMs: Math.round(stallMs * 10) / 10,
    generations: { source: change.generations.source.to, target: change.generations.target.to },
    marker,
  };
  await decide(lock, decideSql(parties, transfer, change, decision, hooks));
  return { ...decision, stallMs: Math.round((performance.now() - watch.from) * 10) / 10 };
}

/** Waits for whoever opens or closes logins at this moment; nobody waits for us yet. */
async function begin(lock: Client, sql: string): Promise<void> {
  try {
    await lock.query(sql);
  } catch (cause) {
    if (!lockStates.includes(sqlState(cause) ?? '')) throw cause;
    throw new UndoneError('LoginsBusy', 'logins were being changed', true, { cause });
  }
}

async function decide(lock: Client, sql: string): Promise<void> {
  try {
    await lock.query(sql);
  } catch (cause) {
    const state = sqlState(cause);
    // The session ended: by its time-out, by somebody, or the connection did. The commit may have come first.
    if (state === undefined || state.startsWith('57P') || state === '25P04')
      throw new FenceCutOffError(cause);
    throw new UndoneError('Conflict', `the decision was refused: ${messageOf(cause)}`, true, { cause });
  }
}

/** Rights on moving tables go here, those on all others later. One message to the server, so that it is there or not as a whole. */
function decideSql(
  { loser, tables, closing }: Parties,
  transfer: Transfer,
  change: Switch,
  decision: Decision,
  hooks: Hooks,
): string {
  const { to } = change.generations[loser.end];
  const record = hooks.sabotage === 'no decision record' ? 'NULL' : quoteLiteral(JSON.stringify(decision));
  return `${closing.map(login => closeSql(login, tables)).join('')}
DELETE FROM shardwright.kept_login WHERE role = ${quoteLiteral(roles.writer(to))} AND kind = 'ahead';
UPDATE shardwright.generation SET writer = greatest(writer, ${to});
UPDATE shardwright.transfer SET decision = ${record} WHERE id = ${quoteLiteral(transfer.id)};
COMMIT`;
}

/** Closes what was opened ahead, which clients were told of. What a crash leaves open is closed by the clean-up. */
async function undo(
  { loser, gainer }: Parties,
  transfer: Transfer,
  change: Switch,
  pace: Pace,
): Promise<void> {
  for (const { client, end } of [gainer, loser]) {
    const { from, to } = change.generations[end];
    const login = roles.writer(to);
    await transaction(client, async () => {
      await client.query(lockGenerations);
      await client.query(closeSql(login, await tablesOf(client, [login])));
      await client.query(`DELETE FROM shardwright.kept_login WHERE role = $1 AND transfer = $2`, [
        roles.writer(from),
        transfer.id,
      ]);
    });
    await endSessions(client, [login], pace.pause);
    await dropLogins(client, [login]);
  }
}

/** Whether the outcome is not known: the connection broke, so the transaction may have been committed. */
export class FenceCutOffError extends EngineError {
  override readonly name = 'FenceCutOffError';
  readonly code = 'FenceCutOff';
  readonly remedy = 'Observe the transfer: the decision record says whether it happened.';
  override readonly retryable = true;

  constructor(cause: unknown) {
    super(`the fence was cut off: ${messageOf(cause)}`, { cause });
  }
}
