/**
 * The newest status of each migration: what was written just now, until the watch has brought it back. A pass that follows
 * another within milliseconds must not decide from the status before it. Forgetting all of it, as a restart does, is harmless:
 * the first list is as new as the API server.
 */
import { type ShardMigrationStatus, shardMigrationStatus } from '#crds/api/migration/status.ts';
import type { Clock } from '#kernel/clock.ts';
import { type KubeObject, keyOf } from '#kernel/object.ts';
import type { WatchedObjects } from './deps.ts';
import { migrationOf } from './facts.ts';

interface Written {
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly status: ShardMigrationStatus;
  readonly at: number;
}

/** Longer than a watch takes; afterwards the cache is believed, whatever it shows. */
const BELIEVE_MS = 10_000;

export class StatusMemory implements Disposable {
  readonly #written = new Map<string, Written>();
  readonly #clock: Clock;
  readonly #subscription: Disposable;

  constructor(cache: Pick<WatchedObjects, 'subscribe'>, clock: Clock) {
    this.#clock = clock;
    this.#subscription = cache.subscribe(({ type, object }) => {
      const key = keyOf(object);
      if (type === 'deleted' || this.#written.get(key)?.resourceVersion === object.metadata.resourceVersion) {
        this.#written.delete(key);
      }
    });
  }

  /** `raw`: as the cache has it. */
  latest(raw: KubeObject): ShardMigrationStatus {
    const key = keyOf(raw);
    const written = this.#written.get(key);
    if (written && written.uid === raw.metadata.uid && this.#clock.monotonicMs() - written.at < BELIEVE_MS) {
      return written.status;
    }
    this.#written.delete(key);
    return migrationOf(raw).status ?? {};
  }

  /** `answer`: what the API server made of a write. */
  keep(answer: KubeObject): void {
    const { uid, resourceVersion } = answer.metadata;
    const status = shardMigrationStatus.parse(answer['status'] ?? {});
    this.#written.set(keyOf(answer), { uid, resourceVersion, status, at: this.#clock.monotonicMs() });
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}
