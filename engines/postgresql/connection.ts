/** One connection to a member: TLS checked against the fleet's authority, deadlines on the server's side too. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import { UnreachableError } from '#engines/errors.ts';
import { ports } from './names.ts';

export interface ConnectionTarget {
  readonly host: string;
  readonly port?: number;
  readonly serverName: string;
  readonly ca: string;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Settings for the whole session. */
  readonly settings?: Readonly<Record<string, string>>;
  /** It takes commands of the replication protocol too. */
  readonly replication?: boolean;
}

/** Statements of the operator's own are short; one that waits for a lock must not hold a reconcile for ever. */
export const administrative: Readonly<Record<string, string>> = {
  statement_timeout: '60s',
  lock_timeout: '5s',
  idle_in_transaction_session_timeout: '60s',
  // Statements can carry verifiers, which are no business of a log.
  log_min_error_statement: 'panic',
  client_connection_check_interval: '5s',
  search_path: 'pg_catalog',
};

/**
 * Throws {@link UnreachableError}. When the signal aborts, the connection is cut and what runs on it fails.
 */
export async function connect(target: ConnectionTarget, signal: AbortSignal): Promise<Client> {
  signal.throwIfAborted();
  const options = Object.entries(target.settings ?? {}).map(([name, value]) => `-c ${name}=${value}`);
  const config: ClientConfig & { replication?: string } = {
    host: target.host,
    port: target.port ?? ports.postgresql,
    user: target.user,
    password: target.password,
    database: target.database,
    options: options.join(' '),
    application_name: 'shardwright',
    connectionTimeoutMillis: 5000,
    // A connection that died in silence is noticed.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    ssl: { ca: target.ca, servername: target.serverName, minVersion: 'TLSv1.2' },
    ...(target.replication && { replication: 'database' }),
  };
  const client = new Client(config);
  // A lost connection is reported by the query that it breaks; without a listener it would end the process.
  client.on('error', () => undefined);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  aborted.catch(() => undefined);
  const cut = () => {
    // The driver never answers a connect() that end() came upon.
    reject(new Error('given up', { cause: signal.reason }));
    void client.end().catch(() => undefined);
  };
  signal.addEventListener('abort', cut, { once: true });
  client.once('end', () => signal.removeEventListener('abort', cut));
  try {
    await Promise.race([client.connect(), aborted]);
    return client;
  } catch (cause) {
    signal.removeEventListener('abort', cut);
    cut();
    throw new UnreachableError(
      `cannot open a session with ${target.serverName} at ${target.host}: ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** A server that does not take leave is left. */
const FAREWELL_MS = 5000;

/** Ends a connection; resolves in any case, soon. */
export async function disconnect(client: Client): Promise<void> {
  const farewell = client.end().catch(() => undefined);
  await Promise.race([farewell, sleep(FAREWELL_MS, undefined, { ref: false })]);
}

/** SQLSTATE of an error that the server sent. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Commits what `work` did, or nothing of it. */
export async function transaction<T>(client: Client, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
