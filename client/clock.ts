/** The client's only sources of time and chance; tests give their own. */
export interface Clock {
  monotonicMs(): number;
  /** Calls back once after `ms`; disposing cancels. */
  after(ms: number, callback: () => void): Disposable;
}

/** In [0, 1). */
export type Random = () => number;

const longestTimerMs = 2 ** 31 - 1;

/** Its timers keep the process alive: a call that waits must get its answer. */
export const realClock: Clock = {
  monotonicMs: () => performance.now(),
  after: (ms, callback) => setTimeout(callback, Math.min(Math.max(0, ms), longestTimerMs)),
};

/** For work behind the application's back, which must not keep its process alive. */
export const backgroundClock: Clock = {
  monotonicMs: () => performance.now(),
  after: (ms, callback) => setTimeout(callback, Math.min(Math.max(0, ms), longestTimerMs)).unref(),
};

/** Doubles from `firstMs` up to `maxMs`, each wait shortened by up to half at random so that clients do not act in step. */
export function backoffMs(attempt: number, firstMs: number, maxMs: number, random: Random): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30));
  return full * (1 - random() / 2);
}
