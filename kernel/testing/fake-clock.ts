/** A clock that moves only when a test says so. Timers fire in order of their time, each after all that it woke has run. */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '#kernel/clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

export class FakeClock implements Clock {
  readonly #start: number;
  #elapsed = 0;
  #timers: Timer[] = [];

  constructor(start: Date = new Date('2026-01-01T00:00:00Z')) {
    this.#start = start.getTime();
  }

  now(): Date {
    return new Date(this.#start + this.#elapsed);
  }

  monotonicMs(): number {
    return this.#elapsed;
  }

  after(ms: number, callback: () => void): Disposable {
    const timer = { at: this.#elapsed + Math.max(0, ms), callback };
    this.#timers.push(timer);
    return {
      [Symbol.dispose]: () => {
        this.#timers = this.#timers.filter(each => each !== timer);
      },
    };
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Moves on by `ms`, firing what falls due, and lets promises settle before, between and after. */
  async advance(ms: number): Promise<void> {
    const until = this.#elapsed + ms;
    await setImmediate();
    for (;;) {
      const next = this.#timers.filter(timer => timer.at <= until).toSorted((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter(each => each !== next);
      this.#elapsed = Math.max(this.#elapsed, next.at);
      next.callback();
      await setImmediate();
    }
    this.#elapsed = until;
    await setImmediate();
  }

  /** The process (or machine) stands still for `ms`: time passes, but no timer fires until the next advance. */
  freeze(ms: number): void {
    this.#elapsed += ms;
  }
}
