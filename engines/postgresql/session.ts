/**
 * An administrative session with a shard's primary: SQL on one connection, and requests to the members' Patroni.
 */
import type { Client } from 'pg';
import type { Shard } from '#crds/api/shard.ts';
import type {
  AccessInput,
  Broadcast,
  ConnectTarget,
  MemberAddress,
  SchemaFile,
  ShardSession,
  ShardStatistics,
  SweepResult,
} from '#engines/engine.ts';
import { RestartError, SwitchoverError, UnreachableError } from '#engines/errors.ts';
import { createDatabase, ensureAccess } from './access.ts';
import { applySchema } from './apply-schema.ts';
import { administrative, connect, disconnect, sqlState } from './connection.ts';
import { roles, serverNames } from './names.ts';
import { namespaceOf } from './object.ts';
import { callPatroni, type RestAnswer } from './patroni-rest.ts';
import { settleRestored } from './recovery/settle-restored.ts';
import { applyBroadcast, broadcastsSince, referenceVersion } from './reference.ts';
import { statistics } from './statistics.ts';
import { sweep } from './sweep.ts';

/** SQLSTATE of a database that is not there. */
const INVALID_CATALOG_NAME = '3D000';

/** Schema files may build indexes for hours, but not hold up the application's queries behind their locks. */
const schemaSettings = { lock_timeout: '30s', client_connection_check_interval: '5s' } as const;

/** Opens the database, making it first where it is missing. Throws {@link UnreachableError}. */
export async function openSession(
  shard: Shard,
  target: ConnectTarget,
  signal: AbortSignal,
): Promise<ShardSession> {
  const serverName = serverNames(shard.metadata.name, namespaceOf(shard))[0] ?? shard.metadata.name;
  const opener = new Opener(shard, target, serverName, signal);
  return new PostgresSession(shard, target, serverName, signal, opener, await opener.administration());
}

class Opener {
  readonly #shard: Shard;
  readonly #target: ConnectTarget;
  readonly #serverName: string;
  readonly #signal: AbortSignal;

  constructor(shard: Shard, target: ConnectTarget, serverName: string, signal: AbortSignal) {
    this.#shard = shard;
    this.#target = target;
    this.#serverName = serverName;
    this.#signal = signal;
  }

  async administration(): Promise<Client> {
    const { database } = this.#shard.spec.engine;
    try {
      return await this.#connect(database);
    } catch (error) {
      if (!(error instanceof UnreachableError) || sqlState(error.cause) !== INVALID_CATALOG_NAME) throw error;
    }
    const other = await this.#connect('postgres');
    try {
      await createDatabase(other, database);
    } finally {
      await disconnect(other);
    }
    return this.#connect(database);
  }

  as(user: string, password: string): Promise<Client> {
    return this.#open(user, password, this.#shard.spec.engine.database, schemaSettings);
  }

  /** Another member than the primary. */
  replica({ host }: MemberAddress, signal: AbortSignal): Promise<Client> {
    const { passwords } = this.#target;
    const { database } = this.#shard.spec.engine;
    const until = AbortSignal.any([this.#signal, signal]);
    return this.#open(roles.superuser, passwords.superuser, database, administrative, host, until);
  }

  #connect(database: string): Promise<Client> {
    return this.#open(roles.superuser, this.#target.passwords.superuser, database, administrative);
  }

  #open(
    user: string,
    password: string,
    database: string,
    settings: Readonly<Record<string, string>>,
    host = this.#target.primary.host,
    signal = this.#signal,
  ): Promise<Client> {
    const { ca, ports } = this.#target;
    return connect(
      {
        host,
        ...(ports && { port: ports.sql }),
        serverName: this.#serverName,
        ca,
        user,
        password,
        database,
        settings,
      },
      signal,
    );
  }
}

class PostgresSession implements ShardSession {
  readonly #shard: Shard;
  readonly #target: ConnectTarget;
  readonly #serverName: string;
  readonly #signal: AbortSignal;
  readonly #opener: Opener;
  readonly #client: Client;

  constructor(
    shard: Shard,
    target: ConnectTarget,
    serverName: string,
    signal: AbortSignal,
    opener: Opener,
    client: Client,
  ) {
    this.#shard = shard;
    this.#target = target;
    this.#serverName = serverName;
    this.#signal = signal;
    this.#opener = opener;
    this.#client = client;
  }

  async ensureAccess(access: AccessInput): Promise<readonly string[]> {
    const settled = await settleRestored(this.#client, this.#shard, this.#target, this.#signal);
    return [...settled, ...(await ensureAccess(this.#client, access, this.#shard.spec.ordinal === 0))];
  }

  async applySchema(files: readonly SchemaFile[]): Promise<{ readonly applied: readonly string[] }> {
    return {
      applied: await applySchema(this.#client, files, (login, password) => this.#opener.as(login, password)),
    };
  }

  referenceVersion(): Promise<bigint> {
    return referenceVersion(this.#client);
  }

  broadcastsSince(version: bigint, limit: number): Promise<readonly Broadcast[]> {
    return broadcastsSince(this.#client, version, limit);
  }

  applyBroadcast(entry: Broadcast): Promise<void> {
    return applyBroadcast(this.#client, entry);
  }

  statistics(): Promise<ShardStatistics> {
    return statistics(this.#client);
  }

  sweep(replicas: readonly MemberAddress[]): Promise<SweepResult> {
    return sweep(this.#client, replicas, (replica, signal) => this.#opener.replica(replica, signal));
  }

  async restart(member: MemberAddress): Promise<void> {
    const { status, text } = await this.#rest(member, '/restart', {});
    if (status !== 200) throw new RestartError(`${member.name} did not restart (${status}): ${text}`);
  }

  async switchover(from: MemberAddress, to: string): Promise<void> {
    const { status, text } = await this.#rest(from, '/switchover', { leader: from.name, candidate: to });
    if (status !== 200) throw new SwitchoverError(`no switchover to ${to} (${status}): ${text}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await disconnect(this.#client);
  }

  #rest(member: MemberAddress, path: string, body: Readonly<Record<string, unknown>>): Promise<RestAnswer> {
    const { ca, passwords, ports } = this.#target;
    return callPatroni(
      {
        host: member.host,
        ...(ports && { port: ports.rest }),
        serverName: this.#serverName,
        ca,
        password: passwords.rest,
      },
      path,
      body,
      this.#signal,
    );
  }
}
