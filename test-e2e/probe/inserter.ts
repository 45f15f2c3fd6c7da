/** Inserts one row and says which server did it, on which timeline; in the two ways that applications connect. */
import { Client, type ClientBase, type ClientConfig, Pool, type PoolClient, type PoolConfig } from 'pg';
import type { Acknowledged, ProbeConfig } from './records.ts';

export type Inserted = Pick<Acknowledged, 'timeline' | 'serverStartedMs'>;

export interface Inserter {
  /** Resolves when the insert is acknowledged; rejects when it failed or its outcome is unknown. */
  insert(id: number): Promise<Inserted>;
  query(sql: string, values: readonly unknown[]): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

export interface Access {
  readonly password: string;
  /** PEM. Needed with `serverName`. */
  readonly ca: string | undefined;
}

/** The name of the segment begins with the timeline; pg_control shows it only at the checkpoint after a promotion. */
const timelineSql = `('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int`;
const startedSql = 'floor(extract(epoch FROM pg_postmaster_start_time()) * 1000)::float8';

export function createInserter(config: ProbeConfig, access: Access): Inserter {
  const options: PoolConfig = {
    host: config.host,
    port: config.port,
    database: config.database,
    user: config.user,
    password: access.password,
    connectionTimeoutMillis: config.timeoutMs,
    query_timeout: config.timeoutMs,
    ...(config.serverName ? { ssl: { ca: access.ca, servername: config.serverName } } : {}),
  };
  const insertSql = `INSERT INTO ${config.table} (id, run) VALUES ($1, $2)
    RETURNING ${timelineSql} AS timeline, ${startedSql} AS "serverStartedMs"`;
  const insertOn = async (client: ClientBase, id: number): Promise<Inserted> => {
    const result = await client.query<Inserted>(insertSql, [id, config.run]);
    const [inserted] = result.rows;
    if (inserted === undefined) throw new Error('the server returned no row');
    return inserted;
  };
  return config.mode === 'connect' ? connecting(options, insertOn) : pooled(options, insertOn);
}

type InsertOn = (client: ClientBase, id: number) => Promise<Inserted>;

function connecting(options: ClientConfig, insertOn: InsertOn): Inserter {
  const using = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
    const client = new Client(options);
    // A connection that breaks while idle or closing says so here; the statement under way rejects by itself.
    client.on('error', () => undefined);
    try {
      await client.connect();
      return await work(client);
    } finally {
      // Closing a connection to a frozen server never ends, and nobody needs to wait for it.
      client.end().catch(() => undefined);
    }
  };
  return {
    insert: id => using(client => insertOn(client, id)),
    query: (sql, values) => using(async client => (await client.query(sql, [...values])).rows),
    close: () => Promise.resolve(),
  };
}

function pooled(options: PoolConfig, insertOn: InsertOn): Inserter {
  const pool = new Pool({ ...options, max: 2, idleTimeoutMillis: 0 });
  pool.on('error', () => undefined);
  // The same of one that is in use: the statement under way rejects by itself, and between two there is none.
  pool.on('connect', client => client.on('error', () => undefined));
  const using = async <T>(work: (client: PoolClient) => Promise<T>): Promise<T> => {
    const client = await pool.connect();
    try {
      const result = await work(client);
      client.release();
      return result;
    } catch (error) {
      // After a time-out the answer of the old statement may still come: the connection is of no use.
      client.release(true);
      throw error;
    }
  };
  return {
    insert: id => using(client => insertOn(client, id)),
    query: (sql, values) => using(async client => (await client.query(sql, [...values])).rows),
    close: () => pool.end(),
  };
}
