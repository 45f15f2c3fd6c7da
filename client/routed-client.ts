/** The client itself: finds the shard, and hands the statement to the parts that run it. */
import { ShardingError } from '#sharding/errors.ts';
import { type ShardMap, shardByName } from '#sharding/map.ts';
import type { Route, Router } from '#sharding/router.ts';
import { type RepeatContext, repeat } from './attempt.ts';
import type {
  CallOptions,
  Client,
  MergeOptions,
  QueryOptions,
  ReferenceTable,
  RoutingKey,
  ScatterOptions,
  ShardScope,
  Transaction,
  TransactionOptions,
} from './client.ts';
import type { Clock, Random } from './clock.ts';
import { Deadline } from './deadline.ts';
import { ClosedError, KeyTypeError, NoMapError, ShardUnavailableError, UnknownShardError } from './errors.ts';
import type { Executor } from './executor.ts';
import type { ClientHooks } from './hooks.ts';
import type { MapWatcher } from './map-watcher.ts';
import { concat } from './merge.ts';
import { isPlainRead } from './plain-read.ts';
import { referenceTable } from './reference.ts';
import type { Result, Row } from './result.ts';
import { toResult } from './result.ts';
import { gather } from './scatter.ts';
import type { ShardPools, Target } from './shard-pools.ts';
import { runTransaction } from './transaction.ts';

export interface ClientParts {
  readonly watcher: MapWatcher;
  readonly pools: ShardPools;
  readonly executor: Executor;
  readonly hooks: ClientHooks;
  readonly clock: Clock;
  readonly random: Random;
  readonly callMs: number;
}

/** Finds the shard for one side by the map of that moment. */
type Find = (router: Router, side: 'write' | 'read') => Omit<Route, 'slot'>;

export class RoutedClient implements Client {
  readonly #parts: ClientParts;
  readonly #context: RepeatContext;
  #closed = false;

