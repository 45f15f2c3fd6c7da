/** Published first; see below. */
import type { Partition, SlotRange } from './partition.ts';

export type Operation =
  /** Into so many shards, itself included. */
  | { readonly kind: 'split'; readonly shard: string; readonly into: number }
  /** `into` is one of them; the first if absent. */
  | { readonly kind: 'merge'; readonly shards: readonly string[]; readonly into?: string }
  /** All of a shard to `to`, an empty shard of the map. */
  | { readonly kind: 'move'; readonly shard: string; readonly to: string }
  | {
      readonly kind: 'slots';
      readonly from: string;
      readonly to: string;
      readonly ranges: readonly SlotRange[];
    };

export interface PlanContext {
  /** Shards by name that other operations count on: they are no targets of a split. */
  readonly reserved: ReadonlySet<string>;
  /** ShardCluster.spec.shards: a merge needs room below the present count. */
  readonly wantedShards: number;
}

/** What engines/migration.ts calls a transfer, less its name. Shards by name. */
export interface PlannedTransfer {
  readonly source: string;
  readonly target: string;
  readonly partition: Partition;
  /** The partition is all that the source owns. */
  readonly whole: boolean;
  /** The target owns nothing. */
  readonly targetEmpty: boolean;
}
