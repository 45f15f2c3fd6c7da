/**
 * Two databases of one server with PostgreSQL's own replication between them: cheaper than two servers for whatever does not
 * ask where a database is. Subscriptions are made by hand here, without what a transfer makes around them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { End } from '#engines/migration.ts';
import { administrative } from '#engines/postgresql/connection.ts';
import type { Ends, OpenEnd } from '#engines/postgresql/migration/ends.ts';
import { roles } from '#engines/postgresql/names.ts';
import { broadcastRole, schemaLogin, schemaScript } from '#engines/postgresql/schema-sql.ts';
import { type PostgresContainer, startPostgres, targetOf } from '#engines/postgresql/testing/container.ts';
import { sampleShard } from '#engines/postgresql/testing/shard.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';

const serverNames = ['social-0.fleet.svc'];

export interface TwoDatabases extends AsyncDisposable {
  readonly ends: Ends;
  readonly source: Client;
  readonly target: Client;
  readonly container: PostgresContainer;
  readonly sleep: (ms: number) => Promise<void>;
  connect(end: End, settings?: Readonly<Record<string, string>>): Promise<Client>;
  /** The publication and subscription `<leader>_to_<follower>` of these tables, rows being there already. */
  replicate(leader: End, follower: End, tables: readonly string[], filter?: string): Promise<void>;
}

/** What the operator's own script takes for granted. */
const baseRoles = [roles.owner, roles.pooler, broadcastRole, schemaLogin]
  .map(role => `CREATE ROLE ${role}`)
  .join('; ');

/** `schema`: run in both, as the owner. `spec`: of both Shards. */
export async function startTwoDatabases(
  schema: string,
  spec: Readonly<Record<string, unknown>> = {},
): Promise<TwoDatabases> {
  const container = await startPostgres(await ensurePostgresImage(), serverNames);
  const clients: Client[] = [];
  const connect = async (database: string, settings: Readonly<Record<string, string>> = {}) => {
    const client = new Client({
      host: container.host,
      port: container.port,
      user: 'postgres',
      password: container.superuserPassword,
      database,
      options: Object.entries(settings)
        .map(([name, value]) => `-c ${name}=${value}`)
        .join(' '),
      ssl: { ca: container.ca, servername: 'social-0.fleet.svc' },
    });
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  };
  const admin = await connect('postgres');
  await admin.query(baseRoles);
  const openEnd = async (end: End): Promise<OpenEnd> => {
    await admin.query(`CREATE DATABASE ${end} OWNER ${roles.owner}`);
    const shard = sampleShard(spec, { name: end === 'source' ? 'social-0' : 'social-1' });
    const open = (settings?: Readonly<Record<string, string>>) =>
      connect(end, { ...administrative, ...settings });
    const target = targetOf(container, `${shard.metadata.name}-0`);
    const client = await open();
    await client.query(
      `SET search_path = public; SET ROLE ${roles.owner}; ${schema}; RESET ROLE; SET search_path = pg_catalog; ${schemaScript}`,
    );
    return {
      end,
      shard,
      given: { shard, target, standbys: [] },
      serverName: 'social-0.fleet.svc',
      client,
      open,
      openReplication: () => Promise.reject(new Error('not here')),
    };
  };
  try {
    const ends = { source: await openEnd('source'), target: await openEnd('target') };
    const [source, target] = [await connect('source'), await connect('target')];
    return {
      ends,
      source,
      target,
      container,
      connect,
      sleep: ms => sleep(ms),
      replicate: async (leader, follower, tables, filter) => {
        const name = `${leader}_to_${follower}`;
        const where = filter ? ` WHERE (${filter})` : '';
        const at = { source, target };
        await at[leader].query(
          `CREATE PUBLICATION ${name} FOR TABLE shardwright.marker, ${tables.map(table => table + where).join(', ')}
           WITH (publish = 'insert, update, delete', publish_via_partition_root = true)`,
        );
        await at[leader].query(`SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`);
        await at[follower].query(
          `CREATE SUBSCRIPTION ${name} CONNECTION 'host=/tmp user=postgres dbname=${leader}' PUBLICATION ${name}
           WITH (create_slot = false, slot_name = '${name}', copy_data = false, origin = none, synchronous_commit = on)`,
        );
      },
      [Symbol.asyncDispose]: async () => {
        await Promise.all(clients.map(client => client.end().catch(() => undefined)));
        await container[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await container[Symbol.asyncDispose]();
    throw error;
  }
}
