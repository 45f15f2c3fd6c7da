/**
 * One try of a transaction. Until COMMIT is sent nothing can have taken effect, so everything before it may be repeated;
 * after it only the server's answer counts.
 */
import type { QueryResult } from 'pg';
import { AttemptError, publicError } from './attempt.ts';
import { canCarryBegin } from './begin.ts';
import type { Transaction, TransactionOptions } from './client.ts';
import type { Connection, Statement } from './connection.ts';
import type { Deadline } from './deadline.ts';
import { ClosedError } from './errors.ts';
import { type Executor, isReader } from './executor.ts';
import { isPlainRead } from './plain-read.ts';
import type { Result, Row } from './result.ts';
import { toResult } from './result.ts';
import type { Target } from './shard-pools.ts';

export function runTransaction<T>(
  executor: Executor,
  target: Target,
  options: TransactionOptions,
  deadline: Deadline,
  work: (transaction: Transaction) => Promise<T>,
): Promise<T> {
  return executor.withSession(target, deadline, async connection => {
    const circumstances = { readOnly: options.readOnly === true || isReader(target) };
    const run: Run = statement => executor.query(target, connection, statement, deadline, circumstances);
    const session = new Session(target.shard, beginStatement(options), run);
    // A callback that must not run twice is not begun before it is certain that the shard takes its statements.
    if (options.repeatable === false) await certain(session.begin());
    let value: T;
    try {
      value = await work(session);
    } catch (error) {
      await session.end();
      if (session.sent) await rollBack(run, connection);
      // The callback may have wrapped the error: what hit the session decides whether to repeat, not what came out.
      throw session.failure !== undefined && session.failure.verdict !== 'final' ? session.failure : error;
    }
    await session.end();
    if (!session.sent) return value;
    if (session.failure !== undefined && (connection.closed || !session.begun)) {
      await rollBack(run, connection);
      throw session.failure;
    }
    const outcome = await run({ text: 'COMMIT' }).catch((error: unknown) => {
      // Lost on the way, a commit of nothing but reads is no loss.
      const readsOnly = options.readOnly === true || session.statements.every(isPlainRead);
      throw readsOnly ? withoutDoubt(error) : error;
    });
    if (outcome.command === 'ROLLBACK')
      throw session.failure ?? new AttemptError(target, 'conflict', false, undefined);
    return value;
  });
}

type Run = <R extends object>(statement: Statement) => Promise<QueryResult<R>>;

class Session implements Transaction {
  readonly shard: string;
  /** The first failure of a statement that is about the server. Nothing was committed. */
  failure: AttemptError | undefined;
  /** Whether the server may know of the transaction. */
  sent = false;
  /** Whether the server said that it does. */
  begun = false;
  readonly statements: string[] = [];
  readonly #begin: string;
  readonly #run: Run;
  #last: Promise<unknown> = Promise.resolve();
  #ended = false;

  constructor(shard: string, begin: string, run: Run) {
    this.shard = shard;
    this.#begin = begin;
    this.#run = run;
  }

  /** Statements that the callback starts side by side run one after the other. */
  query<R extends object = Row>(sql: string, params?: readonly unknown[]): Promise<Result<R>> {
    if (this.#ended) return Promise.reject(new ClosedError());
    this.statements.push(sql);
    const answer = this.#last.then(() => certain(this.#query<R>(sql, params)));
    this.#last = answer.catch((error: unknown) => {
      if (error instanceof AttemptError) this.failure ??= error;
    });
    return answer.then(toResult, (error: unknown) => {
      throw error instanceof AttemptError ? publicError(error, false) : error;
    });
  }

  async begin(): Promise<void> {
    this.sent = true;
    await this.#run({ text: this.#begin });
    this.begun = true;
  }

  async #query<R extends object>(
    text: string,
    params: readonly unknown[] | undefined,
  ): Promise<QueryResult<R>> {
    const statement = params === undefined ? { text } : { text, values: [...params] };
    if (!this.begun && !canCarryBegin(statement)) await this.begin();
    if (this.begun) return this.#run<R>(statement);
    this.sent = true;
    // Should it fail, the next one carries BEGIN again: either nothing was begun, or the server refuses both.
    const result = await this.#run<R>({ ...statement, begin: this.#begin });
    this.begun = true;
    return result;
  }

  /** Waits for statements that the callback started but did not wait for. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#last;
  }
}

/** Without a COMMIT a broken connection is no uncertainty. */
async function certain<T>(statement: Promise<T>): Promise<T> {
  try {
    return await statement;
  } catch (error) {
    throw withoutDoubt(error);
  }
}

function withoutDoubt(error: unknown): unknown {
  return error instanceof AttemptError && error.uncertain
    ? new AttemptError(error.target, error.verdict, false, error.cause)
    : error;
}

async function rollBack(run: Run, connection: Connection): Promise<void> {
  if (connection.closed) return;
  try {
    await run({ text: 'ROLLBACK' });
  } catch {
    // The server rolls back what a lost session leaves.
    connection.close();
  }
}

function beginStatement({ isolation, readOnly }: TransactionOptions): string {
  const level = isolation === undefined ? '' : ` ISOLATION LEVEL ${levels[isolation]}`;
  return `BEGIN${level}${readOnly === true ? ' READ ONLY' : ''}`;
}

const levels = {
  'read committed': 'READ COMMITTED',
  'repeatable read': 'REPEATABLE READ',
  serializable: 'SERIALIZABLE',
} as const;
