/**
 * Two shards of one fleet as two PostgreSQL servers that reach each other over TLS, their logins made sure of and their tables
 * there; and what of the map a transfer's story needs: who owns the partition, and the generations in force.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { AccessInput, ShardSession } from '#engines/engine.ts';
import type { End, Switch, Transfer, TransferEnd, TransferSession } from '#engines/migration.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import { type Hooks, realHooks } from '#engines/postgresql/migration/hooks.ts';
import { openTransferWith } from '#engines/postgresql/migration/session.ts';
import {
  connectTo,
  type PostgresContainer,
  startPostgres,
  targetOf,
} from '#engines/postgresql/testing/container.ts';
import { sampleShard } from '#engines/postgresql/testing/shard.ts';
import { scramVerifier } from '#engines/scram.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import type { Partition } from '#sharding/partition.ts';

const password = 'app-secret';
const verifier = scramVerifier(password, Buffer.from('0123456789abcdef'));
export const ends: readonly End[] = ['source', 'target'];

const shardOf = (end: End) => (end === 'source' ? 'social-0' : 'social-1');
const serverOf = (end: End) => `${shardOf(end)}.fleet.svc`;

export interface Sharding {
  readonly algorithm?: string;
  readonly keyType?: 'bigint' | 'text' | 'uuid';
  readonly geoColumn?: string;
  readonly tables: readonly { readonly name: string; readonly key?: string; readonly reference?: boolean }[];
}

/** Generations in force, as the map has them. */
export interface Generations {
  write: number;
  read: number;
}

export interface Side {
  readonly container: PostgresContainer;
  readonly admin: Client;
  generations: Generations;
  partition: Partition;
}

export class Pair implements AsyncDisposable {
  readonly source: Side;
  readonly target: Side;
  readonly #sharding: Sharding;
  readonly #peers: Readonly<Record<End, NonNullable<TransferEnd['peer']>>>;
  readonly #clients = new Set<Client>();
  /** Replicas of the source that are said to be ready. */
  standbys: readonly string[] = [];
  /** Who owns the partition by the map. */
  owner: { write: End; read: End } = { write: 'source', read: 'source' };

  private constructor(
    source: Side,
    target: Side,
    sharding: Sharding,
    peers: Readonly<Record<End, NonNullable<TransferEnd['peer']>>>,
  ) {
    this.source = source;
    this.target = target;
    this.#sharding = sharding;
    this.#peers = peers;
  }

