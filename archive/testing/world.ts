/** A shard's database and an object store, both real, for tests of the archive. */
import { Client } from 'pg';
import type { AccessInput } from '#engines/engine.ts';
import {
  type ObjectStore as RealStore,
  startObjectStore,
} from '#engines/postgresql/backup/testing/object-store.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import {
  connectTo,
  type PostgresContainer,
  startPostgres,
  targetOf,
} from '#engines/postgresql/testing/container.ts';
import { sampleShard } from '#engines/postgresql/testing/shard.ts';
import { scramVerifier } from '#engines/scram.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { ensureTool } from '#hack/tools.ts';
import type { ArchiveOutcome } from '../outcome.ts';
import { archive } from '../run/archive.ts';
import { type Hooks, realHooks } from '../run/hooks.ts';
import { type Limits, realLimits } from '../run/limits.ts';
import { openSessions } from '../run/sessions.ts';
import type { ArchiveTable } from '../settings.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { S3Store } from '../store/s3-store.ts';
import { MemoryStore } from './memory-store.ts';

const shard = sampleShard();
const verifier = scramVerifier('app-secret', Buffer.from('0123456789abcdef'));

export interface RunOptions {
  readonly deleteAfter?: boolean;
  readonly limits?: Partial<Limits>;
  readonly hooks?: Partial<Hooks>;
  readonly store?: ObjectStore;
}

/** Small enough for several files of several row groups, with little data. */
export const smallLimits: Limits = { ...realLimits, fileRows: 40, groupRows: 16, deleteRows: 7 };

export const path = 'backups/fleet/social/0a1b2c3d';

export class World implements AsyncDisposable {
  readonly container: PostgresContainer;
  /** Superuser. */
  readonly admin: Client;
  store: ObjectStore = new MemoryStore();
  #real: RealStore | undefined;

  private constructor(container: PostgresContainer, admin: Client) {
    this.container = container;
    this.admin = admin;
  }

  /** `tables`: a schema file, applied as the owner of an application's tables. */
  static async start(tables: string, references: readonly string[] = []): Promise<World> {
    const container = await startPostgres(await ensurePostgresImage(), postgresql.serverNames(shard));
    const access: AccessInput = {
      generation: 1,
      readerGeneration: 1,
      state: 'active',
      partition: { kind: 'slots', slots: 256, ranges: [] },
      tables: references.map(name => ({ name, reference: true })),
      verifier,
      referenceVerifier: verifier,
      stableLogin: false,
    };
    const session = await postgresql.connect(
      shard,
      targetOf(container, 'social-0-0'),
      AbortSignal.timeout(120_000),
    );
    await session.ensureAccess(access);
    await session.applySchema([{ name: '1.sql', sql: tables }]);
    await session.ensureAccess(access);
    await session[Symbol.asyncDispose]();
    const admin = connectTo(container, 'postgres', container.superuserPassword);
    await admin.connect();
    await admin.query("SET timezone = 'UTC'");
    return new World(container, admin);
  }

  /** From now on files go to a real object store. */
  async useRealStore(): Promise<RealStore> {
    const real = await startObjectStore({ program: await ensureTool('versitygw') });
    this.#real = real;
    this.store = new S3Store({
      endpoint: real.endpoint,
      bucket: real.bucket,
      region: real.region,
      ca: real.ca,
      ...real.credentials,
    });
    return real;
  }

  get target() {
    const { host, port, ca, superuserPassword } = this.container;
    return { host, port, ca, superuserPassword, serverName: 'social-0.fleet.svc', name: 'social' };
  }

  /** A run with connections of its own, which are gone afterwards. */
  async run(tables: readonly ArchiveTable[], options: RunOptions = {}): Promise<ArchiveOutcome> {
    const { signal } = new AbortController();
    await using sessions = await openSessions(this.target, signal);
    return await archive(
      {
        sessions,
        store: options.store ?? this.store,
        path,
        shard: 'social-0',
        deleteAfter: options.deleteAfter ?? false,
        limits: { ...smallLimits, ...options.limits },
        hooks: { ...realHooks, pause: () => Promise.resolve(), ...options.hooks },
        signal,
      },
      tables,
    );
  }

  /** Another superuser; the caller's to end. */
  async connect(): Promise<Client> {
    const client = connectTo(this.container, 'postgres', this.container.superuserPassword);
    await client.connect();
    return client;
  }

  async rows(sql: string, values: readonly unknown[] = []): Promise<readonly Record<string, unknown>[]> {
    return (await this.admin.query<Record<string, unknown>>(sql, [...values])).rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.admin.end();
    await this.container[Symbol.asyncDispose]();
    await this.#real?.[Symbol.asyncDispose]();
  }
}
