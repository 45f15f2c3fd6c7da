/** Kills an operator at its n-th write or step, counted from 0, and at every one after that: it never comes further. */

export class KilledError extends Error {
  override readonly name = 'KilledError';
}

export class KillPoint {
  /** False: everything passes, and nothing is counted. */
  armed = true;
  killed = false;
  /** Writes and steps that went through. */
  passed = 0;
  readonly #before: number;

  constructor(before: number) {
    this.#before = before;
  }

  /** To be called before each of them. */
  readonly pass = (): void => {
    if (!this.armed) return;
    if (this.passed >= this.#before) {
      this.killed = true;
      throw new KilledError(`before point ${this.passed}`);
    }
    this.passed++;
  };
}
