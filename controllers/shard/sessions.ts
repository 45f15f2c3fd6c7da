/** Administrative sessions, only so many at a time over all shards: a hundred shards that come up together must not become a
 * hundred handshakes in one instant. */

export class Sessions {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#free = limit;
  }

  /** Opens, works, closes; the error of `open` or `work` passes through. */
  async run<S extends AsyncDisposable, R>(
    signal: AbortSignal,
    open: () => Promise<S>,
    work: (session: S) => Promise<R>,
  ): Promise<R> {
    await this.#acquire();
    try {
      signal.throwIfAborted();
      await using session = await open();
      return await work(session);
    } finally {
      this.#release();
    }
  }

  #acquire(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return Promise.resolve();
    }
    return new Promise(resolve => this.#waiting.push(resolve));
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}
