/**
 * One leader among the replicas, by a Lease. Guarantees, as long as clocks run at the same rate: the old leader is told
 * to end (its fence aborts, {@link LeaderElector.assertLeading} throws) before anyone else can take the lease; times of
 * different machines are never compared. A leader that stops in good order gives the lease back at once.
 *
 * Give its store a client of its own: a renewal must neither wait behind a burst of requests nor pass the guard it feeds.
 */
import { type Clock, jitter, pause, type Random, realClock } from '#kernel/clock.ts';
import { ConflictError } from '#kernel/errors.ts';
import { microTime } from '#kernel/events.ts';
import type { LeaseStore } from '#kernel/lease-store.ts';
import type { Log } from '#kernel/log.ts';
import type { Metrics } from '#kernel/metrics.ts';
import { type Lease, Leases } from '#kernel/resources.ts';

export interface LeaderOptions {
  readonly store: LeaseStore;
  /** Unique among the replicas, e.g. the pod's name. */
  readonly identity: string;
  /** Others take over a lease that has not changed for this long. Default 15,000; whole seconds. */
  readonly leaseMs?: number;
  /** The leader gives up when it could not renew for this long; must be less. Default 10,000. */
  readonly renewWithinMs?: number;
  /** Default 2,000. */
  readonly retryMs?: number;
  readonly log: Log;
  readonly metrics?: Metrics;
  readonly clock?: Clock;
  readonly random?: Random;
}

export class NotLeadingError extends Error {
  override readonly name = 'NotLeadingError';
  readonly code = 'NotLeading';
  readonly remedy = 'None is needed: the replica that leads does the work.';
}

