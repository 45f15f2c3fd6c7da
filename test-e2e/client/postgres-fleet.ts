/**
 * A fleet without Kubernetes: a plain PostgreSQL in a container per shard, and the map service in this process. For what the
 * client library does when servers, sessions and maps come and go at the worst moment, which takes exact timing.
 */
import { setTimeout } from 'node:timers/promises';
import { Client as PgClient } from 'pg';
import type { Client } from '#client/client.ts';
import { createClient } from '#client/create-client.ts';
import { dialDirectly } from '#client/dial.ts';
import type { ClientOptions } from '#client/options.ts';
import { createAuthority, issueCertificate, type KeyPair } from '#controllers/pki/authority.ts';
import { schemaScript } from '#engines/postgresql/schema-sql.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { run } from '#hack/run.ts';
import { sameToken } from '#operator/map-service/map-pages.ts';
import { type MapService, startMapService } from '#operator/map-service/server.ts';
import { MemoryMapPages } from '#operator/map-service/testing/memory-map-pages.ts';
import { createMap } from '#sharding/create-map.ts';
import { writeHost } from '#sharding/endpoints.ts';
import type { ShardMap } from '#sharding/map.ts';
import { portOf, type Server, startPooler, startServer } from './postgres-server.ts';

const namespace = 'team';
const cluster = 'social';
export const password = 'only-for-this-test';
const token = 'map-token-of-this-test';

export class PostgresFleet implements AsyncDisposable {
  readonly ca: string;
  readonly store: MemoryMapPages;
  #map: ShardMap;
  #service: MapService;
  readonly #tls: KeyPair;
  readonly #servers: Map<string, Server>;

  private constructor(
    authority: KeyPair,
    tls: KeyPair,
    servers: Map<string, Server>,
    store: MemoryMapPages,
    service: MapService,
    map: ShardMap,
  ) {
    this.store = store;
    this.ca = authority.certificate;
    this.#tls = tls;
    this.#servers = servers;
    this.#service = service;
    this.#map = map;
  }

  static async start(shards: number): Promise<PostgresFleet> {
    const names = Array.from({ length: shards }, (_, ordinal) => `${cluster}-${ordinal}`);
    const now = new Date();
    const authority = await createAuthority('client test', now);
    const hosts = names.flatMap(name => [`${name}.${namespace}.svc`, `${name}-ro.${namespace}.svc`]);
    const tls = await issueCertificate(authority, ['localhost', ...hosts], now);
    const postgres = await ensurePostgresImage();
    const servers = new Map(
      await Promise.all(names.map(async name => [name, await startServer(postgres, tls, password)] as const)),
    );
    const map = createMap({
      namespace,
      cluster,
      keyType: 'bigint',
      slots: 256,
      tables: [
        { name: 'items', key: 'id' },
        { name: 'countries', reference: true },
      ],
      shards: names.map((name, ordinal) => ({ name, ordinal })),
      layout: { algorithm: 'hash', assignment: { strategy: 'even' } },
    });
    const store = new MemoryMapPages();
    store.setMap(map);
    const fleet = new PostgresFleet(authority, tls, servers, store, await serve(store, tls), map);
    for (const [at, name] of names.entries()) await fleet.sql(name, setup(at === 0));
    return fleet;
  }

  get map(): ShardMap {
    return this.#map;
  }

  publish(map: ShardMap): void {
    this.#map = map;
    this.store.setMap(map);
  }

  async startService(): Promise<void> {
    this.#service = await serve(this.store, this.#tls);
  }

  stopService(): Promise<void> {
    return this.#service.close();
  }

  client(options: Partial<ClientOptions> = {}): Client {
    return createClient({
      map: { url: `https://localhost/v1/maps/${namespace}/${cluster}`, token },
      database: 'postgres',
      credentials: { password, referencePassword: password, ca: this.ca },
      dial: (endpoint, signal) =>
        dialDirectly({ host: '127.0.0.1', port: this.portOf(endpoint.host) }, signal),
      ...options,
    });
  }

  /** Its connections go through each shard's pooler, in transaction mode. */
  pooledClient(options: Partial<ClientOptions> = {}): Client {
    return this.client({
      dial: (endpoint, signal) => {
        const port =
          endpoint.host === 'localhost' ? this.#service.port : this.#serverOf(endpoint.host).poolerPort;
        return dialDirectly({ host: '127.0.0.1', port }, signal);
      },
      ...options,
    });
  }

