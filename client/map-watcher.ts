/**
 * Keeps the newest map at hand. It follows the service's stream; between two tries of a broken stream it asks for the map,
 * which makes it poll when streams do not work at all. Without the service the last map stays in force for ever.
 */
import { type ComingWriters, nothingComing } from '#sharding/coming.ts';
import { applyDelta, digestOf, type MapDelta, wholeMap } from '#sharding/delta.ts';
import { DamagedMapError, DeltaMismatchError } from '#sharding/errors.ts';
import type { ShardMap } from '#sharding/map.ts';
import { epochOf, fromPages, type MapPage } from '#sharding/pages.ts';
import { createRouter, type Router } from '#sharding/router.ts';
import { backoffMs, type Clock, type Random } from './clock.ts';
import type { Deadline } from './deadline.ts';
import { ClosedError, NoMapError } from './errors.ts';
import type { ClientHooks, MapEvent } from './hooks.ts';
import { readMapFile, writeMapFile } from './map-file.ts';
import type { MapSource } from './map-source.ts';

export interface MapWatcherOptions {
  readonly source: MapSource;
  readonly file: string | undefined;
  readonly hooks: ClientHooks;
  /** Must not keep the process alive. */
  readonly clock: Clock;
  readonly random: Random;
  /** Called after every change of the map. */
  readonly onChange: (map: ShardMap, router: Router) => void;
  /** Called with what is announced, and with nothing when that is taken back or nobody is there to say. */
  readonly onComing: (writers: ComingWriters) => void;
}

const firstRetryMs = 200;
/** The longest pause between two tries, and so the interval of polling. */
const pollMs = 5000;
/** A stream that lived for so long was a good one. */
const goodStreamMs = 10_000;

export class MapWatcher {
  readonly #options: MapWatcherOptions;
  readonly #closing = new AbortController();
  #pages: readonly MapPage[] = [];
  #map: ShardMap | undefined;
  #router: Router | undefined;
  #version = 0;
  #changed = Promise.withResolvers<void>();
  #askedMs = Number.NEGATIVE_INFINITY;
  #wholeMs = Number.NEGATIVE_INFINITY;
  #lastError: unknown = new Error('the map service was not asked yet');
  #waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #refreshing: Promise<boolean> | undefined;
  #loop: Promise<void> | undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(options: MapWatcherOptions) {
    this.#options = options;
  }

  get map(): ShardMap | undefined {
    return this.#map;
  }

  get router(): Router | undefined {
    return this.#router;
  }

  /** One higher with every map that comes into force. */
  get version(): number {
    return this.#version;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** The router, once there is one. Rejects with NoMapError when the deadline comes first. */
  async ready(deadline: Deadline): Promise<Router> {
    this.start();
    while (this.#router === undefined) {
      if (this.#closing.signal.aborted) throw new ClosedError();
      const arrival = Promise.withResolvers<void>();
      this.#waiting.push(arrival);
      await deadline.race(arrival.promise).catch((error: unknown) => {
        if (error instanceof ClosedError) throw error;
        throw new NoMapError(this.#lastError);
      });
    }
    return this.#router;
  }

  /** Asks for the newest map now. True when it brought a change. Never rejects: without an answer the last map stays. */
  refresh(whole = false): Promise<boolean> {
    this.#refreshing ??= this.#fetch(whole).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /**
   * Resolves as soon as another map than that of `version` is in force (true), at the latest after `ms`. The stream may bring
   * it first; the service is asked all the same, no more often than the shortest wait at a time. `whole`: see refresh; a map
   * may be large, so this is done once in a while only.
   */
  async next(version: number, ms: number, deadline: Deadline, whole: boolean): Promise<boolean> {
    if (this.#version !== version) return true;
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#refreshing === undefined && nowMs - this.#askedMs >= ms / 2) {
      this.#askedMs = nowMs;
      const all = whole && nowMs - this.#wholeMs >= pollMs;
      if (all) this.#wholeMs = nowMs;
      void this.refresh(all);
    }
    await deadline.pause(ms, this.#changed.promise);
    return this.#version !== version;
  }

  async close(): Promise<void> {
    this.#closing.abort(new ClosedError());
    this.#wake(new ClosedError());
    this.#options.source.close();
    await this.#loop;
    await this.#saving;
  }

  async #run(): Promise<void> {
    await this.#loadFile();
    const { clock, random } = this.#options;
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; ) {
      await this.refresh();
      const startedMs = clock.monotonicMs();
      await this.#follow();
      failures = clock.monotonicMs() - startedMs >= goodStreamMs ? 0 : failures + 1;
      await sleep(clock, backoffMs(failures, firstRetryMs, pollMs, random), signal);
    }
  }

  /** Returns when the stream ended, for whatever reason. */
  async #follow(): Promise<void> {
    if (this.#map === undefined) return;
    const { signal } = this.#closing;
    try {
      for await (const news of this.#options.source.stream(epochOf(this.#pages), signal)) {
        if (news.kind === 'map') this.#take(news.delta, 'stream');
        else this.#options.onComing(news.writers);
      }
    } catch (error) {
      this.#report(error);
    } finally {
      this.#options.onComing(nothingComing);
    }
  }

  async #fetch(whole: boolean): Promise<boolean> {
    const { source } = this.#options;
    const { signal } = this.#closing;
    const known = this.#map !== undefined && !whole;
    try {
      const since = known ? epochOf(this.#pages) : 0;
      const delta = await source.fetch(since, known ? digestOf(this.#pages) : undefined, signal);
      return delta !== undefined && this.#take(delta, 'poll');
    } catch (error) {
      this.#report(error);
      return error instanceof DeltaMismatchError && known ? this.#fetch(true) : false;
    }
  }

  /** Throws when the delta does not make a map; the last one stays. */
  #take(delta: MapDelta, source: MapEvent['source']): boolean {
    const pages = applyDelta(this.#pages, delta);
    if (pages === this.#pages || digestOf(pages) === digestOf(this.#pages)) return false;
    const map = fromPages(pages);
    const router = createRouter(map);
    this.#pages = pages;
    this.#map = map;
    this.#router = router;
    this.#version++;
    this.#options.onChange(map, router);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    this.#options.hooks.onMap?.({ epoch: map.epoch, source });
    this.#wake();
    if (source !== 'file') this.#save();
    return true;
  }

  async #loadFile(): Promise<void> {
    const { file } = this.#options;
    if (file === undefined) return;
    try {
      const saved = await readMapFile(file);
      if (saved !== undefined) this.#take(saved, 'file');
    } catch (error) {
      if (!(error instanceof DamagedMapError)) this.#report(error);
    }
  }

  #save(): void {
    const { file } = this.#options;
    if (file === undefined) return;
    const map = wholeMap(this.#pages);
    this.#saving = this.#saving
      .then(() => writeMapFile(file, map))
      .catch((error: unknown) => this.#report(error));
  }

  #wake(error?: unknown): void {
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  #report(error: unknown): void {
    if (this.#closing.signal.aborted) return;
    this.#lastError = error;
    this.#options.hooks.onMapError?.(error);
  }
}

function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise(resolve => {
    const finish = () => {
      timer[Symbol.dispose]();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = clock.after(ms, finish);
    signal.addEventListener('abort', finish);
  });
}
