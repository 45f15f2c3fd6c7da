/**
 * What the controller remembers of a shard beyond its status: only to save work. Forgetting it all, as a restart does, costs
 * a few connections and changes nothing.
 */
import type { Shard } from '#crds/api/shard.ts';
import { type Measured, measuredOf } from './status.ts';

interface Entry {
  readonly uid: string | undefined;
  measured: Measured;
  /** On the monotonic clock. */
  statisticsDueAt: number | undefined;
  /** On the monotonic clock: until then members may not have noticed what was changed for them. */
  settledAt: number;
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
    };
    this.#entries.set(key, fresh);
    return fresh;
  }
}
