/**
 * A pool for each login that is in use on each shard. A login carries its shard's generation, so a newer generation is a new
 * pool; the old one finishes what it runs and goes away.
 */
import { DatabaseError } from 'pg';
import { type ComingWriters, nothingComing } from '#sharding/coming.ts';
import { poolerPort, readHost, readLogin, writeHost, writeLogin } from '#sharding/endpoints.ts';
import type { MapShard, ShardMap } from '#sharding/map.ts';
import type { Clock } from './clock.ts';
import { Connection } from './connection.ts';
import type { CredentialStore } from './credentials.ts';
import { ConfigurationError } from './errors.ts';
import type { ClientHooks } from './hooks.ts';
import type { ClientOptions, Credentials, Endpoint } from './options.ts';
import { Pool, PoolDrainedError } from './pool.ts';
import { WarmUp } from './warm-up.ts';

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

/** Of sessions that are not in use yet, so nothing depends on how it ends. */
interface Expected extends Slot {
  readonly warmUp: WarmUp;
}

/** Shorter than an announcement lasts: what waits for others at a full pooler must not be there when the change comes. */
const warmUpMs = 500;

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
  /** Of writers that a change to come will bring; nobody is given a session of theirs before a map names the generation. */
  readonly #expected = new Map<string, Expected>();
  #coming = nothingComing;
  readonly #draining = new Set<Pool<Connection>>();
  #shards: ReadonlyMap<string, MapShard> = new Map();
  #namespace = '';
  #passwordFits = false;

  constructor(options: ShardPoolsOptions) {
    this.#options = options;
  }

  /** True once a shard has taken the application's password: a login refused after that is one that is not open. */
  get passwordFits(): boolean {
    return this.#passwordFits;
  }

  /**
   * The pool for a target, made when first asked for. Throws PoolDrainedError for a target of another map than the one in force:
   * a statement that one map sent here must not run under a login of another, which may see other rows.
   */
  get(target: Target): Pool<Connection> {
    const slots = this.#pools[target.access];
    const slot = slots.get(target.shard);
    if (slot?.generation === target.generation) return slot.pool;
    const shard = this.#shards.get(target.shard);
    if (shard === undefined || generationOf(shard, target.access) !== target.generation) {
      throw new PoolDrainedError(`${target.shard} has another generation by now`);
    }
    return this.#add(target);
  }

  /**
   * Lets go of pools whose generation has passed or whose shard is gone. In their place, and on shards that take over from
   * them, as many sessions are opened at once as there were: whoever comes next need not wait for one.
   */
  follow(map: ShardMap): void {
    const before = this.#shards;
    const shards = new Map(map.shards.map(shard => [shard.name, shard]));
    this.#shards = shards;
    this.#namespace = map.namespace;
    for (const access of ['write', 'read', 'fallback', 'reference'] as const) {
      const slots = this.#pools[access];
      let inUse = 0;
      for (const [name, slot] of slots) {
        const shard = shards.get(name);
        if (shard !== undefined && slot.generation === generationOf(shard, access)) continue;
        inUse = Math.max(inUse, slot.pool.peak);
        slots.delete(name);
        this.#retire(slot.pool);
      }
      if (inUse === 0) continue;
      for (const shard of map.shards) {
        const generation = generationOf(shard, access);
        const old = before.get(shard.name);
        if (old === undefined || generationOf(old, access) === generation) continue;
        this.#add({ shard: shard.name, access, generation }).prepare(inUse);
      }
    }
  }

  /** Opens as many sessions under the coming writers' logins as there are under those in use, and lets go of those that come no more. */
  expect(coming: ComingWriters): void {
    this.#coming = coming;
    for (const [name, { generation, pool, warmUp }] of this.#expected) {
      if (coming[name] === generation) continue;
      this.#expected.delete(name);
      warmUp.end();
      this.#retire(pool);
    }
    const shards = Object.entries(coming).filter(([name, generation]) => this.#isAhead(name, generation));
    const inUse = Math.max(0, ...shards.map(([name]) => this.#pools.write.get(name)?.pool.peak ?? 0));
    if (inUse === 0) return;
    for (const [shard, generation] of shards) {
      if (this.#expected.has(shard)) continue;
      const target: Target = { shard, access: 'write', generation };
      const warmUp = new WarmUp({
        sessions: inUse,
        forMs: warmUpMs,
        statementMs: this.#options.connectMs,
        clock: this.#options.backgroundClock,
      });
      const pool = this.#create(target, warmUp);
      this.#expected.set(shard, { generation, pool, warmUp });
      pool.prepare(inUse);
    }
  }

  /** The server behind the target's sessions is not the primary any more: only new ones find the one that is. */
  redial({ shard, access, generation }: Target): void {
    const slot = this.#pools[access].get(shard);
    if (slot?.generation === generation) slot.pool.clear();
  }

  /** Whether a change is announced that takes the target's login away: the map that brings the next is on its way. */
  isPassing({ shard, access, generation }: Target): boolean {
    return access === 'write' && (this.#coming[shard] ?? 0) > generation;
  }

  #isAhead(name: string, generation: number): boolean {
    const shard = this.#shards.get(name);
    return shard !== undefined && shard.generation < generation;
  }

  async close(graceMs: number): Promise<void> {
    this.expect(nothingComing);
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

  #add(target: Target): Pool<Connection> {
    const pool = this.#takeExpected(target) ?? this.#create(target);
    this.#pools[target.access].set(target.shard, { generation: target.generation, pool });
    return pool;
  }

  #takeExpected({ shard, access, generation }: Target): Pool<Connection> | undefined {
    const expected = this.#expected.get(shard);
    if (access !== 'write' || expected?.generation !== generation) return undefined;
    this.#expected.delete(shard);
    expected.warmUp.end();
    return expected.pool;
  }

  #retire(pool: Pool<Connection>): void {
    this.#draining.add(pool);
    void pool.drain().then(() => this.#draining.delete(pool));
  }

  #create(target: Target, warmUp?: WarmUp): Pool<Connection> {
    const { max, idleMs, hooks, backgroundClock } = this.#options;
    const login = loginOf(target);
    const { onPool } = hooks;
    const pool: Pool<Connection> = new Pool({
      open: async () => {
        const connection = await this.#open(target, login);
        try {
          await warmUp?.pass(connection);
        } catch (error) {
          connection.close();
          throw error;
        }
        return connection;
      },
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
        const connection = await Connection.open({
          ...base,
          endpoint,
          password,
          tls: tls ? { ca: current.ca } : undefined,
        });
        if (target.access !== 'reference') this.#passwordFits = true;
        return connection;
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
