/** Takes a session, runs one statement, gives the session back. The path that every statement takes: nothing extra here. */
import { DatabaseError, type QueryConfig, type QueryResult, type QueryResultRow } from 'pg';
import { judge } from './attempt.ts';
import type { Circumstances } from './classify.ts';
import type { Clock } from './clock.ts';
import type { Connection, Statement } from './connection.ts';
import type { Deadline } from './deadline.ts';
import type { ClientHooks } from './hooks.ts';
import type { Pool } from './pool.ts';
import type { ShardPools, Target } from './shard-pools.ts';

export class Executor {
  readonly #pools: ShardPools;
  readonly #hooks: ClientHooks;
  readonly #clock: Clock;

  constructor(pools: ShardPools, hooks: ClientHooks, clock: Clock) {
    this.#pools = pools;
    this.#hooks = hooks;
    this.#clock = clock;
  }

  /** One try. Rejects with AttemptError, or with an error that is not about a server. */
  async run<R extends object = QueryResultRow>(
    target: Target,
    statement: QueryConfig,
    deadline: Deadline,
  ): Promise<QueryResult<R>> {
    deadline.throwIfOver();
    const pool = this.#pool(target);
    const connection = pool.take() ?? (await acquire(pool, target, deadline));
    try {
      const circumstances = { sql: statement.text, readOnly: isReader(target) };
      return await this.query<R>(target, connection, statement, deadline, circumstances);
    } finally {
      pool.release(connection);
    }
  }

  /** One session for `work`, which must leave it outside any transaction. */
  async withSession<T>(
    target: Target,
    deadline: Deadline,
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    deadline.throwIfOver();
    const pool = this.#pool(target);
    const connection = pool.take() ?? (await acquire(pool, target, deadline));
    try {
      return await work(connection);
    } finally {
      pool.release(connection);
    }
  }

  /** Whether the target's login may log in at present, by the server's own word. False where no word can be had. */
  async isOpen(target: Target, deadline: Deadline): Promise<boolean> {
    try {
      const text = 'SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = current_user';
      const { rows } = await this.run<{ rolcanlogin: boolean }>(target, { text }, deadline);
      return rows[0]?.rolcanlogin === true;
    } catch {
      return false;
    }
  }

  async query<R extends object = QueryResultRow>(
    target: Target,
    connection: Connection,
    statement: Statement,
    deadline: Deadline,
    circumstances: Omit<Circumstances, 'sent'>,
  ): Promise<QueryResult<R>> {
    const { onStatement } = this.#hooks;
    const startedMs = onStatement === undefined ? 0 : this.#clock.monotonicMs();
    let failure: unknown;
    try {
      return await connection.query<R>(statement, deadline);
    } catch (error) {
      if (!circumstances.readOnly && isDemoted(error)) {
        connection.close();
        this.#pools.redial(target);
      }
      failure = judge(target, error, {
        ...circumstances,
        sent: true,
        sessionEnded: connection.closed,
      });
      throw failure;
    } finally {
      onStatement?.({
        shard: target.shard,
        side: isReader(target) ? 'read' : 'write',
        durationMs: this.#clock.monotonicMs() - startedMs,
        ...(failure === undefined ? {} : { error: failure }),
      });
    }
  }

  #pool(target: Target): Pool<Connection> {
    try {
      return this.#pools.get(target);
    } catch (error) {
      throw judge(target, error, { sent: false, sessionEnded: true });
    }
  }
}

/**
 * A primary that became a replica keeps its poolers' sessions, and those know nothing of the Service's new address: a call that is repeated in one of
 * them never reaches the new primary.
 */
function isDemoted(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === readOnlyTransaction;
}

const readOnlyTransaction = '25006';

/** By the reader's login, wherever it is. */
export function isReader({ access }: Target): boolean {
  return access === 'read' || access === 'fallback';
}

async function acquire(pool: Pool<Connection>, target: Target, deadline: Deadline): Promise<Connection> {
  try {
    return await pool.acquire(deadline);
  } catch (error) {
    throw judge(target, error, { sent: false, sessionEnded: true });
  }
}
