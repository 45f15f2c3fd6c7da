/** Inserts one row and says on which timeline the server did it; in the two ways that applications connect. */
import { Client, type ClientBase, type ClientConfig, Pool, type PoolClient, type PoolConfig } from 'pg';
import type { ProbeConfig } from './records.ts';

export interface Inserter {
  /** Resolves to the timeline when the insert is acknowledged; rejects when it failed or its outcome is unknown. */
  insert(id: number): Promise<number>;
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
  const insertSql = `INSERT INTO ${config.table} (id, run) VALUES ($1, $2) RETURNING ${timelineSql} AS timeline`;
  const insertOn = async (client: ClientBase, id: number): Promise<number> => {
    const result = await client.query<{ timeline: number }>(insertSql, [id, config.run]);
    const timeline = result.rows[0]?.timeline;
    if (timeline === undefined) throw new Error('the server returned no row');
    return timeline;
  };
  return config.mode === 'connect' ? connecting(options, insertOn) : pooled(options, insertOn);
}

type InsertOn = (client: ClientBase, id: number) => Promise<number>;

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
