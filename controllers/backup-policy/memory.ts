/**
 * What the controller remembers beyond what objects say: only to save work and not to act twice on a cache that is a moment
 * behind. A restart forgets it all, which costs some reads and changes nothing.
 */
import type { Clock } from '#kernel/clock.ts';
import { type KubeObject, keyOf, type ObjectKey } from '#kernel/object.ts';
import type { StoreEvent } from '#kernel/reflector.ts';
import { ReportMemory } from './achieved.ts';
import { offsetMs } from './timetable.ts';

/** Longer than a watch takes; afterwards the cache is believed, whatever it shows. */
const BELIEVE_MS = 10_000;

/** A Secret that somebody deletes is noticed within this. */
const LOOK_AGAIN_MS = 600_000;

/** Jobs of which only so many are begun. */
export type StartedJob = 'backup' | 'archive';

export class BackupMemory {
  readonly reports = new ReportMemory();
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #written = new Map<string, number>();
  readonly #secrets = new Map<string, { readonly version: string; readonly until: number }>();
  readonly #starting = { backup: new Map<string, number>(), archive: new Map<string, number>() };

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.monotonicMs();
  }

  /** After a restart each object counts as written at a moment of its own within `spreadMs`: not all are written at once. */
  sinceWrittenMs(key: string, spreadMs: number): number {
    const written = this.#written.get(key) ?? this.#startedAt - offsetMs(key, spreadMs);
    return this.#clock.monotonicMs() - written;
  }

  wroteStatus(key: string): void {
    this.#written.set(key, this.#clock.monotonicMs());
  }

  /** Whether the shard's Secret is known to be of this version. */
  hasSecret(shard: string, version: string): boolean {
    const known = this.#secrets.get(shard);
    return known?.version === version && this.#clock.monotonicMs() < known.until;
  }

  /** `share`: from 0 to 1, so that the Secrets of a fleet are not all looked at again at once. */
  keepSecret(shard: string, version: string, share: number): void {
    const until = this.#clock.monotonicMs() + LOOK_AGAIN_MS * (1 + share);
    this.#secrets.set(shard, { version, until });
  }

  /** A Job was made; it may not be in the cache yet. */
  startJob(shard: string, job: StartedJob): void {
    this.#starting[job].set(shard, this.#clock.monotonicMs());
  }

  isStarting(shard: string, job: StartedJob): boolean {
    const at = this.#starting[job].get(shard);
    return at !== undefined && this.#clock.monotonicMs() - at < BELIEVE_MS;
  }

  seenJob(shard: string, job: StartedJob): void {
    this.#starting[job].delete(shard);
  }

  forget(shard: string): void {
    this.reports.forget(shard);
    this.#written.delete(shard);
    this.#secrets.delete(shard);
    this.#starting.backup.delete(shard);
    this.#starting.archive.delete(shard);
  }
}

interface NewestCache {
  get(key: ObjectKey): KubeObject | undefined;
  subscribe(handler: (event: StoreEvent<KubeObject>) => void): Disposable;
}

/** The newest state of objects of one kind: what a write of ours was answered with, until the watch has brought it. */
export class Newest implements Disposable {
  readonly #cache: NewestCache;
  readonly #clock: Clock;
  readonly #answers = new Map<string, { readonly object: KubeObject; readonly at: number }>();
  readonly #subscription: Disposable;

  constructor(cache: NewestCache, clock: Clock) {
    this.#cache = cache;
    this.#clock = clock;
    this.#subscription = cache.subscribe(({ type, object }) => {
      const key = keyOf(object);
      const answer = this.#answers.get(key)?.object;
      if (type === 'deleted' || answer?.metadata.resourceVersion === object.metadata.resourceVersion) {
        this.#answers.delete(key);
      }
    });
  }

  /** `raw`: as the cache has it. */
  of(raw: KubeObject): KubeObject {
    const key = keyOf(raw);
    const answer = this.#answers.get(key);
    if (
      answer &&
      answer.object.metadata.uid === raw.metadata.uid &&
      answer.object.metadata.resourceVersion !== raw.metadata.resourceVersion &&
      this.#clock.monotonicMs() - answer.at < BELIEVE_MS
    ) {
      return answer.object;
    }
    this.#answers.delete(key);
    return raw;
  }

  keep(object: KubeObject): void {
    // The watch may have been quicker than the answer.
    if (this.#cache.get(object.metadata)?.metadata.resourceVersion === object.metadata.resourceVersion)
      return;
    this.#answers.set(keyOf(object), { object, at: this.#clock.monotonicMs() });
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}
