/**
 * Routing in memory: typed arrays, no allocation but the answer. A router is for one map; a new map takes a new router.
 */
import { assertNever } from './assert-never.ts';
import { DamagedMapError, InvalidKeyError } from './errors.ts';
import { compareKeys, type Key, type KeyType, normalizeKey, toBigint } from './key.ts';
import type { MapShard, ShardMap, ShardState, Side, SlotOwners } from './map.ts';
import { ownerOrdinals } from './owners.ts';
import { slotOf } from './slot.ts';

/** What a geo map routes by; the other algorithms ignore `region`. */
export interface RegionKey {
  readonly region: string;
  readonly key: Key;
}

export type RouteKey = Key | RegionKey;

export interface Route {
  /** Name of the shard; its hosts follow from endpoints.ts. */
  readonly shard: string;
  readonly ordinal: number;
  /** Missing for range and directory maps, which do not route by slot. */
  readonly slot?: number;
  /** Of writers for `route`, of readers for `routeRead`. */
  readonly generation: number;
  readonly state: ShardState;
}

/** All that there is to say of a key, for people. */
export interface Location {
  readonly key: string;
  readonly region?: string;
  readonly slot: number;
  readonly write: Route;
  readonly read: Route;
  /** The range, for range maps. */
  readonly from?: string;
  readonly to?: string;
  /** For directory maps: true when the key has an entry of its own. */
  readonly explicit?: boolean;
}

export interface Router {
  readonly epoch: number;
  /** The shard to write to. Throws InvalidKeyError for a key that is not of the map's type, or an unknown region. */
  route(key: RouteKey): Route;
  /** The shard to read from: differs from `route` while a migration has moved the readers only. */
  routeRead(key: RouteKey): Route;
  locate(key: RouteKey): Location;
  /** The ordinal of the shard that a slot's writers go to; -1 if the map has no such slot. Hash and geo maps only. */
  slotOwner(slot: number, region?: string): number;
  /** Owners of anything on one side (write unless told): what a scatter asks. */
  shards(side?: Side): readonly MapShard[];
  /** Every shard of the map: what a broadcast to reference tables writes. */
  allShards(): readonly MapShard[];
}

export function createRouter(map: ShardMap): Router {
  // By ordinal, a column for each field: of a large fleet they stay in the processor's caches where objects would not, and
  // can be read at the same time.
  const columns = (map.shards.at(-1)?.ordinal ?? 0) + 1;
  const names = Array.from({ length: columns }, () => '');
  const states = Array.from({ length: columns }, (): ShardState => 'active');
  const generations = { write: new Float64Array(columns), read: new Float64Array(columns) };
  for (const { name, ordinal, state, generation, readerGeneration } of map.shards) {
    names[ordinal] = name;
    states[ordinal] = state;
    generations.write[ordinal] = generation;
    generations.read[ordinal] = readerGeneration;
  }
  const find = finder(map);
  const owning = { write: pick('write'), read: pick('read') };

  function pick(side: Side): readonly MapShard[] {
    const owners = ownerOrdinals(map, side);
    return map.shards.filter(shard => owners.has(shard.ordinal));
  }

  function routeTo(ordinal: number, slot: number | undefined, side: Side): Route {
    const shard = names[ordinal];
    const state = states[ordinal];
    const generation = generations[side][ordinal] ?? 0;
    if (shard === undefined || shard === '' || state === undefined) {
      throw new DamagedMapError(
        `the map gives keys to shard ${ordinal}, which it lacks`,
        'Fetch the whole map.',
      );
    }
    return slot === undefined
      ? { shard, ordinal, generation, state }
      : { shard, ordinal, slot, generation, state };
  }

  function router(side: Side): (key: RouteKey) => Route {
    const { keyType, slots, ownership } = map;
    if (ownership.algorithm !== 'hash') {
      return key => {
        const found = find(key);
        return routeTo(found[side], found.slot, side);
      };
    }
    // The hot path of most fleets: nothing but the hash, two arrays and the answer.
    const owners = ownership.owners[side];
    return key => {
      const slot = slotOf(plainKey(key), keyType, slots);
      return routeTo(owners[slot] ?? -1, slot, side);
    };
  }

  const [route, routeRead] = [router('write'), router('read')];
  return {
    epoch: map.epoch,
    route,
    routeRead,
    locate(key) {
      const { write: _write, read: _read, slot: _slot, ...detail } = find(key);
      return {
        key: normalizeKey(plainKey(key), map.keyType),
        ...(isRegionKey(key) ? { region: key.region } : {}),
        ...detail,
        slot: slotOf(plainKey(key), map.keyType, map.slots),
        write: route(key),
        read: routeRead(key),
      };
    },
    slotOwner: slotOwner(map),
    shards: (side = 'write') => owning[side],
    allShards: () => map.shards,
  };
}

