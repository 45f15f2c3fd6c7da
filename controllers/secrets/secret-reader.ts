/**
 * Secrets by name, on demand: they are never watched, so no right to list them is needed. What was read is believed for a
 * while; our own writes at once. Two who ask for one Secret at the same time make one request.
 */
import type { Clock } from '#kernel/clock.ts';
import { orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { formatKey, keyOf, type ObjectKey } from '#kernel/object.ts';
import { type Secret, Secrets } from '#kernel/resources.ts';

interface Known {
  readonly secret: Promise<Secret | undefined>;
  readonly at: number;
}

export class SecretReader {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #known = new Map<string, Known>();

  constructor(options: { readonly client: KubeClient; readonly clock: Clock; readonly ttlMs?: number }) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#ttlMs = options.ttlMs ?? 60_000;
  }

  /** Undefined when there is none. Throws KubeError; ForbiddenError where the namespace is not enabled. */
  read(key: ObjectKey, signal: AbortSignal): Promise<Secret | undefined> {
    const id = formatKey(key);
    const now = this.#clock.monotonicMs();
    const known = this.#known.get(id);
    if (known && now - known.at < this.#ttlMs) return known.secret;
    // The request outlives the one who asked first: others may be waiting for it. The client has its own deadline.
    const secret = orUndefined(this.#client.get(Secrets, key));
    this.#known.set(id, { secret, at: now });
    secret.then(
      // Absence is not worth remembering: whoever asks is about to make it, or waits for it.
      found => found === undefined && this.#forgetIf(id, secret),
      () => this.#forgetIf(id, secret),
    );
    this.#sweep(now);
    signal.throwIfAborted();
    return secret;
  }

  /** After a write of our own. */
  keep(secret: Secret): void {
    this.#known.set(keyOf(secret), { secret: Promise.resolve(secret), at: this.#clock.monotonicMs() });
  }

  forget(key: ObjectKey): void {
    this.#known.delete(formatKey(key));
  }

  #forgetIf(id: string, secret: Promise<unknown>): void {
    if (this.#known.get(id)?.secret === secret) this.#known.delete(id);
  }

  /** The oldest come first: a Map keeps the order of insertion. */
  #sweep(now: number): void {
    for (const [id, { at }] of this.#known) {
      if (now - at < this.#ttlMs) return;
      this.#known.delete(id);
    }
  }
}

/** The fields of a Secret as text. */
export function decodeSecret(secret: Secret | undefined): Readonly<Record<string, string>> | undefined {
  if (!secret) return undefined;
  return Object.fromEntries(
    Object.entries(secret.data ?? {}).map(([name, value]) => [name, Buffer.from(value, 'base64').toString()]),
  );
}

export function encodeFields(fields: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
  );
}
