/** The verbs of engines/migration.ts for PostgreSQL, each in a file of its own: this is where they are put together. */
import { EngineError, UnreachableError } from '#engines/errors.ts';
import type {
  End,
  Estimate,
  FenceLimits,
  FenceNotice,
  FenceResult,
  Finding,
  OpenTransfer,
  Switch,
  Transfer,
  TransferEnd,
  TransferFacts,
  TransferSession,
  Verification,
} from '#engines/migration.ts';
import { messageOf, sqlState } from '../connection.ts';
import { cleanUp, dropForward } from './clean-up.ts';
import { deferIndexes } from './defer-indexes.ts';
import { bothEnds, type Ends, type OpenEnds, openEnds } from './ends.ts';
import { fence } from './fence.ts';
import { type Hooks, realHooks } from './hooks.ts';
import { timelineSql, WrongMomentError } from './journal.ts';
import { type Stream, subscriber } from './names.ts';
import { observe } from './observe.ts';
import { preflight } from './preflight.ts';
import { prepareEnd } from './prepare.ts';
import { closeReaders, closeSuperseded, openReaders } from './readers.ts';
import { sizeOfCopy } from './size-of-copy.ts';
import { dropStream, startStream } from './streams.ts';
import { verify } from './verify.ts';

/** A statement failed that should not have. */
export class TransferFailedError extends EngineError {
  override readonly name = 'TransferFailedError';
  readonly code = 'TransferFailed';
  readonly remedy = 'Look at the log of the database; the operator tries again by itself.';
  override readonly retryable = true;
}

export const openTransfer: OpenTransfer = (transfer, ends, signal) =>
  openTransferWith(transfer, ends, signal, realHooks);

export async function openTransferWith(
  transfer: Transfer,
  ends: { readonly source?: TransferEnd; readonly target?: TransferEnd },
  signal: AbortSignal,
  hooks: Hooks,
): Promise<TransferSession> {
  return new PostgresTransfer(transfer, await openEnds(ends, signal), hooks);
}

class PostgresTransfer implements TransferSession {
  readonly #transfer: Transfer;
  readonly #ends: OpenEnds;
  readonly #hooks: Hooks;

  constructor(transfer: Transfer, ends: OpenEnds, hooks: Hooks) {
    this.#transfer = transfer;
    this.#ends = ends;
    this.#hooks = hooks;
  }

  preflight(): Promise<{ readonly findings: readonly Finding[]; readonly estimate: Estimate }> {
    return this.#both(ends => preflight(ends, this.#transfer));
  }

  observe(): Promise<TransferFacts> {
    return this.#both(ends => observe(ends, this.#transfer));
  }

  prepare(): Promise<void> {
    return this.#both(async ({ source, target }) => {
      const [sourceSystem, targetSystem] = await Promise.all([source, target].map(systemOf));
      // The target first: nothing that arrives there is ever seen before the source lets go of it.
      await prepareEnd(target, this.#transfer, sourceSystem ?? '', this.#hooks.pace);
      await prepareEnd(source, this.#transfer, targetSystem ?? '', this.#hooks.pace);
    });
  }

  startForward(): Promise<void> {
    return this.#both(async ends => {
      const size = await sizeOfCopy(ends.source, this.#transfer);
      await deferIndexes(ends.target, this.#transfer, this.#hooks.pace);
      const { pace } = this.#transfer;
      await startStream(ends, this.#transfer, 'forward', {
        copy: true,
        origin: this.#origin(),
        size,
        ...(pace && { pace }),
      });
    });
  }

  dropForward(): Promise<boolean> {
    return guarded(() => dropForward(this.#ends, this.#transfer, this.#hooks));
  }

  startBack(): Promise<void> {
    return this.#both(async ends => {
      const { back, decided } = await observe(ends, this.#transfer);
      // Before the cutover nothing depends on it; afterwards it is the only way back.
      if (back.kind === 'Broken' && !decided) {
        await dropStream(this.#ends, this.#transfer, 'back', this.#hooks.pace);
      }
      await startStream(ends, this.#transfer, 'back', { copy: false, origin: this.#origin() });
    });
  }

  verify(stream: Stream, mode: 'Full' | 'Sample'): Promise<Verification> {
    return this.#both(async ends => {
      const before = await timelines(ends);
      const verification = await verify(ends, this.#transfer, stream, mode);
      const after = await timelines(ends);
      if (before !== after) throw new WrongMomentError('a primary changed while content was compared');
      await ends[subscriber(stream)].client.query(
        `UPDATE shardwright.transfer SET ${stream}_verified = $2 WHERE id = $1`,
        [
          this.#transfer.id,
          verification.matches
            ? JSON.stringify({ at: new Date(this.#hooks.now()).toISOString(), timelines: after })
            : null,
        ],
      );
      return verification;
    });
  }

  openReaders(change: Switch): Promise<void> {
    return this.#both(ends => openReaders(ends, this.#transfer, change, this.#hooks));
  }

  closeReaders(change: Switch): Promise<void> {
    return this.#both(ends => closeReaders(ends, change, this.#hooks));
  }

  fence(change: Switch, limits: FenceLimits, notice?: FenceNotice): Promise<FenceResult> {
    return this.#both(ends => fence(ends, this.#transfer, change, { limits, notice }, this.#hooks));
  }

  closeSuperseded(): Promise<number> {
    return this.#both(ends => closeSuperseded(ends, this.#transfer));
  }

  cleanUp(loser: End | undefined): Promise<boolean> {
    return guarded(() => cleanUp(this.#ends, this.#transfer, loser, this.#hooks));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#ends[Symbol.asyncDispose]());
  }

  #origin(): 'none' | 'any' {
    return this.#hooks.sabotage === 'no origin filter' ? 'any' : 'none';
  }

  #both<T>(work: (ends: Ends) => Promise<T>): Promise<T> {
    return guarded(() => work(bothEnds(this.#ends)));
  }
}

async function systemOf({ client }: Ends['source']): Promise<string> {
  const { rows } = await client.query<{ id: string }>(
    'SELECT system_identifier::text AS id FROM pg_control_system()',
  );
  return rows[0]?.id ?? '';
}

async function timelines({ source, target }: Ends): Promise<string> {
  const found = await Promise.all(
    [source, target].map(({ client }) =>
      client.query<{ timeline: string }>(`SELECT ${timelineSql} AS timeline`),
    ),
  );
  return found.map(({ rows }) => rows[0]?.timeline).join(' ');
}

/** Whatever goes wrong leaves as an EngineError; what a driver throws may hold a statement's text only as its cause. */
async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    const state = sqlState(cause);
    if (state === undefined || state.startsWith('57P') || state.startsWith('08'))
      throw new UnreachableError(`the connection broke: ${messageOf(cause)}`, { cause });
    throw new TransferFailedError(messageOf(cause), { cause });
  }
}