interface Found {
  readonly write: number;
  readonly read: number;
  readonly slot?: number;
  readonly from?: string;
  readonly to?: string;
  readonly explicit?: boolean;
}

/** The one place where the algorithms differ: a key's owners. */
function finder(map: ShardMap): (key: RouteKey) => Found {
  const { keyType, slots, ownership } = map;
  switch (ownership.algorithm) {
    case 'hash': {
      const { owners } = ownership;
      return key => bySlot(owners, slotOf(plainKey(key), keyType, slots));
    }
    case 'geo': {
      const { regions } = ownership;
      return key => {
        if (!isRegionKey(key)) {
          throw new InvalidKeyError('a geo map routes by region and key', 'Pass {region, key}.');
        }
        const owners = regions.get(key.region);
        if (owners === undefined) {
          const known = [...regions.keys()].join(', ');
          throw new InvalidKeyError(
            `the map has no region ${JSON.stringify(key.region)}`,
            `Use one of: ${known}.`,
          );
        }
        return bySlot(owners, slotOf(key.key, keyType, slots));
      };
    }
    case 'range': {
      const { ranges } = ownership;
      const before = comparator(
        ranges.map(range => range.from),
        keyType,
      );
      return key => {
        const index = before(plainKey(key));
        const range = ranges[index];
        if (range === undefined) throw new DamagedMapError('the map has no ranges', 'Fetch the whole map.');
        const to = ranges[index + 1]?.from;
        return to === undefined ? range : { ...range, to };
      };
    }
    case 'directory': {
      const { entries, fallback } = ownership;
      return key => {
        const owners = entries.get(normalizeKey(plainKey(key), keyType));
        return { ...(owners ?? fallback), explicit: owners !== undefined };
      };
    }
    default:
      return assertNever(ownership);
  }
}

function slotOwner({ ownership }: ShardMap): (slot: number, region?: string) => number {
  if (ownership.algorithm === 'hash') {
    const { write } = ownership.owners;
    return slot => write[slot] ?? -1;
  }
  const regions = ownership.algorithm === 'geo' ? ownership.regions : new Map<string, SlotOwners>();
  return (slot, region = '') => regions.get(region)?.write[slot] ?? -1;
}

function bySlot(owners: SlotOwners, slot: number): Found {
  return { write: owners.write[slot] ?? -1, read: owners.read[slot] ?? -1, slot };
}

/** The index of the last range that starts at or before a key, by binary search. */
function comparator(starts: readonly (string | undefined)[], keyType: KeyType): (key: Key) => number {
  if (keyType === 'bigint') {
    const bounds = starts.slice(1).map(start => BigInt(start ?? 0));
    return key => {
      const value = typeof key === 'number' && Number.isSafeInteger(key) ? key : toBigint(key);
      return search(bounds.length, i => (bounds[i] ?? 0n) <= value);
    };
  }
  const bounds = starts.slice(1).map(start => start ?? '');
  return key => {
    const text = normalizeKey(key, keyType);
    return search(bounds.length, i => compareKeys(bounds[i] ?? '', text, keyType) <= 0);
  };
}

/** How many of `length` sorted items pass, given that those which pass come first. */
function search(length: number, passes: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (passes(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isRegionKey(key: RouteKey): key is RegionKey {
  return typeof key === 'object';
}

/** A region beside the key is welcome everywhere, so that one application can run on any algorithm. */
function plainKey(key: RouteKey): Key {
  return isRegionKey(key) ? key.key : key;
}
