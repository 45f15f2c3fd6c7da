/** Where writers and readers put down what happened: durations, errors, and whatever is not as it must be. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ClientHooks } from '#client/index.ts';
import { type Call, Latencies } from './latency.ts';
import type { LoadRecord, Wrong } from './records.ts';

const maxWrongShown = 200;

export class Journal {
  readonly latencies: Latencies;
  readonly #print: (record: LoadRecord) => void;
  readonly #errors = new Map<string, number>();
  /** Tells a retry of the client library to the call that it belongs to. */
  readonly #current = new AsyncLocalStorage<{ retries: number }>();
  readonly hooks: ClientHooks = {
    onRetry: () => {
      const call = this.#current.getStore();
      if (call) call.retries++;
    },
    onMap: ({ epoch }) => this.#print({ type: 'map', epoch, atMs: Date.now() }),
  };
  acknowledged = 0;
  unknown = 0;
  failed = 0;
  retried = 0;
  readonly passes = { right: 0, wrong: 0, failed: 0 };
  wrongOwn = 0;

  constructor(slowestPerSecond: number, print: (record: LoadRecord) => void) {
    this.#print = print;
    this.latencies = new Latencies(slowestPerSecond, call => print({ type: 'call', ...rounded(call) }));
  }

  milestone(type: 'opened' | 'ready'): void {
    this.#print({ type, atMs: Date.now() });
  }

  /** Runs a call and notes how long it took, whatever became of it. */
  async timed<T>(kind: string, work: () => Promise<T>): Promise<T> {
    const state = { retries: 0 };
    const startedMs = performance.timeOrigin + performance.now();
    try {
      return await this.#current.run(state, work);
    } finally {
      const tookMs = performance.timeOrigin + performance.now() - startedMs;
      if (state.retries > 0) this.retried++;
      this.latencies.add({ kind, startedMs, tookMs, retries: state.retries });
    }
  }

  wrong(what: Wrong['what'], message: string): void {
    if (what === 'own') this.wrongOwn++;
    else this.passes.wrong++;
    if (this.wrongOwn + this.passes.wrong > maxWrongShown) return;
    this.#print({ type: 'wrong', what, atMs: Date.now(), message });
  }

  error(error: unknown): void {
    const message = describe(error);
    this.#errors.set(message, (this.#errors.get(message) ?? 0) + 1);
  }

  get errors(): [string, number][] {
    return [...this.#errors].toSorted((a, b) => b[1] - a[1]).slice(0, 20);
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.name}: ${error.message}`.slice(0, 300);
}

function rounded(call: Call): Call {
  return { ...call, startedMs: Math.round(call.startedMs), tookMs: Math.round(call.tookMs * 10) / 10 };
}
