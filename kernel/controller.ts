/**
 * Runs a reconciler over the names that its sources bring up. Guarantees: one name never runs twice at once; an error is
 * retried with back-off until it goes away, a {@link TerminalError} only after a change; a reconcile is told to end at its
 * deadline; nothing it throws reaches anyone else. kernel/README.md is the tutorial.
 */
import { randomBytes } from 'node:crypto';
import { type Clock, type Random, realClock } from '#kernel/clock.ts';
import { ConflictError, TooManyRequestsError } from '#kernel/errors.ts';
import type { Log } from '#kernel/log.ts';
import type { Metrics, ReconcileOutcome } from '#kernel/metrics.ts';
import { formatKey, parseKey } from '#kernel/object.ts';
import { type Backoff, priorities, WorkQueue } from '#kernel/queue.ts';
import type { Request, Source } from '#kernel/source.ts';
import { TerminalError } from '#kernel/terminal-error.ts';

export interface ReconcileContext {
  /** Aborts at the deadline, when the grace of a stop is over, and at once when leadership is lost. */
  readonly signal: AbortSignal;
  /** Carries controller, namespace, name and reconcileId. */
  readonly log: Log;
  readonly reconcileId: string;
}

/** Nothing: wait for the next change. */
export interface ReconcileResult {
  /** Come back after this long, change or not. */
  readonly requeueAfterMs?: number | undefined;
}

export type Reconcile = (
  request: Request,
  context: ReconcileContext,
) => Promise<ReconcileResult | undefined | void>;

export interface ControllerOptions {
  readonly name: string;
  readonly sources: readonly Source[];
  readonly reconcile: Reconcile;
  /** Reconciles at once; default 8. */
  readonly workers?: number;
  /** Default 120,000. */
  readonly deadlineMs?: number;
  readonly backoff?: Backoff;
  /** Looks at every object again this often, at low priority; default 600,000, 0 for never. */
  readonly resyncMs?: number;
  readonly log: Log;
  readonly metrics?: Metrics;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface RunSignals {
  /** Take nothing new, let what runs finish within `graceMs`. */
  readonly stop: AbortSignal;
  /** End at once: someone else may be at work. */
  readonly fence?: AbortSignal | undefined;
  /** Default 10,000. */
  readonly graceMs?: number;
}

export class Controller {
  readonly name: string;
  readonly #options: ControllerOptions;
  readonly #clock: Clock;
  /** Names that a TerminalError has put aside until something changes. */
  readonly #terminal = new Set<string>();
  /** When each reconcile under way began. */
  readonly #running = new Map<string, number>();
  readonly #deadlineMs: number;

  constructor(options: ControllerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.#deadlineMs = options.deadlineMs ?? 120_000;
  }

