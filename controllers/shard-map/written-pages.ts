/**
 * What this process wrote and its cache does not show yet, so that whoever writes twice in a row need not wait for the watch in
 * between. An entry counts as long as the cache shows exactly what was written over; anything else is newer. Entries of which
 * the watch says nothing for long are dropped: compare-and-swap catches what follows.
 */
import { indexKey } from '#controllers/caches.ts';
import type { Clock } from '#kernel/clock.ts';
import type { ConfigMap } from '#kernel/resources.ts';

interface Written {
  readonly object: ConfigMap;
  /** Resource versions that it is newer than; empty text: there was none. */
  readonly over: ReadonlySet<string>;
  readonly atMs: number;
}

const BELIEVE_MS = 10_000;

export class WrittenPages {
  readonly #clock: Clock;
  /** By fleet, then by name. */
  readonly #written = new Map<string, Map<string, Written>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `before`: what was replaced, or undefined if it was created. */
  remember(fleet: string, before: ConfigMap | undefined, object: ConfigMap): void {
    const pages = this.#written.get(fleet) ?? new Map<string, Written>();
    this.#written.set(fleet, pages);
    const id = indexKey(object.metadata.namespace, object.metadata.name);
    const over = new Set(pages.get(id)?.over).add(before?.metadata.resourceVersion ?? '');
    pages.set(id, { object, over, atMs: this.#clock.monotonicMs() });
  }

  /** The pages of a fleet as the cache has them, with what was written since. */
  over(fleet: string, cached: readonly ConfigMap[]): readonly ConfigMap[] {
    const pages = this.#written.get(fleet);
    if (!pages) return cached;
    const result = new Map(
      cached.map(object => [indexKey(object.metadata.namespace, object.metadata.name), object]),
    );
    for (const [id, { object, over, atMs }] of pages) {
      const shown = result.get(id)?.metadata.resourceVersion ?? '';
      if (over.has(shown) && this.#clock.monotonicMs() - atMs < BELIEVE_MS) result.set(id, object);
      else pages.delete(id);
    }
    if (pages.size === 0) this.#written.delete(fleet);
    return [...result.values()];
  }

  forget(fleet: string): void {
    this.#written.delete(fleet);
  }
}
