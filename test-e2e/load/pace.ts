/** Not more often than so; what came late is not made up for. */
import { setTimeout as sleep } from 'node:timers/promises';

export class Pace {
  readonly #intervalMs: number;
  #nextMs: number;

  constructor(perSecond: number, firstInMs = 0) {
    this.#intervalMs = 1000 / perSecond;
    this.#nextMs = performance.now() + firstInMs;
  }

  /** Waits for the next turn; false once the signal says to stop. */
  async turn(signal: AbortSignal): Promise<boolean> {
    const waitMs = this.#nextMs - performance.now();
    if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    this.#nextMs = Math.max(this.#nextMs + this.#intervalMs, performance.now());
    return !signal.aborted;
  }
}