  /** `schema` is applied at both ends. `owned`: what each owns at first. */
  static async start(
    schema: string,
    sharding: Sharding,
    owned: Readonly<Record<End, Partition>>,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<Pair> {
    const image = await ensurePostgresImage();
    const start = (end: End) =>
      startPostgres(image, [serverOf(end)], {
        max_worker_processes: '24',
        max_logical_replication_workers: '12',
        wal_receiver_status_interval: '2s',
        wal_retrieve_retry_interval: '500ms',
        max_connections: '200',
        ...settings,
      });
    const [a, b] = await Promise.all([start('source'), start('target')]);
    const [trustedByB, trustedByA] = await Promise.all([b.trust(a.ca), a.trust(b.ca)]);
    const side = (container: PostgresContainer, end: End): Side => ({
      container,
      admin: connectTo(container, 'postgres', container.superuserPassword, serverOf(end)),
      generations: { write: 1, read: 1 },
      partition: owned[end],
    });
    const pair = new Pair(side(a, 'source'), side(b, 'target'), sharding, {
      source: { host: a.address, port: 5432, rootCertificate: trustedByB },
      target: { host: b.address, port: 5432, rootCertificate: trustedByA },
    });
    try {
      for (const end of ends) {
        await using session = await pair.session(end);
        await session.ensureAccess(pair.access(end));
        await session.applySchema([{ name: '1.sql', sql: schema }]);
        await session.ensureAccess(pair.access(end));
        await pair[end].admin.connect();
      }
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
    return pair;
  }

  shard(end: End) {
    const { generations, partition } = this[end];
    const { algorithm = 'hash', keyType = 'bigint', geoColumn, tables } = this.#sharding;
    return sampleShard(
      {
        generation: generations.write,
        readerGeneration: generations.read,
        sharding: {
          algorithm,
          keyType,
          slots: 256,
          tables,
          partition,
          ...(geoColumn !== undefined && { geoColumn }),
        },
      },
      { name: shardOf(end) },
    );
  }

  access(end: End): AccessInput {
    const { generations, partition } = this[end];
    return {
      generation: generations.write,
      readerGeneration: generations.read,
      state: 'active',
      partition,
      tables: this.#sharding.tables.map(({ name, reference }) => ({ name, reference: reference ?? false })),
      verifier,
      referenceVerifier: verifier,
      stableLogin: false,
    };
  }

  /** What the shard controller does when the map has changed. */
  async ensureAccess(end: End): Promise<readonly string[]> {
    await using session = await this.session(end);
    return await session.ensureAccess(this.access(end));
  }

  session(end: End): Promise<ShardSession> {
    return postgresql.connect(
      this.shard(end),
      targetOf(this[end].container, `${end}-0`),
      AbortSignal.timeout(60_000),
    );
  }

  transferEnd(end: End): TransferEnd {
    return {
      shard: this.shard(end),
      target: targetOf(this[end].container, `${end}-0`),
      standbys: end === 'source' ? this.standbys : [],
      peer: this.#peers[end],
    };
  }

  open(transfer: Transfer, hooks: Partial<Hooks> = {}): Promise<TransferSession> {
    return openTransferWith(
      transfer,
      { source: this.transferEnd('source'), target: this.transferEnd('target') },
      AbortSignal.timeout(300_000),
      { ...realHooks, ...hooks },
    );
  }

  /** A session after the other end's shard was deleted. */
  openAlone(transfer: Transfer, end: End): Promise<TransferSession> {
    return openTransferWith(
      transfer,
      { [end]: this.transferEnd(end) },
      AbortSignal.timeout(60_000),
      realHooks,
    );
  }

  /** The next generations, as the map would number them. */
  switchTo(side: 'read' | 'write', to: End): Switch {
    const next = (end: End) => {
      const from = this[end].generations[side];
      return { from, to: from + 1 };
    };
    return { side, to, generations: { source: next('source'), target: next('target') } };
  }

  /** The map names the new owner and generations from here on. */
  publish(change: Switch): void {
    this.owner = { ...this.owner, [change.side]: change.to };
    for (const end of ends)
      this[end].generations = { ...this[end].generations, [change.side]: change.generations[end].to };
  }

  /** A client of the application. Connected. */
  client(end: End, login: string): Promise<Client> {
    return this.#connect(end, login, password);
  }

  /** Another one like `admin`. Connected. */
  superuser(end: End): Promise<Client> {
    return this.#connect(end, 'postgres', this[end].container.superuserPassword);
  }

  async #connect(end: End, login: string, secret: string): Promise<Client> {
    const client = connectTo(this[end].container, login, secret, serverOf(end));
    await client.connect();
    this.#clients.add(client);
    client.once('end', () => this.#clients.delete(client));
    return client;
  }

  writer(end: End): Promise<Client> {
    return this.client(end, `app_g${this[end].generations.write}`);
  }

  reader(end: End): Promise<Client> {
    return this.client(end, `app_ro_g${this[end].generations.read}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = [...this.#clients, this.source.admin, this.target.admin];
    await Promise.all(clients.map(client => client.end().catch(() => undefined)));
    await Promise.all(ends.map(end => this[end].container[Symbol.asyncDispose]()));
  }
}

/** Polls until the facts are as wanted; fails loudly after half a minute. */
export async function until<T>(
  what: string,
  look: () => Promise<T>,
  wanted: (found: T) => boolean,
): Promise<T> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const found = await look();
    if (wanted(found)) return found;
    if (performance.now() > deadline) throw new Error(`not ${what}: ${JSON.stringify(found)}`);
    await sleep(20);
  }
}

/** One value of the first row. */
export async function value(client: Client, sql: string, parameters: unknown[] = []): Promise<unknown> {
  const { rows } = await client.query<Record<string, unknown>>(sql, parameters);
  return Object.values(rows[0] ?? {})[0];
}
