/**
 * The only source of time in the kernel. `now` is for what people read (timestamps), `monotonicMs` for measuring and for
 * deadlines: it never jumps when the wall clock is set. Tests use testing/fake-clock.ts.
 */
export interface Clock {
  now(): Date;
  monotonicMs(): number;
  /** Calls back once after `ms`; disposing the result cancels. Never keeps the process alive by itself. */
  after(ms: number, callback: () => void): Disposable;
}

/** A number in [0, 1), as Math.random gives. */
export type Random = () => number;

const longestTimerMs = 2 ** 31 - 1;

export const realClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(0, ms), longestTimerMs));
    timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** Resolves after `ms`, or at once when the signal aborts: look at the signal to tell. Never rejects. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
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

/** Spreads `ms` by up to `fraction` upwards, so that a fleet of clients does not act in step. */
export function jitter(ms: number, fraction: number, random: Random): number {
  return ms * (1 + fraction * random());
}
