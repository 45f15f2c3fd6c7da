/**
 * The objects of one kind as last seen, by key and by index. A lookup by index costs what it finds, not what there is.
 * Objects are shared by all readers: never change one, copy it.
 */
import { formatKey, type KubeObject, keyOf, type ObjectKey } from '#kernel/object.ts';

/** The values under which an object is found; none is fine. */
export type Indexer<T extends KubeObject> = (object: T) => readonly string[];

/** What a reconciler sees of a store. */
export interface Cache<T extends KubeObject> {
  readonly size: number;
  get(key: ObjectKey): T | undefined;
  values(): Iterable<T>;
  /** Throws on an index that was not declared: that is a mistake in the program. */
  byIndex(index: string, value: string): T[];
}

export class Store<T extends KubeObject> implements Cache<T> {
  readonly #objects = new Map<string, T>();
  readonly #indexers: Readonly<Record<string, Indexer<T>>>;
  readonly #indexes = new Map<string, Map<string, Map<string, T>>>();

  constructor(indexers: Readonly<Record<string, Indexer<T>>> = {}) {
    this.#indexers = indexers;
    for (const name of Object.keys(indexers)) this.#indexes.set(name, new Map());
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: ObjectKey): T | undefined {
    return this.#objects.get(formatKey(key));
  }

  values(): Iterable<T> {
    return this.#objects.values();
  }

  keys(): Iterable<string> {
    return this.#objects.keys();
  }

  byIndex(index: string, value: string): T[] {
    const values = this.#indexes.get(index);
    if (!values)
      throw new RangeError(`no index ${index}; there are: ${[...this.#indexes.keys()].join(', ')}`);
    return [...(values.get(value)?.values() ?? [])];
  }

  /** Returns what it replaced. An indexer that throws leaves the store as it was. */
  set(object: T): T | undefined {
    const key = keyOf(object);
    const added = Object.entries(this.#indexers).map(([name, indexer]) => [name, indexer(object)] as const);
    const old = this.#objects.get(key);
    if (old) this.#unindex(key, old);
    this.#objects.set(key, object);
    for (const [name, values] of added) {
      const index = this.#indexes.get(name);
      for (const value of values) {
        const entries = index?.get(value);
        if (entries) entries.set(key, object);
        else index?.set(value, new Map([[key, object]]));
      }
    }
    return old;
  }

  delete(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (!old) return undefined;
    this.#unindex(key, old);
    this.#objects.delete(key);
    return old;
  }

  #unindex(key: string, object: T): void {
    for (const [name, indexer] of Object.entries(this.#indexers)) {
      const index = this.#indexes.get(name);
      for (const value of indexer(object)) {
        const entries = index?.get(value);
        entries?.delete(key);
        if (entries?.size === 0) index?.delete(value);
      }
    }
  }
}
