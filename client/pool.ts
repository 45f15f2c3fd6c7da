/**
 * The sessions of one login on one shard: opened when needed, at most `max`, closed when idle. Taking one that is idle
 * costs no promise. A drained pool gives out no more sessions and closes each as it comes back.
 */

import { NotSentError } from './classify.ts';
import type { Clock } from './clock.ts';
import type { Deadline } from './deadline.ts';

/** What a pool needs of a session. */
export interface Poolable {
  readonly closed: boolean;
  /** Outside any transaction, and alive. */
  readonly reusable: boolean;
  idleSinceMs: number;
  onClosed: () => void;
  close(): void;
}

export interface PoolOptions<T extends Poolable> {
  readonly open: () => Promise<T>;
  readonly max: number;
  readonly idleMs: number;
  /** For closing idle sessions; must not keep the process alive. */
  readonly clock: Clock;
  readonly onChange?: () => void;
}

interface Waiter<T> {
  readonly give: (connection: T) => void;
  readonly fail: (error: unknown) => void;
}

const openedAtOnce = 2;
const openingPauseMs = 5;

/** The pool belongs to another generation than that of the map in force; nothing was sent. */
export class PoolDrainedError extends NotSentError {}

export class Pool<T extends Poolable> {
  readonly #options: PoolOptions<T>;
  /** The one used last is at the end and used next, so that the others can grow old. */
  readonly #idle: T[] = [];
  readonly #open = new Set<T>();
  readonly #waiters: Waiter<T>[] = [];
  readonly #emptied: (() => void)[] = [];
  /** The most that were open at a time, lately. */
  #peak = 0;
  /** As many sessions are to be opened ahead of need. */
  #wanted = 0;
  #opening = 0;
  #lastOpeningMs = Number.NEGATIVE_INFINITY;
  #nextOpening: Disposable | undefined;
  #drained = false;
  #sweep: Disposable | undefined;

  constructor(options: PoolOptions<T>) {
    this.#options = options;
  }

  get counts(): { readonly open: number; readonly idle: number; readonly waiting: number } {
    return { open: this.#open.size, idle: this.#idle.length, waiting: this.#waiters.length };
  }

  /** The most sessions that were open at a time, lately: those that their server has ended meanwhile count. */
  get peak(): number {
    return this.#peak;
  }

  /** An idle session, if there is one. */
  take(): T | undefined {
    return this.#drained ? undefined : this.#idle.pop();
  }

  /** A session: an idle one, a new one, or the next that comes back. Rejects as opening does, or with the deadline's reason. */
  acquire(deadline: Deadline): Promise<T> {
    if (this.#drained) return Promise.reject(new PoolDrainedError('the pool is drained'));
    const idle = this.take();
    if (idle !== undefined) return Promise.resolve(idle);
    return new Promise((resolve, reject) => {
      const stop = deadline.onOver(() => {
        const at = this.#waiters.indexOf(waiter);
        if (at >= 0) this.#waiters.splice(at, 1);
        reject(deadline.reason(new NotSentError('no session became free')));
      });
      const waiter: Waiter<T> = {
        give: connection => {
          stop();
          resolve(connection);
        },
        fail: error => {
          stop();
          reject(error);
        },
      };
      this.#waiters.push(waiter);
      this.#openMore();
    });
  }

  /** Opens sessions ahead of need, until `count` are there. Failures are left to whoever needs one. */
  prepare(count: number): void {
    this.#wanted = Math.min(count, this.#options.max);
    this.#openMore();
  }

  /** Every session taken must come back, whole or not. */
  release(connection: T): void {
    if (!connection.reusable || this.#drained) {
      connection.close();
      return;
    }
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) return waiter.give(connection);
    connection.idleSinceMs = this.#options.clock.monotonicMs();
    this.#idle.push(connection);
    this.#armSweep();
  }

  /** Closes what is idle: whoever comes next gets a new session. */
  clear(): void {
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  /** Closes what is idle now and the rest as it comes back. Resolves when nothing is left. */
  drain(): Promise<void> {
    this.#drained = true;
    this.#sweep?.[Symbol.dispose]();
    this.#nextOpening?.[Symbol.dispose]();
    for (const waiter of this.#waiters.splice(0)) waiter.fail(new PoolDrainedError('the pool is drained'));
    this.clear();
    if (this.#open.size === 0 && this.#opening === 0) return Promise.resolve();
    return new Promise(resolve => {
      this.#emptied.push(resolve);
    });
  }

  /** Closes sessions in use, too. */
  destroy(): void {
    void this.drain();
    for (const connection of this.#open) connection.close();
  }

  /**
   * A few at a time, and further ones only a moment later: a session costs both sides milliseconds of work, and the first that
   * is ready can serve many who wait while those that are opened side by side delay each other.
   */
  #openMore(): void {
    const { clock } = this.#options;
    while (this.#nextOpening === undefined && this.#isShort()) {
      const nowMs = clock.monotonicMs();
      if (this.#opening >= openedAtOnce && nowMs < this.#lastOpeningMs + openingPauseMs) {
        this.#nextOpening = clock.after(openingPauseMs, () => {
          this.#nextOpening = undefined;
          this.#openMore();
        });
        return;
      }
      this.#opening++;
      this.#lastOpeningMs = nowMs;
      void this.#openOne();
    }
  }

  #isShort(): boolean {
    const there = this.#open.size + this.#opening;
    if (there >= this.#wanted) this.#wanted = 0;
    if (this.#drained || there >= this.#options.max) return false;
    return this.#opening < this.#waiters.length || there < this.#wanted;
  }

  async #openOne(): Promise<void> {
    try {
      const connection = await this.#options.open();
      this.#open.add(connection);
      this.#peak = Math.max(this.#peak, this.#open.size);
      connection.onClosed = () => this.#forget(connection);
      this.#options.onChange?.();
      if (connection.closed) this.#forget(connection);
      else this.release(connection);
    } catch (error) {
      // Each failure is one waiter's: the next tries for itself.
      this.#wanted = 0;
      this.#waiters.shift()?.fail(error);
    } finally {
      this.#opening--;
      this.#nextOpening?.[Symbol.dispose]();
      this.#nextOpening = undefined;
      this.#openMore();
      this.#settle();
    }
  }

  #forget(connection: T): void {
    if (!this.#open.delete(connection)) return;
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#options.onChange?.();
    this.#openMore();
    this.#settle();
  }

  #settle(): void {
    if (this.#drained && this.#open.size === 0 && this.#opening === 0) {
      for (const resolve of this.#emptied.splice(0)) resolve();
    }
  }

  #armSweep(): void {
    if (this.#sweep !== undefined) return;
    const { clock, idleMs } = this.#options;
    this.#sweep = clock.after(idleMs, () => {
      this.#sweep = undefined;
      const oldest = clock.monotonicMs() - idleMs;
      const expired = this.#idle.filter(connection => connection.idleSinceMs <= oldest);
      for (const connection of expired) connection.close();
      this.#peak = this.#open.size;
      if (this.#idle.length > 0) this.#armSweep();
    });
  }
}
