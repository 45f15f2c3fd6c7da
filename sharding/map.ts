/**
 * The shard map, format 1: who owns which slot or key, and what each shard is. A map is a value: it is made once by
 * `createMap`, changed by the functions of `change.ts` (each gives a new map with epoch + 1), and never recomputed from
 * a spec. Owners are shard ordinals.
 */
import type { KeyType } from './key.ts';

export const mapFormat = 1;

export type Algorithm = 'hash' | 'range' | 'directory' | 'geo';
export type ShardState = 'active' | 'readonly' | 'maintenance';
export type Side = 'write' | 'read';

export interface ShardMap {
  readonly format: typeof mapFormat;
  readonly namespace: string;
  readonly cluster: string;
  /** +1 with every change; 1 when created. */
  readonly epoch: number;
  readonly keyType: KeyType;
  /** Power of two, 2^8 .. 2^20. Range and directory maps have it too: verification works by slot. */
  readonly slots: number;
  readonly tables: readonly MapTable[];
  /** What the next new shard gets. It only rises: a volume that a removed shard left must not be taken up by another one. */
  readonly nextOrdinal: number;
  /** By ascending ordinal; ordinals of shards that were removed are missing. */
  readonly shards: readonly MapShard[];
  readonly ownership: Ownership;
}

export interface MapTable {
  readonly name: string;
  /** Column of the shard key; a reference table has none. */
  readonly key?: string;
  /** Column of the region (geo). */
  readonly region?: string;
  /** Whole on every shard. */
  readonly reference?: boolean;
}

export interface MapShard {
  readonly name: string;
  readonly ordinal: number;
  readonly region?: string;
  /** The generation of writers' logins: +1 whenever the write ownership of the shard changes. */
  readonly generation: number;
  /** The same for readers. */
  readonly readerGeneration: number;
  readonly state: ShardState;
}

export type Ownership =
  | { readonly algorithm: 'hash'; readonly owners: SlotOwners }
  /** Sorted by `from`; the first has none. An entry reaches to the next one's `from`. */
  | { readonly algorithm: 'range'; readonly ranges: readonly OwnedRange[] }
  | {
      readonly algorithm: 'directory';
      readonly fallback: Owners;
      readonly entries: ReadonlyMap<string, Owners>;
    }
  /** Each region divides all slots among its own shards. */
  | { readonly algorithm: 'geo'; readonly regions: ReadonlyMap<string, SlotOwners> };

/** Per slot the ordinal of its owner. Never written to; both may be the same array. */
export interface SlotOwners {
  readonly write: Uint32Array;
  readonly read: Uint32Array;
}

export interface Owners {
  readonly write: number;
  readonly read: number;
}

export interface OwnedRange extends Owners {
  /** Canonical key. */
  readonly from?: string;
}

export function shardByOrdinal(map: ShardMap, ordinal: number): MapShard | undefined {
  const guess = map.shards[ordinal];
  return guess?.ordinal === ordinal ? guess : map.shards.find(shard => shard.ordinal === ordinal);
}

export function shardByName(map: ShardMap, name: string): MapShard | undefined {
  return map.shards.find(shard => shard.name === name);
}
