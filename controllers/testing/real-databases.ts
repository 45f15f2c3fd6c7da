/**
 * Databases that are real, one PostgreSQL server for each of the shards `fleet-0` and `fleet-1`, while their members are not: the
 * engine's sessions are led to these servers instead of the pods that the world simulates.
 */
import { Client } from 'pg';
import type { ConnectTarget, Engine } from '#engines/engine.ts';
import type { OpenTransfer, TransferEnd, TransferSession } from '#engines/migration.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import { serverNames } from '#engines/postgresql/names.ts';
import { type PostgresContainer, startPostgres, targetOf } from '#engines/postgresql/testing/container.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';

export class RealDatabases implements AsyncDisposable {
  readonly #servers: ReadonlyMap<string, PostgresContainer>;
  readonly #trusted: ReadonlyMap<string, string>;
  readonly #clients: Client[] = [];
  readonly #names: (shard: string) => readonly string[];
  /** Called before and after each verb of a transfer; throws to end the operator there. */
  onVerb: (verb: string) => void = () => undefined;

  private constructor(
    servers: ReadonlyMap<string, PostgresContainer>,
    trusted: ReadonlyMap<string, string>,
    names: (shard: string) => readonly string[],
  ) {
    this.#servers = servers;
    this.#trusted = trusted;
    this.#names = names;
  }

  static async start(namespace: string): Promise<RealDatabases> {
    const image = await ensurePostgresImage();
    const names = (shard: string) => serverNames(shard, namespace);
    const settings = {
      max_worker_processes: '24',
      max_logical_replication_workers: '12',
      wal_receiver_status_interval: '2s',
      wal_retrieve_retry_interval: '500ms',
    };
    const start = (shard: string) => startPostgres(image, names(shard), settings);
    const [a, b] = await Promise.all([start('fleet-0'), start('fleet-1')]);
    const [atB, atA] = await Promise.all([b.trust(a.ca), a.trust(b.ca)]);
    return new RealDatabases(
      new Map([
        ['fleet-0', a],
        ['fleet-1', b],
      ]),
      new Map([
        ['fleet-0', atB],
        ['fleet-1', atA],
      ]),
      names,
    );
  }

  engine(): Engine {
    return {
      ...postgresql,
      connect: (shard, target, signal) =>
        postgresql.connect(shard, this.#lead(shard.metadata.name, target), signal),
      openTransfer: this.#openTransfer,
    };
  }

  /** The superuser's connection with the fleet's database of a shard. */
  async client(shard: string, database = 'app'): Promise<Client> {
    const { host, port, ca, superuserPassword } = this.#server(shard);
    const client = new Client({
      host,
      port,
      user: 'postgres',
      password: superuserPassword,
      database,
      ssl: { ca, servername: this.#names(shard)[0] ?? shard },
    });
    client.on('error', () => undefined);
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map(client => client.end().catch(() => undefined)));
    await Promise.all(this.#servers.values().map(server => server[Symbol.asyncDispose]()));
  }

  readonly #openTransfer: OpenTransfer = async (transfer, { source, target }, signal) => {
    if (!postgresql.openTransfer) throw new Error('the engine cannot move data');
    const session = await postgresql.openTransfer(
      transfer,
      { ...(source && { source: this.#end(source) }), ...(target && { target: this.#end(target) }) },
      signal,
    );
    return watched(session, verb => this.onVerb(verb));
  };

  #end(end: TransferEnd): TransferEnd {
    const { name } = end.shard.metadata;
    return {
      shard: end.shard,
      target: this.#lead(name, end.target),
      // There are none, whatever the pods say.
      standbys: [],
      peer: { host: this.#server(name).address, port: 5432, rootCertificate: this.#trusted.get(name) ?? '' },
    };
  }

  #lead(shard: string, { primary }: ConnectTarget): ConnectTarget {
    return targetOf(this.#server(shard), primary.name);
  }

  #server(shard: string): PostgresContainer {
    const server = this.#servers.get(shard);
    if (!server) throw new Error(`no server for ${shard}`);
    return server;
  }
}

function watched(session: TransferSession, tell: (verb: string) => void): TransferSession {
  const around = async <T>(verb: string, act: () => Promise<T>): Promise<T> => {
    tell(`before ${verb}`);
    const result = await act();
    tell(`after ${verb}`);
    return result;
  };
  return {
    observe: () => session.observe(),
    preflight: () => around('preflight', () => session.preflight()),
    prepare: () => around('prepare', () => session.prepare()),
    startForward: () => around('startForward', () => session.startForward()),
    dropForward: () => around('dropForward', () => session.dropForward()),
    startBack: () => around('startBack', () => session.startBack()),
    verify: (stream, mode) => around('verify', () => session.verify(stream, mode)),
    openReaders: change => around('openReaders', () => session.openReaders(change)),
    closeReaders: change => around('closeReaders', () => session.closeReaders(change)),
    fence: (change, limits, notice) => around('fence', () => session.fence(change, limits, notice)),
    closeSuperseded: () => around('closeSuperseded', () => session.closeSuperseded()),
    cleanUp: loser => around('cleanUp', () => session.cleanUp(loser)),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