export class LeaderElector {
  readonly #options: LeaderOptions;
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #renewWithinMs: number;
  readonly #retryMs: number;
  /** The lease as last read, and since when it has been as it is, on our own clock. */
  #seen: { readonly version: string | undefined; readonly since: number } | undefined;
  /** On the monotonic clock. */
  #leadingUntil = Number.NEGATIVE_INFINITY;

  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.#leaseMs = options.leaseMs ?? 15_000;
    this.#renewWithinMs = options.renewWithinMs ?? 10_000;
    this.#retryMs = options.retryMs ?? 2000;
    if (this.#renewWithinMs >= this.#leaseMs || this.#retryMs >= this.#renewWithinMs) {
      throw new RangeError('it must be that retryMs < renewWithinMs < leaseMs');
    }
  }

  get leading(): boolean {
    return this.#clock.monotonicMs() < this.#leadingUntil;
  }

  /** Fits KubeClientOptions.guardWrite: even after a long pause of this process nothing is written in vain. */
  readonly assertLeading = (): void => {
    if (!this.leading) throw new NotLeadingError(`${this.#options.identity} does not lead`);
  };

  /**
   * Runs `lead` whenever this replica leads, until `stop` aborts; then waits for `lead` to end and gives the lease back.
   * `lead` must watch both `stop`, as it sees fit, and its fence, at once. Rejects only if `lead` does.
   */
  async run(stop: AbortSignal, lead: (fence: AbortSignal) => Promise<void>): Promise<void> {
    while (!stop.aborted) {
      if (await this.#tryAcquire(stop)) await this.#lead(stop, lead);
      else await pause(this.#clock, this.#retryDelay(), stop);
    }
  }

  async #lead(stop: AbortSignal, lead: (fence: AbortSignal) => Promise<void>): Promise<void> {
    const { log, metrics, identity } = this.#options;
    log.info({ identity }, 'leading');
    metrics?.leader.set(1);
    const fence = new AbortController();
    const ended = new AbortController();
    const renewing = this.#keepRenewing(fence, ended.signal);
    try {
      await lead(fence.signal);
    } finally {
      ended.abort();
      await renewing;
      metrics?.leader.set(0);
      const held = this.leading;
      this.#leadingUntil = Number.NEGATIVE_INFINITY;
      if (held) await this.#release();
      log.info({ identity, lost: fence.signal.aborted }, 'no longer leading');
    }
    // A lead that ended by itself, not because it was told to, leaves the field to others first.
    if (!fence.signal.aborted && !stop.aborted) await pause(this.#clock, this.#retryDelay(), stop);
  }

  async #keepRenewing(fence: AbortController, ended: AbortSignal): Promise<void> {
    using timers = new DisposableStack();
    let timer: Disposable | undefined;
    timers.defer(() => timer?.[Symbol.dispose]());
    const watch = () => {
      const left = this.#leadingUntil - this.#clock.monotonicMs();
      if (left > 0) timer = this.#clock.after(left, watch);
      else fence.abort(new NotLeadingError(`the lease was not renewed within ${this.#renewWithinMs} ms`));
    };
    watch();
    const until = AbortSignal.any([ended, fence.signal]);
    for (;;) {
      await pause(this.#clock, this.#retryMs, until);
      if (until.aborted) return;
      if ((await this.#renew(until)) === 'lost') {
        this.#leadingUntil = Number.NEGATIVE_INFINITY;
        fence.abort(new NotLeadingError('another replica has taken the lease'));
        return;
      }
    }
  }

  /** True once the lease is ours. Failures are logged: the next try comes anyway. */
  async #tryAcquire(signal: AbortSignal): Promise<boolean> {
    const { store, identity, log } = this.#options;
    const options = { signal, deadlineMs: this.#renewWithinMs / 2 };
    try {
      const sentAt = this.#clock.monotonicMs();
      const lease = await store.read(options);
      if (lease && !this.#mayTake(lease)) return false;
      await store.write(this.#written(lease, true), options);
      this.#leadingUntil = sentAt + this.#renewWithinMs;
      return true;
    } catch (error) {
      if (!signal.aborted) log.debug({ err: error, identity }, 'trying again to acquire the lease');
      return false;
    }
  }

  #mayTake(lease: Lease): boolean {
    const holder = lease.spec?.holderIdentity;
    const version = lease.metadata.resourceVersion;
    const now = this.#clock.monotonicMs();
    if (this.#seen?.version !== version) this.#seen = { version, since: now };
    if (!holder || holder === this.#options.identity) return true;
    const theirLeaseMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
    return now - (this.#seen?.since ?? now) >= Math.max(theirLeaseMs, this.#leaseMs);
  }

  async #renew(signal: AbortSignal): Promise<'held' | 'unknown' | 'lost'> {
    const { store, identity, log } = this.#options;
    // The time counts from before the request: whoever waits for our lease to expire starts later.
    const sentAt = this.#clock.monotonicMs();
    const options = { signal, deadlineMs: this.#retryMs * 2 };
    try {
      const lease = await store.read(options);
      if (lease?.spec?.holderIdentity !== identity) return 'lost';
      await store.write(this.#written(lease, false), options);
      this.#leadingUntil = sentAt + this.#renewWithinMs;
      return 'held';
    } catch (error) {
      if (signal.aborted || error instanceof ConflictError) return 'unknown';
      log.warn({ err: error, identity }, 'trying again to renew the lease');
      return 'unknown';
    }
  }

  async #release(): Promise<void> {
    const { store, identity, log } = this.#options;
    try {
      const lease = await store.read({ deadlineMs: this.#retryMs });
      if (lease?.spec?.holderIdentity !== identity) return;
      const spec = { ...lease.spec, holderIdentity: '', renewTime: microTime(this.#clock.now()) };
      await store.write({ ...lease, spec }, { deadlineMs: this.#retryMs });
    } catch (error) {
      log.warn({ err: error, identity }, 'leaving the lease to expire: it could not be given back');
    }
  }

  #written(lease: Lease | undefined, acquired: boolean): Lease {
    const { identity } = this.#options;
    const now = microTime(this.#clock.now());
    const before = lease?.spec;
    return {
      apiVersion: Leases.apiVersion,
      kind: Leases.kind,
      metadata: lease?.metadata ?? { name: '' },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(this.#leaseMs / 1000),
        acquireTime: acquired ? now : (before?.acquireTime ?? now),
        renewTime: now,
        leaseTransitions: (before?.leaseTransitions ?? 0) + (acquired && before ? 1 : 0),
      },
    };
  }

  #retryDelay(): number {
    return jitter(this.#retryMs, 0.2, this.#options.random ?? Math.random);
  }
}
