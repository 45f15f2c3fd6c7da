/**
 * A live copy of one kind of object, all of them or those of some namespaces or selectors. Handlers are told of each change
 * in order, after the copy has it; one that throws is logged and counted, and disturbs nobody. Between an API server's
 * death and its return the copy is stale, never empty.
 */
import { type Clock, type Random, realClock } from '#kernel/clock.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { defaultTiming, ListWatch, type ListWatchSink, type ListWatchTiming } from '#kernel/list-watch.ts';
import type { Log } from '#kernel/log.ts';
import type { Metrics } from '#kernel/metrics.ts';
import type { KubeObject, ObjectKey } from '#kernel/object.ts';
import type { Resource } from '#kernel/resource.ts';
import { type Cache, type Indexer, Store } from '#kernel/store.ts';

export interface StoreEvent<T extends KubeObject> {
  readonly type: 'added' | 'modified' | 'deleted';
  /** For `deleted`: the last state seen. */
  readonly object: T;
  /** For `modified`: the state before. */
  readonly old?: T;
  /** Part of the first list or of a replay: not news. */
  readonly initial: boolean;
}

export type StoreHandler<T extends KubeObject> = (event: StoreEvent<T>) => void;

export interface ReflectorOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  /** Default: the whole cluster. */
  readonly namespaces?: readonly string[] | undefined;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Applied before an object is kept; default {@link withoutManagedFields}. Drop here what nobody reads: memory is per object. */
  readonly transform?: (object: T) => T;
  readonly indexes?: Readonly<Record<string, Indexer<T>>>;
  readonly log: Log;
  readonly metrics?: Metrics;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly timing?: Partial<ListWatchTiming>;
}

export class Reflector<T extends KubeObject> implements Cache<T> {
  readonly resource: Resource<T>;
  readonly #options: ReflectorOptions<T>;
  readonly #log: Log;
  readonly #store: Store<T>;
  readonly #handlers = new Set<StoreHandler<T>>();
  readonly #loops: ListWatch<T>[];
  readonly #unlisted: Set<ListWatchSink<T>>;
  readonly #synced = Promise.withResolvers<void>();

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.resource = options.resource;
    this.#log = options.log.child({ resource: options.resource.plural });
    this.#store = new Store(options.indexes);
    const namespaces: readonly (string | undefined)[] = options.namespaces ?? [undefined];
    const sinks = namespaces.map(namespace => this.#sink(namespace));
    this.#unlisted = new Set(sinks);
    if (sinks.length === 0) this.#synced.resolve();
    this.#loops = sinks.map(
      (sink, index) =>
        new ListWatch({
          client: options.client,
          resource: options.resource,
          scope: {
            namespace: namespaces[index],
            labelSelector: options.labelSelector,
            fieldSelector: options.fieldSelector,
          },
          sink,
          clock: options.clock ?? realClock,
          random: options.random ?? Math.random,
          log: this.#log,
          timing: { ...defaultTiming, ...options.timing },
        }),
    );
  }

  /** Follows the API server until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { metrics } = this.#options;
    const labels = { resource: this.resource.plural };
    using cleanup = new DisposableStack();
    if (metrics) {
      const collector = metrics.onCollect(() => {
        metrics.watchStaleness.set(labels, this.stalenessMs / 1000);
        metrics.cachedObjects.set(labels, this.size);
      });
      cleanup.use(collector);
    }
    await Promise.all(this.#loops.map(loop => loop.run(signal)));
  }

  /** Every namespace has been listed once. */
  get synced(): boolean {
    return this.#unlisted.size === 0;
  }

  /** Resolves when {@link synced}; rejects with the signal's reason. */
  async whenSynced(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([this.#synced.promise, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Since the API server was last heard of, on the worst watch. */
  get stalenessMs(): number {
    return Math.max(0, ...this.#loops.map(loop => loop.stalenessMs));
  }

  get size(): number {
    return this.#store.size;
  }

  get(key: ObjectKey): T | undefined {
    return this.#store.get(key);
  }

  values(): Iterable<T> {
    return this.#store.values();
  }

  byIndex(index: string, value: string): T[] {
    return this.#store.byIndex(index, value);
  }

  /** Calls the handler for what is there already (as `added`, `initial`), and from then on for each change. */
  subscribe(handler: StoreHandler<T>): Disposable {
    for (const object of this.#store.values()) this.#tell(handler, { type: 'added', object, initial: true });
    this.#handlers.add(handler);
    return { [Symbol.dispose]: () => this.#handlers.delete(handler) };
  }

  #sink(namespace: string | undefined): ListWatchSink<T> {
    const { transform = withoutManagedFields } = this.#options;
    const sink: ListWatchSink<T> = {
      upsert: fresh => {
        const known = this.#store.get(fresh.metadata);
        // A list after a break repeats what we have.
        if (known && known.metadata.resourceVersion === fresh.metadata.resourceVersion) return;
        const initial = this.#unlisted.has(sink);
        this.#contained(() => {
          const object = transform(fresh);
          const old = this.#store.set(object);
          this.#tellAll(
            old ? { type: 'modified', object, old, initial } : { type: 'added', object, initial },
          );
        });
      },
      remove: key => {
        const object = this.#store.delete(key);
        if (object) this.#tellAll({ type: 'deleted', object, initial: false });
      },
      listed: keys => {
        for (const object of this.#store.values()) {
          if (namespace !== undefined && object.metadata.namespace !== namespace) continue;
          const { namespace: within, name } = object.metadata;
          const key = within ? `${within}/${name}` : name;
          if (!keys.has(key)) sink.remove(key);
        }
        this.#unlisted.delete(sink);
        if (this.synced) this.#synced.resolve();
      },
      restarted: reason => {
        this.#options.metrics?.watchRestarts.inc({ resource: this.resource.plural, reason });
      },
    };
    return sink;
  }

  #tellAll(event: StoreEvent<T>): void {
    for (const handler of this.#handlers) this.#tell(handler, event);
  }

  #tell(handler: StoreHandler<T>, event: StoreEvent<T>): void {
    this.#contained(() => handler(event));
  }

  #contained(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#options.metrics?.handlerErrors.inc({ resource: this.resource.plural });
      this.#log.error({ err: error }, 'going on after a handler of watch events threw');
    }
  }
}

/**
 * Often half of an object's size, and read by nobody here. Changes the object given, which nobody else has yet; its metadata is
 * copied, because one that a field was deleted from takes three times the memory.
 */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  if ('managedFields' in object.metadata) {
    const { managedFields: _, ...metadata } = object.metadata;
    object.metadata = metadata;
  }
  return object;
}
