/**
 * One session with one shard. A statement is never left running behind the caller's back: when its call ends first, the
 * server is asked to cancel it, and the session is given up if that does not help.
 */
import { Client, DatabaseError, type QueryConfig, type QueryResult } from 'pg';
import { type Done, withBegin } from './begin.ts';
import { cancelRunning } from './cancel.ts';
import { NotSentError } from './classify.ts';
import type { Clock } from './clock.ts';
import type { Deadline } from './deadline.ts';
import { asUnconnectedSocket, dialDirectly, trusting } from './dial.ts';
import type { Dial, Endpoint } from './options.ts';

export interface ConnectOptions {
  readonly endpoint: Endpoint;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly applicationName: string;
  /** `undefined` for no TLS; `ca` undefined trusts the system's authorities. */
  readonly tls: { readonly ca: string | undefined } | undefined;
  readonly dial: Dial | undefined;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

export interface Statement extends QueryConfig {
  /** The statement that begins a transaction, in the same round trip. Only where `canCarryBegin`. */
  readonly begin?: string;
}

/** The call ended while a statement ran. `reason` is what the caller shall see. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
  /** True when the server confirmed that the statement was cancelled. */
  readonly cancelled: boolean;
  readonly reason: unknown;

  constructor(cancelled: boolean, reason: unknown) {
    super('interrupted', { cause: reason });
    this.cancelled = cancelled;
    this.reason = reason;
  }
}

/** How long a server may take to confirm a cancel. */
const cancelGraceMs = 500;

export class Connection {
  /** When it was last put back, for the pool. */
  idleSinceMs = 0;
  onClosed: () => void = () => undefined;
  readonly #client: Client;
  readonly #options: ConnectOptions;
  #closed = false;

  private constructor(client: Client, options: ConnectOptions) {
    this.#client = client;
    this.#options = options;
    const closed = () => {
      if (this.#closed) return;
      this.#closed = true;
      this.onClosed();
    };
    client.on('error', closed);
    client.on('end', closed);
  }

  /** Rejects with NotSentError when no session came about, or with the server's own error when it refused. */
  static async open(options: ConnectOptions): Promise<Connection> {
    const { endpoint, tls, clock, timeoutMs } = options;
    const giveUp = new AbortController();
    const timer = clock.after(timeoutMs, () =>
      giveUp.abort(new Error(`not connected within ${timeoutMs} ms`)),
    );
    try {
      const stream = await (options.dial ?? dialDirectly)(endpoint, giveUp.signal);
      const client = new Client({
        host: endpoint.host,
        port: endpoint.port,
        user: options.user,
        password: options.password,
        database: options.database,
        application_name: options.applicationName,
        ssl: tls === undefined ? false : { rejectUnauthorized: true, ...trusting(tls.ca) },
        stream: () => asUnconnectedSocket(stream),
      });
      const connection = new Connection(client, options);
      giveUp.signal.addEventListener('abort', () => stream.destroy(), { once: true });
      await client.connect();
      return connection;
    } catch (error) {
      if (error instanceof DatabaseError) throw error;
      throw new NotSentError(`no session with ${endpoint.host}:${endpoint.port}`, {
        cause: giveUp.signal.aborted ? giveUp.signal.reason : error,
      });
    } finally {
      timer[Symbol.dispose]();
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** True when the session is outside any transaction, so that the next caller may have it. */
  get reusable(): boolean {
    return !this.#closed && this.#client.getTransactionStatus() === 'I';
  }

  /**
   * Rejects with the server's DatabaseError, with InterruptedError, with the local error of parameters that cannot be sent
   * (`closed` stays false), or with whatever ended the session (`closed` is true).
   */
  query<R extends object>(statement: Statement, deadline: Deadline): Promise<QueryResult<R>> {
    return new Promise((resolve, reject) => {
      let interrupted = false;
      let grace: Disposable | undefined;
      const stop = deadline.onOver(() => {
        interrupted = true;
        grace = this.#options.clock.after(cancelGraceMs, () => this.close());
        this.#cancel();
      });
      const done: Done<R> = (error, result) => {
        stop();
        grace?.[Symbol.dispose]();
        // The cancel came too late, and may be on its way still: it must not hit the statement of the next caller.
        if (interrupted && !isCancelled(error)) this.close();
        // Answered after all, cancel or not: the answer counts.
        if (!error) return resolve(result);
        if (error instanceof DatabaseError && (error.severity === 'FATAL' || error.severity === 'PANIC'))
          this.close();
        if (!interrupted) return reject(error);
        reject(new InterruptedError(isCancelled(error), deadline.reason()));
      };
      // An object is copied by the driver, property by property, which takes longer than all that is done here.
      const { name, text, values, begin } = statement;
      if (begin !== undefined) this.#client.query(withBegin(begin, text, values ?? [], done));
      else if (name !== undefined) this.#client.query(statement, done);
      else if (values === undefined) this.#client.query(text, done);
      else this.#client.query(text, values, done);
    });
  }

  /** Ends the session at once. */
  close(): void {
    const wasClosed = this.#closed;
    this.#closed = true;
    // Not waiting: whoever had a statement running gets its error from the driver.
    void this.#client.end();
    if (!wasClosed) this.onClosed();
  }

  #cancel(): void {
    const { endpoint, dial, tls, clock } = this.#options;
    const key = cancelKey(this.#client);
    if (key === undefined) return this.close();
    cancelRunning({ endpoint, dial: dial ?? dialDirectly, tls, clock, key, timeoutMs: cancelGraceMs }).catch(
      () => this.close(),
    );
  }
}

const queryCanceled = '57014';

function isCancelled(error: Error | null): boolean {
  return error instanceof DatabaseError && error.code === queryCanceled;
}

/** The driver keeps what a cancel needs on the client, but does not declare it. */
function cancelKey(client: object): { readonly processId: number; readonly secret: number } | undefined {
  const { processID, secretKey }: { processID?: unknown; secretKey?: unknown } = client;
  return typeof processID === 'number' && typeof secretKey === 'number'
    ? { processId: processID, secret: secretKey }
    : undefined;
}