  /** Starts a pooler in front of every shard. */
  async startPoolers(): Promise<void> {
    for (const { container } of this.#servers.values()) await startPooler(container);
  }

  addressOf(shard: string): { readonly host: string; readonly port: number } {
    return { host: '127.0.0.1', port: this.#server(shard).port };
  }

  get mapUrl(): string {
    return `https://localhost/v1/maps/${namespace}/${cluster}`;
  }

  get token(): string {
    return token;
  }

  /** Several statements as the superuser; the rows of the last one. */
  async sql(shard: string, text: string): Promise<readonly Record<string, unknown>[]> {
    const client = await this.superuser(shard);
    try {
      const result: unknown = await client.query(text);
      const last: unknown = Array.isArray(result) ? result.at(-1) : result;
      return typeof last === 'object' && last !== null && 'rows' in last && Array.isArray(last.rows)
        ? last.rows
        : [];
    } finally {
      await client.end();
    }
  }

  /** A session of the superuser's, also right after a start, when the server is still coming up. The caller ends it. */
  async superuser(shard: string): Promise<PgClient> {
    for (let tries = 0; ; tries++) {
      const client = new PgClient({
        host: 'localhost',
        port: this.#server(shard).port,
        user: 'postgres',
        password,
        ssl: { ca: this.ca },
      });
      try {
        await client.connect();
        return client;
      } catch (error) {
        if (tries === 100) throw error;
        await setTimeout(100);
      }
    }
  }

  /** What a cutover does on the shard that loses something: the old generation may nothing, its sessions end. */
  async fence(shard: string, generation: number): Promise<void> {
    await this.sql(
      shard,
      `CREATE ROLE app_g${generation + 1} LOGIN PASSWORD '${password}';
       GRANT ALL ON items TO app_g${generation + 1}; GRANT SELECT ON countries TO app_g${generation + 1};
       REVOKE ALL ON items, countries FROM app_g${generation};
       SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app_g${generation}'`,
    );
  }

  async stop(shard: string): Promise<void> {
    await run('docker', ['stop', '--time', '1', this.#server(shard).container]);
  }

  async restart(shard: string): Promise<void> {
    const server = this.#server(shard);
    await run('docker', ['start', server.container]);
    server.port = await portOf(server.container);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service.close();
    const containers = [...this.#servers.values()].map(server => server.container);
    await run('docker', ['rm', '--force', '--volumes', ...containers]);
  }

  /** On this machine: where the server behind a name inside the cluster listens. */
  portOf(host: string): number {
    return host === 'localhost' ? this.#service.port : this.#serverOf(host).port;
  }

  #serverOf(host: string): Server {
    for (const [name, server] of this.#servers) {
      if (host === writeHost(name, namespace) || host === `${name}-ro.${namespace}.svc`) return server;
    }
    throw new Error(`no server is called ${host}`);
  }

  #server(shard: string): Server {
    const server = this.#servers.get(shard);
    if (server === undefined) throw new Error(`no shard is called ${shard}`);
    return server;
  }
}

function serve(store: MemoryMapPages, tls: KeyPair): Promise<MapService> {
  return startMapService(
    {
      store,
      authorize: given => sameToken(given, token),
      tls: { cert: tls.certificate, key: tls.key },
      heartbeatMs: 1000,
    },
    0,
    '127.0.0.1',
  );
}

function setup(home: boolean): string {
  return `
    CREATE ROLE app_g1 LOGIN PASSWORD '${password}';
    CREATE ROLE app_ro_g1 LOGIN PASSWORD '${password}';
    CREATE TABLE items (id bigint PRIMARY KEY, note text);
    CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL, cities bigint);
    GRANT ALL ON items TO app_g1; GRANT SELECT ON items, countries TO app_g1, app_ro_g1;
    ${setupReference(home)}`;
}

/** The engine's own script for reference tables, with the rights that it gives to `app_ref`. */
function setupReference(home: boolean): string {
  return `
    CREATE ROLE shardwright_broadcast; CREATE ROLE pooler LOGIN; CREATE ROLE shardwright_owner;
    CREATE ROLE app_ref LOGIN PASSWORD '${password}';
    ${schemaScript}
    GRANT SELECT, INSERT, UPDATE, DELETE ON countries TO shardwright_broadcast;
    INSERT INTO shardwright.reference_table VALUES ('public.countries');
    UPDATE shardwright.reference_version SET home = ${home};
    GRANT USAGE ON SCHEMA shardwright TO app_ref;
    GRANT SELECT ON shardwright.broadcast TO app_ref;
    GRANT EXECUTE ON FUNCTION shardwright.reference_write(text, jsonb) TO app_ref;
    GRANT EXECUTE ON FUNCTION shardwright.reference_apply(bigint, text, jsonb) TO app_ref`;
}
