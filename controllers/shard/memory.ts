/**
 * What the controller remembers of a shard beyond its status: only to save work. Forgetting it all, as a restart does, costs
 * a few connections and changes nothing.
 */
import type { Shard, ShardStatus } from '#crds/api/shard.ts';
import { type Measured, measuredOf } from './status.ts';

interface Entry {
  readonly uid: string | undefined;
  measured: Measured;
  /** On the monotonic clock. */
  statisticsDueAt: number | undefined;
  /** On the monotonic clock: until then members may not have noticed what was changed for them. */
  settledAt: number;
  written: WrittenStatus | undefined;
}

interface WrittenStatus {
  readonly status: ShardStatus;
  /** resourceVersion of the Shard that it was written over. */
  readonly over: string | undefined;
  /** On the monotonic clock. */
  readonly at: number;
}

export class Memory {
  readonly #entries = new Map<string, Entry>();

  /** The last measurement: newer than the status while the watch has not brought that back. */
  measured(shard: Shard): Measured {
    return this.#entry(shard).measured;
  }

  keep(shard: Shard, measured: Measured): void {
    this.#entry(shard).measured = measured;
  }

  statisticsDueAt(shard: Shard): number | undefined {
    return this.#entry(shard).statisticsDueAt;
  }

  measureAt(shard: Shard, monotonicMs: number): void {
    this.#entry(shard).statisticsDueAt = monotonicMs;
  }

  settledAt(shard: Shard): number {
    return this.#entry(shard).settledAt;
  }

  settleUntil(shard: Shard, monotonicMs: number): void {
    this.#entry(shard).settledAt = monotonicMs;
  }

  /** The status that the Shard has: what we wrote, as long as the cache shows what we wrote it over. */
  statusOf(shard: Shard): ShardStatus | undefined {
    const { written } = this.#entry(shard);
    return written && written.over === shard.metadata.resourceVersion ? written.status : shard.status;
  }

  /** On the monotonic clock; long ago if never. */
  statusWrittenAt(shard: Shard): number {
    return this.#entry(shard).written?.at ?? Number.NEGATIVE_INFINITY;
  }

  keepStatus(shard: Shard, written: WrittenStatus): void {
    this.#entry(shard).written = written;
  }

  forget(key: { readonly namespace: string; readonly name: string }): void {
    this.#entries.delete(`${key.namespace}/${key.name}`);
  }

  #entry(shard: Shard): Entry {
    const { namespace, name, uid } = shard.metadata;
    const key = `${namespace ?? ''}/${name}`;
    const known = this.#entries.get(key);
    // A Shard made again under its name starts anew.
    if (known && known.uid === uid) return known;
    const fresh: Entry = {
      uid,
      measured: measuredOf(shard),
      statisticsDueAt: undefined,
      settledAt: Number.NEGATIVE_INFINITY,
      written: undefined,
    };
    this.#entries.set(key, fresh);
    return fresh;
  }
}
