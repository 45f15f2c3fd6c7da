/**
 * The shard map of every fleet, for reading and for changing. A change is seen as a whole or not at all: pages are sealed by
 * the header, and readers keep the last sealed set. A change of several pages is marked first, so that nobody seals half of it
 * after a crash; whoever marked it publishes again, and what was written already is not written twice.
 *
 * Writes are compare-and-swap on what the cache shows, or on what was written just now. Changes of one fleet's map take turns.
 */
import { byCluster, type Caches, indexKey } from '#controllers/caches.ts';
import { severalAtOnce } from '#controllers/several-at-once.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { type Clock, realClock } from '#kernel/clock.ts';
import { AlreadyExistsError, ConflictError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { OwnerReference } from '#kernel/object.ts';
import { type ConfigMap, ConfigMaps } from '#kernel/resources.ts';
import type { Request } from '#kernel/source.ts';
import { checkMap } from '#sharding/check.ts';
import type { ComingWriters } from '#sharding/coming.ts';
import { InvalidChangeError, MapInTransitionError } from '#sharding/errors.ts';
import type { ShardMap } from '#sharding/map.ts';
import {
  isMapPage,
  type MapFacts,
  marked,
  newPages,
  pageWrites,
  readMap,
  type StoredMap,
} from './config-maps.ts';
import { MapBusyError, MapExistsError, MapUnavailableError } from './errors.ts';
import { WrittenPages } from './written-pages.ts';

export interface MapStoreOptions {
  readonly client: KubeClient;
  readonly configMaps: Pick<Caches['configMaps'], 'byIndex'>;
  readonly clock?: Clock;
}

export interface Publication {
  /** The mark of whoever changes the map: see markAnnotation. A change under way is finished under the same mark only. */
  readonly by: string;
  /**
   * Gives the map as it is to be; the same object for no change. It is called with the map as it is, or, after a change by the
   * same one was cut off, with a mixture of before and after: it must come to the same from either.
   */
  readonly change: (map: ShardMap) => ShardMap;
  /** Called when the change is there to be read; what follows takes back the mark. */
  readonly visible?: (map: ShardMap) => void;
  readonly signal: AbortSignal;
}

/** How soon the API server must answer for a change to begin that others have to wait for, in milliseconds. */
const SOON_MS = 500;

/** Pages written at a time. */
const AT_ONCE = 8;

export class MapStore {
  readonly #client: KubeClient;
  readonly #configMaps: MapStoreOptions['configMaps'];
  readonly #written: WrittenPages;
  readonly #known = new Map<string, { readonly versions: string; readonly facts: MapFacts }>();
  readonly #turns = new Map<string, Promise<void>>();

  constructor({ client, configMaps, clock = realClock }: MapStoreOptions) {
    this.#client = client;
    this.#configMaps = configMaps;
    this.#written = new WrittenPages(clock);
  }

  /** Decoded once per state: a large map is megabytes. */
  read(request: Request): MapFacts {
    const key = fleetOf(request);
    const pages = this.#written.over(key, this.#configMaps.byIndex(byCluster, key).filter(isMapPage));
    const versions = pages
      .map(({ metadata }) => `${metadata.name}@${metadata.uid}@${metadata.resourceVersion}`)
      .toSorted()
      .join();
    const known = this.#known.get(key);
    if (known?.versions === versions) return known.facts;
    const facts = readMap(pages, known && lastWhole(known.facts));
    this.#known.set(key, { versions, facts });
    return facts;
  }

  forget(request: Request): void {
    const key = fleetOf(request);
    this.#known.delete(key);
    this.#written.forget(key);
  }

  /** Makes a fleet's first map, over what is left of a try that was cut off. Throws MapExistsError. */
  create(request: Request, map: ShardMap, owner: OwnerReference, signal: AbortSignal): Promise<void> {
    return this.#inTurn(request, async () => {
      const pages = newPages(map, owner);
      const header = pages.at(-1);
      if (!header) return;
      if (await orUndefined(this.#client.get(ConfigMaps, header.metadata, { signal }))) throw exists(header);
      await severalAtOnce(pages.slice(0, -1), AT_ONCE, page => this.#createOrReplace(request, page, signal));
      try {
        await this.#create(request, header, signal);
      } catch (error) {
        throw error instanceof AlreadyExistsError ? exists(header) : error;
      }
    });
  }

  /**
   * Keeps all others from changing the map. Nothing is written if it is marked so already. Throws MapBusyError,
   * MapUnavailableError, and ConflictError when the cache is behind.
   */
  mark(request: Request, by: string, signal: AbortSignal): Promise<void> {
    return this.#inTurn(request, async () => {
      let stored = this.#writable(request, by);
      if (stored.markedBy === by) return;
      // What was left in between is finished first: a mark says that the map behind it is whole.
      if (this.read(request).kind === 'InTransition') {
        await this.#publish(request, { by, change: map => map, signal });
        stored = this.#writable(request, by);
      }
      await this.#replaceHeader(request, stored, by, signal);
    });
  }

  /**
   * Tells clients which writers the change that is marked will bring. Taken back with the mark. Throws what `mark` throws.
   */
  announce(request: Request, by: string, coming: ComingWriters, signal: AbortSignal): Promise<void> {
    return this.#inTurn(request, async () => {
      const stored = this.#writable(request, by);
      if (stored.markedBy === by) await this.#replaceHeader(request, stored, by, signal, coming);
    });
  }

  /**
   * Why the change that `by` has marked could not be published at this moment, by the API server's own word: it must answer soon, and know
   * no other header than we do. Undefined when it could.
   */
  async hindrance(request: Request, by: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      const known = this.#writable(request, by).objects.get('header');
      if (!known) return `the shard map of ${request.name} has no header`;
      const soon = AbortSignal.any([signal, AbortSignal.timeout(SOON_MS)]);
      const { metadata } = await this.#client.get(ConfigMaps, known.metadata, { signal: soon });
      if (metadata.resourceVersion === known.metadata.resourceVersion) return undefined;
      return `the shard map of ${request.name} was changed meanwhile`;
    } catch (error) {
      signal.throwIfAborted();
      return `the shard map could not be published now: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** Takes back a mark; another one's is left alone. Throws MapInTransitionError: then publish instead. */
  unmark(request: Request, by: string, signal: AbortSignal): Promise<void> {
    return this.#inTurn(request, async () => {
      const facts = this.read(request);
      if (facts.kind === 'InTransition' && facts.raw.markedBy === by) {
        throw new MapInTransitionError(
          `the shard map of ${request.name} is in the middle of the change`,
          'Publish the change again.',
        );
      }
      if (facts.kind === 'Present' && facts.stored.markedBy === by) {
        await this.#replaceHeader(request, facts.stored, undefined, signal);
      }
    });
  }

  /**
   * Changes the map and takes back the mark of `by`. Repeated after any failure it comes to the same. Throws what `change`
   * throws, InvalidChangeError, MapBusyError, MapUnavailableError, and ConflictError when the cache is behind: try again.
   */
  publish(request: Request, publication: Publication): Promise<ShardMap> {
    return this.#inTurn(request, () => this.#publish(request, publication));
  }

  async #publish(request: Request, { by, change, visible, signal }: Publication): Promise<ShardMap> {
    let stored = this.#writable(request, by);
    const next = { ...change(stored.map), epoch: stored.map.epoch + 1 };
    const problem = checkMap(next)[0];
    if (problem !== undefined) throw new InvalidChangeError(problem, 'Correct the change of the map.');
    let writes = pageWrites(stored, next);
    if (writes.created.length + writes.replaced.length > 1 && stored.markedBy !== by) {
      await this.#replaceHeader(request, stored, by, signal);
      stored = this.#writable(request, by);
      writes = pageWrites(stored, next);
    }
    const { created, replaced, header } = writes;
    await severalAtOnce(created, AT_ONCE, page => this.#createAnother(request, page, signal));
    // All at once, the header among them: the seal fits when the last one is there. Until the mark goes, a part of them that
    // was cut off is finished by nobody else.
    await severalAtOnce([...replaced, ...(header ? [header] : [])], AT_ONCE, page =>
      this.#replace(request, page, signal),
    );
    visible?.(header ? next : stored.map);
    const after = this.#writable(request, by);
    if (after.markedBy === by) await this.#replaceHeader(request, after, undefined, signal);
    return header ? next : stored.map;
  }

  /** The map as it is now, to be changed by `by`: sealed, or left in between by the same or by nobody. */
  #writable(request: Request, by: string): StoredMap {
    const facts = this.read(request);
    switch (facts.kind) {
      case 'Present':
        return unlessBusy(request, facts.stored, by);
      case 'InTransition':
        return unlessBusy(request, facts.raw, by);
      case 'Absent':
        throw new MapUnavailableError(
          `the shard map of ${request.name} is not there`,
          `Wait until ShardCluster ${request.name} has made it; see its conditions.`,
        );
      case 'Damaged':
        throw new MapUnavailableError(facts.message, facts.remedy);
      default:
        return assertNever(facts);
    }
  }

  async #replaceHeader(
    request: Request,
    stored: StoredMap,
    by: string | undefined,
    signal: AbortSignal,
    coming?: ComingWriters,
  ): Promise<void> {
    const header = stored.objects.get('header');
    if (header) await this.#replace(request, marked(header, by, coming), signal);
  }

  async #replace(request: Request, page: ConfigMap, signal: AbortSignal): Promise<void> {
    this.#written.remember(fleetOf(request), page, await this.#client.replace(page, { signal }));
  }

  async #create(request: Request, page: ConfigMap, signal: AbortSignal): Promise<void> {
    this.#written.remember(fleetOf(request), undefined, await this.#client.create(page, { signal }));
  }

  /** That there is one already is for the caller what any other lost race is. */
  async #createAnother(request: Request, page: ConfigMap, signal: AbortSignal): Promise<void> {
    try {
      await this.#create(request, page, signal);
    } catch (error) {
      if (!(error instanceof AlreadyExistsError)) throw error;
      throw new ConflictError(error.status, { message: error.message }, error.request);
    }
  }

  async #createOrReplace(request: Request, page: ConfigMap, signal: AbortSignal): Promise<void> {
    try {
      await this.#create(request, page, signal);
    } catch (error) {
      if (!(error instanceof AlreadyExistsError)) throw error;
      // A page without a header is left over from a try that was cut off.
      const live = await this.#client.get(ConfigMaps, page.metadata, { signal });
      const { resourceVersion } = live.metadata;
      const metadata = { ...page.metadata, ...(resourceVersion ? { resourceVersion } : {}) };
      await this.#replace(request, { ...page, metadata }, signal);
    }
  }

  async #inTurn<T>(request: Request, work: () => Promise<T>): Promise<T> {
    const key = fleetOf(request);
    const before = this.#turns.get(key) ?? Promise.resolve();
    const turn = before.then(work);
    const over = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(key, over);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(key) === over) this.#turns.delete(key);
    }
  }
}

function unlessBusy(request: Request, stored: StoredMap, by: string): StoredMap {
  const { markedBy } = stored;
  if (markedBy !== undefined && markedBy !== by) throw new MapBusyError(request.name, markedBy);
  return stored;
}

function lastWhole(facts: MapFacts): StoredMap | undefined {
  if (facts.kind === 'Present') return facts.stored;
  return facts.kind === 'InTransition' ? facts.last : undefined;
}

function fleetOf({ namespace, name }: Request): string {
  return indexKey(namespace, name);
}

function exists(page: ConfigMap): MapExistsError {
  return new MapExistsError(`ConfigMap ${page.metadata.name} exists already`);
}
