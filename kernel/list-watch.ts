/**
 * Keeps a sink in step with one collection of the API server, for ever: list in pages, watch from there, and whatever
 * happens, carry on. A watch that ends or breaks goes on from the last resourceVersion seen, so nothing is missed and
 * nothing is listed again, until the server says (410) that it no longer knows that version.
 */
import { type Clock, pause, type Random } from '#kernel/clock.ts';
import { GoneError, TooManyRequestsError } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { Scope } from '#kernel/kube-options.ts';
import type { Log } from '#kernel/log.ts';
import { type KubeObject, keyOf } from '#kernel/object.ts';
import type { Resource } from '#kernel/resource.ts';

export interface ListWatchSink<T extends KubeObject> {
  upsert(object: T): void;
  remove(key: string): void;
  /** A list is complete: what it did not contain is gone. */
  listed(keys: ReadonlySet<string>): void;
  restarted(reason: 'ended' | 'broken' | 'expired' | 'silent'): void;
}

export interface ListWatchTiming {
  /** The server ends a watch after this long (up to twice, spread), so that load moves between servers. */
  readonly watchSeconds: number;
  /**
   * A server that has sent a bookmark sends one about every minute; a watch of such a server that says nothing for this
   * long is taken for dead. One that never sent any is only held to `watchSeconds`.
   */
  readonly silentMs: number;
  /** How much later than `watchSeconds` a server may end a watch before it is taken for dead. */
  readonly endGraceMs: number;
  readonly backoffBaseMs: number;
  /** For so long a process may know less than another after the API server is back. */
  readonly backoffMaxMs: number;
}

export const defaultTiming: ListWatchTiming = {
  watchSeconds: 300,
  silentMs: 150_000,
  endGraceMs: 15_000,
  backoffBaseMs: 250,
  backoffMaxMs: 5_000,
};

export interface ListWatchOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  readonly scope: Scope;
  readonly sink: ListWatchSink<T>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly timing: ListWatchTiming;
}

export class ListWatch<T extends KubeObject> {
  readonly #options: ListWatchOptions<T>;
  #resourceVersion: string | undefined;
  #failures = 0;
  #heardAt: number;
  #sendsBookmarks = false;

  constructor(options: ListWatchOptions<T>) {
    this.#options = options;
    this.#heardAt = options.clock.monotonicMs();
  }

  /** Since the server last gave a sign of life for this collection. */
  get stalenessMs(): number {
    return this.#options.clock.monotonicMs() - this.#heardAt;
  }

  /** Ends only when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, sink } = this.#options;
    while (!signal.aborted) {
      try {
        this.#resourceVersion ??= await this.#list(signal);
        await this.#watch(this.#resourceVersion, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof GoneError) {
          sink.restarted('expired');
          this.#resourceVersion = undefined;
          // The first time there is no reason to wait.
          if (this.#failures++ === 0) continue;
        } else {
          sink.restarted('broken');
          this.#failures++;
        }
        const asked = error instanceof TooManyRequestsError ? error.retryAfterMs : 0;
        const delayMs = Math.max(asked, this.#backoffMs());
        log.warn({ err: error, retryInMs: Math.round(delayMs) }, 'listing or watching again after a failure');
        await pause(clock, delayMs, signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const { client, resource, scope, sink } = this.#options;
    const seen = new Set<string>();
    let resourceVersion = '';
    for await (const page of client.listPages(resource, scope, { signal })) {
      this.#heard();
      for (const object of page.items) {
        seen.add(keyOf(object));
        sink.upsert(object);
      }
      resourceVersion = page.resourceVersion;
    }
    sink.listed(seen);
    return resourceVersion;
  }

  async #watch(from: string, signal: AbortSignal): Promise<void> {
    const { client, resource, scope, sink, clock, random, timing, log } = this.#options;
    const openedAt = clock.monotonicMs();
    const timeoutSeconds = Math.ceil(timing.watchSeconds * (1 + random()));
    const silence = new AbortController();
    using cleanup = new DisposableStack();
    cleanup.use(this.#watchForSilence(openedAt + timeoutSeconds * 1000 + timing.endGraceMs, silence));
    try {
      const events = await client.watch(resource, {
        ...scope,
        resourceVersion: from,
        timeoutSeconds,
        signal: AbortSignal.any([signal, silence.signal]),
      });
      this.#heard();
      for await (const event of events) {
        this.#heard();
        this.#failures = 0;
        if (event.type === 'BOOKMARK') {
          this.#sendsBookmarks = true;
          this.#resourceVersion = event.resourceVersion;
          continue;
        }
        const { object } = event;
        if (event.type === 'DELETED') sink.remove(keyOf(object));
        else sink.upsert(object);
        this.#resourceVersion = object.metadata.resourceVersion ?? this.#resourceVersion;
      }
    } catch (error) {
      if (!silence.signal.aborted || signal.aborted) throw error;
      sink.restarted('silent');
      log.warn({ silentMs: Math.round(this.stalenessMs) }, 'opening a watch again that has gone silent');
      return;
    }
    sink.restarted('ended');
    // A server that ends every watch at once must not be hammered.
    if (clock.monotonicMs() - openedAt < 1000) {
      this.#failures++;
      await pause(clock, this.#backoffMs(), signal);
    } else {
      this.#failures = 0;
    }
  }

  #watchForSilence(endAt: number, silence: AbortController): Disposable {
    const { clock, timing } = this.#options;
    const openedAt = clock.monotonicMs();
    let timer: Disposable | undefined;
    const arm = () => {
      const now = clock.monotonicMs();
      const since = Math.max(this.#heardAt, openedAt);
      const silentAt = this.#sendsBookmarks ? since + timing.silentMs : endAt;
      const deadAt = Math.min(silentAt, endAt);
      if (now >= deadAt) silence.abort(new Error('the watch went silent'));
      else timer = clock.after(Math.min(deadAt - now, timing.silentMs), arm);
    };
    arm();
    return { [Symbol.dispose]: () => timer?.[Symbol.dispose]() };
  }

  #heard(): void {
    this.#heardAt = this.#options.clock.monotonicMs();
  }

  #backoffMs(): number {
    const { timing, random } = this.#options;
    const full = Math.min(timing.backoffMaxMs, timing.backoffBaseMs * 2 ** Math.min(this.#failures - 1, 20));
    return full * (0.5 + 0.5 * random());
  }
}
