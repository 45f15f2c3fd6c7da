/**
 * Has a pooler open sessions of its own with the server ahead of need. In transaction mode it opens them when transactions ask
 * for them, and one after the other: so as many transactions are begun as there are sessions, and none ends before all have
 * begun or the time for it is over. They hold nothing and change nothing.
 */
import type { Clock } from './clock.ts';
import { Deadline } from './deadline.ts';

export interface WarmUpOptions {
  readonly sessions: number;
  /** How long one waits for the others, from the beginning of it all. */
  readonly forMs: number;
  /** How long one statement may take. */
  readonly statementMs: number;
  readonly clock: Clock;
}

/** What it needs of a session. */
export interface Warmed {
  query(statement: { readonly text: string }, deadline: Deadline): Promise<unknown>;
}

export class WarmUp {
  readonly #options: WarmUpOptions;
  readonly #over: Promise<void>;
  readonly #timer: Disposable;
  #setOver: (() => void) | undefined;
  #toBegin: number;

  constructor(options: WarmUpOptions) {
    this.#options = options;
    this.#toBegin = options.sessions;
    this.#over = new Promise(resolve => {
      this.#setOver = resolve;
    });
    this.#timer = options.clock.after(options.forMs, () => this.end());
  }

  /** Resolves when the session has been through it, or none has to any more. Rejects as its statements do. */
  async pass(session: Warmed): Promise<void> {
    if (this.#setOver === undefined) return;
    await this.#run(session, 'BEGIN');
    this.#toBegin--;
    if (this.#toBegin === 0) this.end();
    await this.#over;
    await this.#run(session, 'ROLLBACK');
  }

  /** Whoever waits for the others waits no longer, and whoever comes now need not begin. */
  end(): void {
    this.#timer[Symbol.dispose]();
    this.#setOver?.();
    this.#setOver = undefined;
  }

  async #run(session: Warmed, text: string): Promise<void> {
    const { statementMs, clock } = this.#options;
    await session.query({ text }, Deadline.of(undefined, statementMs, clock));
  }
}
