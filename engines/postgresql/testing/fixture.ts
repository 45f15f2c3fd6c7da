/** What the conformance suite wants to know of PostgreSQL. */
import { randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import type { ApplicationClient, RunningDatabase, SessionFixture } from '#engines/conformance.ts';
import { scramVerifier } from '#engines/scram.ts';
import { postgresql } from '../engine.ts';
import { roles } from '../names.ts';
import { connectTo, type PostgresContainer, startPostgres, targetOf } from './container.ts';
import { sampleShard } from './shard.ts';

/** `image`: resolves to the members' image, built when it is missing. */
export function postgresFixture(image: () => Promise<string>): SessionFixture {
  return {
    engine: postgresql,
    shard: sampleShard,
    start: async () => running(await startPostgres(await image(), postgresql.serverNames(sampleShard()))),
    verifier: password => scramVerifier(password, randomBytes(16)),
    messages: {
      refusedLogin: /password authentication failed|not permitted to log in/,
      ended: /terminat|not queryable/,
      denied: /permission denied/,
    },
    logins: roles,
    files: {
      tables: {
        name: '001-tables.sql',
        sql: `CREATE TABLE users (id bigint PRIMARY KEY, number serial);
CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);`,
      },
      broken: { name: '002-more.sql', sql: 'CREATE TABLE more (id bigint);\n\nSELECT nothing FROM more;' },
      corrected: { name: '002-more.sql', sql: 'CREATE TABLE more (id bigint);' },
    },
  };
}

function running(container: PostgresContainer): RunningDatabase {
  return {
    target: targetOf(container, 'social-0-0'),
    client: async (login, password) => {
      const client = connectTo(container, login, password);
      await client.connect();
      return applicationClient(client);
    },
    [Symbol.asyncDispose]: () => container[Symbol.asyncDispose](),
  };
}

function applicationClient(client: Client): ApplicationClient {
  return {
    addUser: async id => void (await client.query('INSERT INTO users (id) VALUES ($1)', [id])),
    countUsers: async () => {
      const { rows } = await client.query<{ count: string }>('SELECT count(*) FROM users');
      return Number(rows[0]?.count);
    },
    countryNames: async () => {
      const { rows } = await client.query<{ name: string }>('SELECT name FROM countries ORDER BY code');
      return rows.map(row => row.name);
    },
    addCountry: async code =>
      void (await client.query("INSERT INTO countries VALUES ($1, 'by hand')", [code])),
    broadcastCountry: async (code, name) => {
      const { rows } = await client.query<{ version: string }>(
        `SELECT version FROM shardwright.reference_write('countries', $1)`,
        [JSON.stringify({ upsert: [{ code, name }] })],
      );
      return BigInt(rows[0]?.version ?? 0);
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}