  /** Names whose reconcile goes on long after its deadline: it ignores its signal, and only a restart helps. */
  stuck(): string[] {
    const limit = this.#clock.monotonicMs() - 3 * this.#deadlineMs;
    return [...this.#running].filter(([, since]) => since < limit).map(([key]) => key);
  }

  /** Works until stopped; may be run again afterwards. Never rejects. Its reflectors should have synced. */
  async run(signals: RunSignals): Promise<void> {
    const {
      sources,
      metrics,
      workers = 8,
      resyncMs = 600_000,
      random = Math.random,
      backoff,
    } = this.#options;
    const { stop, fence, graceMs = 10_000 } = signals;
    if (stop.aborted || fence?.aborted) return;
    const queue = new WorkQueue({
      clock: this.#clock,
      random,
      ...(backoff ? { backoff } : {}),
      onTake: waitedMs => metrics?.queueWait.observe({ controller: this.name }, waitedMs / 1000),
    });
    using resources = new DisposableStack();
    const collector = metrics?.onCollect(() => this.#reportDepth(queue));
    if (collector) resources.use(collector);
    for (const source of sources) {
      resources.use(
        source.subscribe((request, priority) => {
          const key = formatKey(request);
          this.#terminal.delete(key);
          queue.add(key, priority);
        }),
      );
    }
    if (resyncMs > 0) resources.use(this.#resyncEvery(resyncMs, queue, random));

    const cancel = new AbortController();
    const { promise: stopping, resolve: beginStop } = Promise.withResolvers<void>();
    const onFence = () => {
      cancel.abort(fence?.reason);
      beginStop();
    };
    const onStop = () => beginStop();
    stop.addEventListener('abort', onStop, { once: true });
    fence?.addEventListener('abort', onFence, { once: true });
    const loops = Array.from({ length: workers }, () => this.#work(queue, cancel.signal));
    await stopping;
    const drained = queue.stop();
    // What does not finish in time is told to.
    resources.use(this.#clock.after(graceMs, () => cancel.abort(new Error('the grace of the stop is over'))));
    await drained;
    await Promise.all(loops);
    stop.removeEventListener('abort', onStop);
    fence?.removeEventListener('abort', onFence);
  }

  async #work(queue: WorkQueue, cancel: AbortSignal): Promise<void> {
    for (;;) {
      const key = await queue.take();
      if (key === undefined) return;
      try {
        await this.#reconcileOne(key, queue, cancel);
      } finally {
        queue.done(key);
      }
    }
  }

  async #reconcileOne(key: string, queue: WorkQueue, cancel: AbortSignal): Promise<void> {
    const { reconcile, metrics } = this.#options;
    const { namespace = '', name } = parseKey(key);
    const reconcileId = randomBytes(4).toString('hex');
    const log = this.#options.log.child({ controller: this.name, namespace, name, reconcileId });
    const startedAt = this.#clock.monotonicMs();
    const deadline = new AbortController();
    using cleanup = new DisposableStack();
    const timer = this.#clock.after(this.#deadlineMs, () => {
      log.warn({ deadlineMs: this.#deadlineMs }, 'aborting a reconcile at its deadline');
      deadline.abort(new Error(`the reconcile took longer than ${this.#deadlineMs} ms`));
    });
    cleanup.use(timer);
    this.#running.set(key, startedAt);
    let outcome: ReconcileOutcome;
    try {
      const signal = AbortSignal.any([cancel, deadline.signal]);
      const result = await reconcile({ namespace, name }, { signal, log, reconcileId });
      queue.forget(key);
      const after = result?.requeueAfterMs;
      if (after !== undefined) queue.addAfter(key, after);
      outcome = after === undefined ? 'success' : 'requeue';
    } catch (error) {
      outcome = cancel.aborted ? 'stopped' : this.#afterError(key, error, queue, log);
    } finally {
      this.#running.delete(key);
    }
    const tookMs = this.#clock.monotonicMs() - startedAt;
    metrics?.reconcileTime.observe({ controller: this.name, result: outcome }, tookMs / 1000);
    log.debug({ result: outcome, tookMs: Math.round(tookMs) }, 'finished reconciling');
  }

  #afterError(key: string, error: unknown, queue: WorkQueue, log: Log): ReconcileOutcome {
    if (error instanceof TerminalError) {
      queue.forget(key);
      this.#terminal.add(key);
      log.warn({ err: error }, 'waiting for a change after an error that retrying cannot mend');
      return 'terminal';
    }
    const minMs = error instanceof TooManyRequestsError ? error.retryAfterMs : 0;
    const retryInMs = Math.round(queue.retry(key, minMs));
    if (error instanceof ConflictError) {
      log.debug({ err: error, retryInMs }, 'reconciling again after a conflict');
      return 'conflict';
    }
    log.error({ err: error, retryInMs }, 'reconciling again after an error');
    return 'error';
  }

  /** In slices over the interval's last tenth, so that ten thousand names do not all come at one instant. */
  #resyncEvery(intervalMs: number, queue: WorkQueue, random: Random): Disposable {
    let timer: Disposable;
    const spreadMs = intervalMs / 10;
    const tick = () => {
      for (const source of this.#options.sources) {
        source.resync(request => {
          const key = formatKey(request);
          if (!this.#terminal.has(key)) queue.addAfter(key, random() * spreadMs, priorities.low);
        });
      }
      timer = this.#clock.after(intervalMs, tick);
    };
    timer = this.#clock.after(intervalMs, tick);
    return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
  }

  #reportDepth(queue: WorkQueue): void {
    const { ready, delayed, running } = queue.sizes;
    const gauge = this.#options.metrics?.queueDepth;
    gauge?.set({ controller: this.name, state: 'ready' }, ready);
    gauge?.set({ controller: this.name, state: 'delayed' }, delayed);
    gauge?.set({ controller: this.name, state: 'running' }, running);
  }
}