  constructor(parts: ClientParts) {
    this.#parts = parts;
    this.#context = {
      mapVersion: () => parts.watcher.version,
      nextMap: (version, ms, deadline, whole) => parts.watcher.next(version, ms, deadline, whole),
      isPassing: target => parts.pools.isPassing(target),
      isFinal: async (error, deadline) =>
        error.verdict === 'password'
          ? !parts.pools.passwordFits
          : parts.executor.isOpen(error.target, deadline),
      hooks: parts.hooks,
      random: parts.random,
      isReadOnly: shard => {
        const { map } = parts.watcher;
        return map !== undefined && shardByName(map, shard)?.state === 'readonly';
      },
    };
  }

  async ready(options?: CallOptions): Promise<ShardMap> {
    await this.#parts.watcher.ready(this.#deadline(options));
    const { map } = this.#parts.watcher;
    if (map === undefined) throw new ClosedError();
    return map;
  }

  get map(): ShardMap | undefined {
    return this.#parts.watcher.map;
  }

  locate(key: RoutingKey, side: 'write' | 'read' = 'write'): string {
    const { router } = this.#parts.watcher;
    if (router === undefined) throw new NoMapError(new Error('await ready() first'));
    return byKey(key)(router, side).shard;
  }

  forKey(key: RoutingKey): ShardScope {
    return this.#scope(byKey(key));
  }

  forShard(shard: string): ShardScope {
    return this.#scope(byName(shard, () => this.#parts.watcher.map));
  }

  scatter<R extends object, T>(sql: string, options: MergeOptions<R, T>): Promise<T>;
  scatter<R extends object = Row>(sql: string, options?: ScatterOptions): Promise<Result<R>>;
  async scatter<R extends object, T>(
    sql: string,
    options: ScatterOptions | MergeOptions<R, T> = {},
  ): Promise<T | Result<R>> {
    const deadline = this.#deadline(options);
    await this.#router(deadline);
    const parts = await gather<R>(sql, options, deadline, {
      ...this.#context,
      executor: this.#parts.executor,
      targets: (side, attempt) => this.#everyOwner(side, attempt),
    });
    return 'merge' in options ? options.merge(parts) : concat<R>()(parts);
  }

  reference(table: string): ReferenceTable {
    return referenceTable(table, {
      ...this.#context,
      executor: this.#parts.executor,
      begin: async options => {
        const deadline = this.#deadline(options);
        await this.#router(deadline);
        return deadline;
      },
      targets: () => {
        const [home, ...others] = (this.#parts.watcher.router?.allShards() ?? []).map(
          (shard): Target => ({ shard: shard.name, access: 'reference', generation: 0 }),
        );
        if (home === undefined) throw new NoMapError(new Error('the map has no shards'));
        return [home, ...others];
      },
    });
  }

  async close(options: { readonly graceMs?: number } = {}): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#parts.watcher.close(), this.#parts.pools.close(options.graceMs ?? 5000)]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #scope(find: Find): ShardScope {
    return {
      query: (sql, params, options) => this.#query(find, sql, params, options),
      transaction: (work, options) => this.#transaction(find, work, options),
    };
  }

  async #query<R extends object>(
    find: Find,
    sql: string,
    params: readonly unknown[] | undefined,
    options: QueryOptions | undefined,
  ): Promise<Result<R>> {
    const deadline = this.#deadline(options);
    if (this.#parts.watcher.router === undefined) await this.#router(deadline);
    const statement = {
      text: sql,
      ...(params === undefined ? {} : { values: [...params] }),
      ...(options?.name === undefined ? {} : { name: options.name }),
    };
    const side = options?.read === undefined ? 'write' : 'read';
    const harmless = () => side === 'read' || options?.idempotent === true || isPlainRead(sql);
    return repeat({ deadline, harmless }, this.#context, async attempt => {
      const target = this.#target(find, side, attempt);
      return toResult(await this.#parts.executor.run<R>(target, statement, deadline));
    });
  }

  async #transaction<T>(
    find: Find,
    work: (transaction: Transaction) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    const deadline = this.#deadline(options);
    await this.#router(deadline);
    const harmless = () => options.readOnly === true;
    let begun = false;
    const mayRepeat = () => options.repeatable !== false || !begun;
    return repeat({ deadline, harmless, mayRepeat }, this.#context, attempt =>
      runTransaction(
        this.#parts.executor,
        this.#target(find, 'write', attempt),
        options,
        deadline,
        transaction => {
          begun = true;
          return work(transaction);
        },
      ),
    );
  }

  /** Where to send a statement now. Every second try of a read goes to the primary: the shard may have no replica up. */
  #target(find: Find, side: 'write' | 'read', attempt: number): Target {
    if (this.#closed) throw new ClosedError();
    const { router } = this.#parts.watcher;
    if (router === undefined) throw new NoMapError(undefined);
    const { shard, generation, state } = find(router, side);
    if (state === 'maintenance') throw new ShardUnavailableError(shard);
    return { shard, generation, access: accessOf(side, attempt) };
  }

  #everyOwner(side: 'write' | 'read', attempt: number): readonly Target[] {
    if (this.#closed) throw new ClosedError();
    const shards = this.#parts.watcher.router?.shards(side) ?? [];
    return shards.map(({ name, generation, readerGeneration, state }) => {
      if (state === 'maintenance') throw new ShardUnavailableError(name);
      return {
        shard: name,
        generation: side === 'write' ? generation : readerGeneration,
        access: accessOf(side, attempt),
      };
    });
  }

  #deadline(options: CallOptions | undefined): Deadline {
    if (this.#closed) throw new ClosedError();
    return Deadline.of(options, this.#parts.callMs, this.#parts.clock);
  }

  #router(deadline: Deadline): Promise<Router> {
    return this.#parts.watcher.ready(deadline);
  }
}

function accessOf(side: 'write' | 'read', attempt: number): 'write' | 'read' | 'fallback' {
  return side === 'write' ? 'write' : attempt % 2 === 0 ? 'read' : 'fallback';
}

function byKey(key: RoutingKey): Find {
  return (router, side) => {
    try {
      return side === 'write' ? router.route(key) : router.routeRead(key);
    } catch (error) {
      if (error instanceof ShardingError)
        throw new KeyTypeError(error.message, error.remedy, { cause: error });
      throw error;
    }
  };
}

function byName(name: string, map: () => ShardMap | undefined): Find {
  return (_router, side) => {
    const current = map();
    const shard = current === undefined ? undefined : shardByName(current, name);
    if (shard === undefined) throw new UnknownShardError(name);
    const { ordinal, state, generation, readerGeneration } = shard;
    return { shard: name, ordinal, state, generation: side === 'write' ? generation : readerGeneration };
  };
}
