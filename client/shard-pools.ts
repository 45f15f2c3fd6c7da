/**
 * A pool for each login that is in use on each shard. A login carries its shard's generation, so a newer generation is a new
 * pool; the old one finishes what it runs and goes away.
 */
import { DatabaseError } from 'pg';
import { poolerPort, readHost, readLogin, writeHost, writeLogin } from '#sharding/endpoints.ts';
import type { ShardMap } from '#sharding/map.ts';
import type { Clock } from './clock.ts';
import { Connection } from './connection.ts';
import type { CredentialStore } from './credentials.ts';
import { ConfigurationError } from './errors.ts';
import type { ClientHooks } from './hooks.ts';
import type { ClientOptions, Credentials, Endpoint } from './options.ts';
import { Pool } from './pool.ts';

/**
 * `write` and `read` are the application's logins on primary and replicas; `fallback` is the reader's login on the primary,
 * for shards that have no replica at the time; `reference` writes reference tables.
 */
export type Access = 'write' | 'read' | 'fallback' | 'reference';

export interface Target {
  readonly shard: string;
  readonly access: Access;
  /** Of the login; reference logins have none. */
  readonly generation: number;
}

export interface ShardPoolsOptions {
  readonly database: string;
  readonly credentials: CredentialStore;
  readonly dial: ClientOptions['dial'];
  readonly tls: boolean;
  readonly endpoint: ClientOptions['endpoint'];
  readonly applicationName: string;
  readonly max: number;
  readonly idleMs: number;
  readonly connectMs: number;
  readonly hooks: ClientHooks;
  readonly clock: Clock;
  readonly backgroundClock: Clock;
}

interface Slot {
  readonly generation: number;
  readonly pool: Pool<Connection>;
}

const referenceLogin = 'app_ref';
const invalidPassword = '28P01';

export class ShardPools {
  readonly #options: ShardPoolsOptions;
  readonly #pools: Readonly<Record<Access, Map<string, Slot>>> = {
    write: new Map(),
    read: new Map(),
    fallback: new Map(),
    reference: new Map(),
  };
  readonly #draining = new Set<Pool<Connection>>();
  #namespace = '';

  constructor(options: ShardPoolsOptions) {
    this.#options = options;
  }

  /** The pool for a target, made when first asked for. One of an older generation is replaced, never the other way round. */
  get(target: Target): Pool<Connection> {
    const slots = this.#pools[target.access];
    const slot = slots.get(target.shard);
    if (slot !== undefined && slot.generation >= target.generation) return slot.pool;
    if (slot !== undefined) this.#retire(slot.pool);
    const pool = this.#create(target);
    slots.set(target.shard, { generation: target.generation, pool });
    return pool;
  }

  /** Lets go of pools whose generation has passed or whose shard is gone. */
  follow(map: ShardMap): void {
    this.#namespace = map.namespace;
    const shards = new Map(map.shards.map(shard => [shard.name, shard]));
    for (const access of ['write', 'read', 'fallback', 'reference'] as const) {
      for (const [name, slot] of this.#pools[access]) {
        const shard = shards.get(name);
        if (shard !== undefined && slot.generation === generationOf(shard, access)) continue;
        this.#pools[access].delete(name);
        this.#retire(slot.pool);
      }
    }
  }

  async close(graceMs: number): Promise<void> {
    for (const slots of Object.values(this.#pools)) {
      for (const { pool } of slots.values()) this.#retire(pool);
      slots.clear();
    }
    const drained = Promise.all([...this.#draining].map(pool => pool.drain()));
    const timer = this.#options.clock.after(graceMs, () => {
      for (const pool of this.#draining) pool.destroy();
    });
    await drained;
    timer[Symbol.dispose]();
  }

  #retire(pool: Pool<Connection>): void {
    this.#draining.add(pool);
    void pool.drain().then(() => this.#draining.delete(pool));
  }

  #create(target: Target): Pool<Connection> {
    const { max, idleMs, hooks, backgroundClock } = this.#options;
    const login = loginOf(target);
    const { onPool } = hooks;
    const pool: Pool<Connection> = new Pool({
      open: () => this.#open(target, login),
      max,
      idleMs,
      clock: backgroundClock,
      ...(onPool === undefined
        ? {}
        : { onChange: () => onPool({ shard: target.shard, login, ...pool.counts }) }),
    });
    return pool;
  }

  async #open(target: Target, user: string): Promise<Connection> {
    const { database, credentials, dial, tls, applicationName, connectMs, clock } = this.#options;
    const current = await credentials.get();
    const base = { user, database, applicationName, dial, clock, timeoutMs: connectMs };
    const endpoint = this.#endpoint(target);
    let refused: unknown;
    for (const password of passwords(current, target.access)) {
      try {
        return await Connection.open({
          ...base,
          endpoint,
          password,
          tls: tls ? { ca: current.ca } : undefined,
        });
      } catch (error) {
        if (!(error instanceof DatabaseError) || error.code !== invalidPassword) throw error;
        refused = error;
      }
    }
    credentials.invalidate();
    throw refused;
  }

  #endpoint({ shard, access }: Target): Endpoint {
    const side = access === 'read' ? 'read' : 'write';
    const custom = this.#options.endpoint?.(shard, side, this.#namespace);
    if (custom !== undefined) return custom;
    const host = side === 'read' ? readHost(shard, this.#namespace) : writeHost(shard, this.#namespace);
    return { host, port: poolerPort };
  }
}

function generationOf(
  shard: { readonly generation: number; readonly readerGeneration: number },
  access: Access,
): number {
  return access === 'write' ? shard.generation : access === 'reference' ? 0 : shard.readerGeneration;
}

function loginOf({ access, generation }: Target): string {
  if (access === 'reference') return referenceLogin;
  return access === 'write' ? writeLogin(generation) : readLogin(generation);
}

function passwords(credentials: Credentials, access: Access): readonly string[] {
  if (access !== 'reference') {
    const { password, nextPassword } = credentials;
    return nextPassword === undefined ? [password] : [password, nextPassword];
  }
  const { referencePassword } = credentials;
  if (referencePassword !== undefined) return [referencePassword];
  throw new ConfigurationError(
    'the credentials have no reference-password',
    'Mount the whole Secret <cluster>-app, or pass credentials.referencePassword.',
  );
}
