/** The end of a call: its time and the caller's signal as one. Costs a timer only while something is being waited for. */
import type { CallOptions } from './client.ts';
import type { Clock } from './clock.ts';
import { DeadlineError } from './errors.ts';

export class Deadline {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #endMs: number;
  readonly #signal: AbortSignal | undefined;

  private constructor(clock: Clock, timeoutMs: number, endMs: number, signal: AbortSignal | undefined) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#endMs = endMs;
    this.#signal = signal;
  }

  static of(options: CallOptions | undefined, defaultMs: number, clock: Clock): Deadline {
    const timeoutMs = options?.timeoutMs ?? defaultMs;
    return new Deadline(clock, timeoutMs, clock.monotonicMs() + timeoutMs, options?.signal);
  }

  /** The same end, or earlier when another signal fires. */
  with(signal: AbortSignal): Deadline {
    const both = this.#signal === undefined ? signal : AbortSignal.any([this.#signal, signal]);
    return new Deadline(this.#clock, this.#timeoutMs, this.#endMs, both);
  }

  get remainingMs(): number {
    return this.#endMs - this.#clock.monotonicMs();
  }

  /** The caller's signal has fired. */
  get aborted(): boolean {
    return this.#signal?.aborted === true;
  }

  get over(): boolean {
    return this.#signal?.aborted === true || this.remainingMs <= 0;
  }

  /** The caller's own reason, or a DeadlineError. `cause` is what was being waited out. */
  reason(cause?: unknown): unknown {
    return this.#signal?.aborted === true ? this.#signal.reason : new DeadlineError(this.#timeoutMs, cause);
  }

  throwIfOver(cause?: unknown): void {
    if (this.over) throw this.reason(cause);
  }

  /** Calls back once when the call ends before the returned function is called. */
  onOver(callback: () => void): () => void {
    const signal = this.#signal;
    if (signal?.aborted === true) {
      queueMicrotask(callback);
      return () => undefined;
    }
    const timer = this.#clock.after(this.remainingMs, callback);
    if (signal === undefined) return () => timer[Symbol.dispose]();
    const stop = () => {
      timer[Symbol.dispose]();
      signal.removeEventListener('abort', abort);
    };
    const abort = () => {
      stop();
      callback();
    };
    signal.addEventListener('abort', abort);
    return stop;
  }

  /** A promise's value, or the reason of the end if that comes first. The promise itself runs on. */
  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const stop = this.onOver(() => reject(this.reason()));
      promise.then(resolve, reject).finally(stop);
    });
  }

  /** Waits for `event`, at most `ms`, and not beyond the end. The event must not fail. */
  async pause(ms: number, event?: Promise<unknown>): Promise<void> {
    if (this.over) return;
    await new Promise<void>(resolve => {
      const finish = () => {
        timer[Symbol.dispose]();
        stop();
        resolve();
      };
      const stop = this.onOver(finish);
      const timer = this.#clock.after(ms, finish);
      void event?.then(finish);
    });
  }
}
