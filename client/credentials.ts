/** The passwords in force. During a rotation a server may know the old or the new one: both are tried. */
import type { Credentials } from './options.ts';

export class CredentialStore {
  readonly #load: () => Promise<Credentials>;
  #current: Promise<Credentials> | undefined;

  constructor(source: Credentials | (() => Promise<Credentials>)) {
    this.#load = typeof source === 'function' ? source : () => Promise.resolve(source);
  }

  /** A failed load is not kept: the next call tries again. */
  get(): Promise<Credentials> {
    this.#current ??= this.#load().catch((error: unknown) => {
      this.#current = undefined;
      throw error;
    });
    return this.#current;
  }

  /** Asks the source again at the next call: a server refused every password. */
  invalidate(): void {
    this.#current = undefined;
  }
}
