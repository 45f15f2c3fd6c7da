/**
 * The newest status of each migration: what was written just now, until the watch has brought it back. A pass that follows
 * another within milliseconds, or that comes while the watch is cut off, must not decide from the status before it. Writes are
 * made over the version that is known here, so that one from an older copy is a conflict and not a step back. Forgetting all of
 * it, as a restart does, is harmless for that reason.
 */
import { type ShardMigrationStatus, shardMigrationStatus } from '#crds/api/migration/status.ts';
import { type KubeObject, keyOf } from '#kernel/object.ts';
import type { WatchedObjects } from './deps.ts';
import { migrationOf } from './facts.ts';

interface Written {
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly status: ShardMigrationStatus;
  /** Versions that it was written over: a cache that shows one of them is behind, one that shows any other is ahead. */
  readonly over: ReadonlySet<string | undefined>;
}

export class StatusMemory implements Disposable {
  readonly #written = new Map<string, Written>();
  readonly #subscription: Disposable;

  constructor(cache: Pick<WatchedObjects, 'subscribe'>) {
    this.#subscription = cache.subscribe(({ type, object }) => {
      const key = keyOf(object);
      if (type === 'deleted' || this.#written.get(key)?.resourceVersion === object.metadata.resourceVersion) {
        this.#written.delete(key);
      }
    });
  }

  /** `raw`: as the cache has it. */
  latest(raw: KubeObject): ShardMigrationStatus {
    return this.#believed(raw)?.status ?? migrationOf(raw).status ?? {};
  }

  /** The version that a write has to be made over. */
  versionOf(raw: KubeObject): string | undefined {
    return (this.#believed(raw) ?? raw.metadata).resourceVersion;
  }

  /** `answer`: what the API server made of a write of ours; `raw`: what the cache had when its pass began. */
  keep(raw: KubeObject, answer: KubeObject): void {
    const { uid, resourceVersion } = answer.metadata;
    const before = this.#written.get(keyOf(raw));
    const over = new Set(before?.uid === uid ? before?.over : []).add(raw.metadata.resourceVersion);
    if (before) over.add(before.resourceVersion);
    const status = shardMigrationStatus.parse(answer['status'] ?? {});
    this.#written.set(keyOf(answer), { uid, resourceVersion, status, over });
  }

  /** Somebody has written since. */
  forget(raw: KubeObject): void {
    this.#written.delete(keyOf(raw));
  }

  #believed(raw: KubeObject): Written | undefined {
    const written = this.#written.get(keyOf(raw));
    if (!written) return undefined;
    const { uid, resourceVersion } = raw.metadata;
    if (written.uid === uid && written.over.has(resourceVersion)) return written;
    this.#written.delete(keyOf(raw));
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}
