/**
 * The work of one controller: keys, not events. Guarantees:
 *   - a key is waiting at most once, and is never handed out twice at once; what is added meanwhile runs afterwards;
 *   - of the keys that are due, the highest priority goes first, and within a priority the one added first;
 *   - a failing key backs off by itself, exponentially, and holds up no other;
 *   - every operation is O(log n) in the number of waiting keys.
 * A low priority can starve while higher ones keep coming: it is for work that nobody waits for.
 */
import type { Clock, Random } from '#kernel/clock.ts';
import { Heap, type HeapItem } from '#kernel/heap.ts';

export const priorities = {
  /** What a restart or a resync brings: most of it turns out to be as it should. */
  low: -100,
  normal: 0,
  /** Someone waits: a fail-over, a deletion. */
  high: 100,
} as const;

export interface Backoff {
  readonly baseMs: number;
  readonly maxMs: number;
}

export interface QueueOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly backoff?: Backoff;
  /** How long a key that was due had to wait for a worker. */
  readonly onTake?: (waitedMs: number) => void;
}

interface Entry extends HeapItem {
  readonly key: string;
  state: 'ready' | 'delayed' | 'running';
  priority: number;
  /** Order of arrival within a priority. */
  turn: number;
  /** On the monotonic clock: when it becomes, or became, due. */
  dueAt: number;
  /** While running: when to run again, if it was added meanwhile. */
  againAt: number | undefined;
}

const defaultBackoff: Backoff = { baseMs: 250, maxMs: 120_000 };

export class WorkQueue {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #backoff: Backoff;
  readonly #onTake: ((waitedMs: number) => void) | undefined;
  readonly #entries = new Map<string, Entry>();
  readonly #ready = new Heap<Entry>((a, b) =>
    a.priority === b.priority ? a.turn < b.turn : a.priority > b.priority,
  );
  readonly #delayed = new Heap<Entry>((a, b) => a.dueAt < b.dueAt);
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #turn = 0;
  #running = 0;
  #timer: { readonly at: number; readonly handle: Disposable } | undefined;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: QueueOptions) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#backoff = options.backoff ?? defaultBackoff;
    this.#onTake = options.onTake;
  }

  /** Keys that are due; those waiting for their time; those handed out. */
  get sizes(): { readonly ready: number; readonly delayed: number; readonly running: number } {
    return { ready: this.#ready.size, delayed: this.#delayed.size, running: this.#running };
  }

  /** Makes the key due now, even if it was waiting for a later time. */
  add(key: string, priority: number = priorities.normal): void {
    this.addAfter(key, 0, priority);
  }

  /** Makes the key due after `delayMs`, unless it is due earlier already. */
  addAfter(key: string, delayMs: number, priority: number = priorities.normal): void {
    if (this.#stopped) return;
    const dueAt = this.#clock.monotonicMs() + Math.max(0, delayMs);
    const entry = this.#entries.get(key);
    if (!entry) {
      const fresh: Entry = {
        key,
        state: 'delayed',
        priority,
        turn: 0,
        dueAt,
        againAt: undefined,
        heapIndex: -1,
      };
      this.#entries.set(key, fresh);
      this.#schedule(fresh, delayMs <= 0);
      return;
    }
    if (entry.state === 'running') {
      // The priority of the run that goes on is spent: what counts is who asks for the next.
      entry.priority = entry.againAt === undefined ? priority : Math.max(entry.priority, priority);
      entry.againAt = Math.min(entry.againAt ?? dueAt, dueAt);
      return;
    }
    entry.priority = Math.max(entry.priority, priority);
    if (entry.state === 'ready') {
      this.#ready.update(entry);
    } else if (dueAt < entry.dueAt || delayMs <= 0) {
      this.#delayed.remove(entry);
      entry.dueAt = dueAt;
      this.#schedule(entry, delayMs <= 0);
    }
  }

  /** After a failure: adds the key again after its back-off, at least `minMs`. Returns the delay. */
  retry(key: string, minMs = 0): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const { baseMs, maxMs } = this.#backoff;
    const full = Math.min(maxMs, baseMs * 2 ** Math.min(failures, 40));
    // Up to a fifth less, so that keys which failed together do not come back together.
    const delay = Math.max(minMs, full * (1 - 0.2 * this.#random()));
    this.addAfter(key, delay);
    return delay;
  }

  /** Ends the key's back-off: the next failure starts at the base again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next due key, when there is one; undefined once stopped. Each key taken must be given to {@link done}. */
  take(): Promise<string | undefined> {
    if (this.#stopped) return Promise.resolve(undefined);
    this.#promote();
    const entry = this.#ready.pop();
    if (entry) return Promise.resolve(this.#handOut(entry));
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.#takers.push(resolve);
    return promise;
  }

  done(key: string): void {
    const entry = this.#entries.get(key);
    if (entry?.state !== 'running') throw new Error(`${key} was not taken`);
    this.#running--;
    const { againAt } = entry;
    if (againAt === undefined || this.#stopped) {
      this.#entries.delete(key);
    } else {
      entry.dueAt = againAt;
      entry.againAt = undefined;
      this.#schedule(entry, againAt <= this.#clock.monotonicMs());
    }
    if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Hands out nothing more and forgets what waits. Resolves when all that was taken is done. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.handle[Symbol.dispose]();
    for (const entry of this.#entries.values()) {
      if (entry.state !== 'running') this.#entries.delete(entry.key);
    }
    this.#ready.clear();
    this.#delayed.clear();
    this.#failures.clear();
    for (const resolve of this.#takers.splice(0)) resolve(undefined);
    if (this.#running === 0) return Promise.resolve();
    return new Promise(resolve => this.#idle.push(resolve));
  }

  #schedule(entry: Entry, due: boolean): void {
    if (due) {
      entry.turn = this.#turn++;
      const taker = this.#takers.shift();
      if (taker) {
        taker(this.#handOut(entry));
        return;
      }
      entry.state = 'ready';
      this.#ready.push(entry);
    } else {
      entry.state = 'delayed';
      this.#delayed.push(entry);
      this.#setTimer();
    }
  }

  #handOut(entry: Entry): string {
    entry.state = 'running';
    this.#running++;
    this.#onTake?.(this.#clock.monotonicMs() - entry.dueAt);
    return entry.key;
  }

  /** Moves what has become due from the delayed keys to the ready ones. */
  #promote(): void {
    const now = this.#clock.monotonicMs();
    for (let first = this.#delayed.peek(); first && first.dueAt <= now; first = this.#delayed.peek()) {
      this.#delayed.remove(first);
      this.#schedule(first, true);
    }
  }

  /** One timer, for the earliest delayed key. */
  #setTimer(): void {
    const first = this.#delayed.peek();
    if (!first || (this.#timer && this.#timer.at <= first.dueAt)) return;
    this.#timer?.handle[Symbol.dispose]();
    const wake = () => {
      this.#timer = undefined;
      this.#promote();
      this.#setTimer();
    };
    const delay = Math.max(0, first.dueAt - this.#clock.monotonicMs());
    this.#timer = { at: first.dueAt, handle: this.#clock.after(Math.ceil(delay), wake) };
  }
}
