/** Makes a fleet's first map. Pure: the same input gives the same map. */
import { assertNever } from './assert-never.ts';
import { type Assignment, assignSlots } from './assignment.ts';
import { checkMap } from './check.ts';
import { InvalidChangeError } from './errors.ts';
import { compareKeys, type Key, type KeyType, normalizeKey } from './key.ts';
import {
  type MapShard,
  type MapTable,
  mapFormat,
  type OwnedRange,
  type Ownership,
  type ShardMap,
} from './map.ts';
import { maxSlots, minSlots } from './slot.ts';

export interface NewShard {
  readonly name: string;
  readonly ordinal: number;
  readonly region?: string;
}

export interface MapInput {
  readonly namespace: string;
  readonly cluster: string;
  readonly keyType: KeyType;
  readonly slots: number;
  readonly tables: readonly MapTable[];
  readonly shards: readonly NewShard[];
  readonly layout: Layout;
}

export type Layout =
  | { readonly algorithm: 'hash'; readonly assignment: Assignment }
  /** n split points make n + 1 ranges: one per shard in order, or evenly many neighbours if there are more ranges. */
  | { readonly algorithm: 'range'; readonly splitPoints: readonly Key[] }
  /** Shards by ordinal. */
  | {
      readonly algorithm: 'directory';
      readonly defaultShard: number;
      readonly entries: readonly { readonly key: Key; readonly shard: number }[];
    }
  /** Every shard has a region; `assignment` divides the slots within each. */
  | { readonly algorithm: 'geo'; readonly assignment: Assignment };

/** Throws InvalidChangeError or InvalidKeyError when the input contradicts itself. */
export function createMap(input: MapInput): ShardMap {
  const { slots } = input;
  if (!Number.isInteger(Math.log2(slots)) || slots < minSlots || slots > maxSlots) {
    throw new InvalidChangeError(`${slots} slots`, `Use a power of two from ${minSlots} to ${maxSlots}.`);
  }
  if (input.shards.length === 0)
    throw new InvalidChangeError('a map without shards', 'Ask for at least one shard.');
  const shards = input.shards.map(newMapShard).toSorted((a, b) => a.ordinal - b.ordinal);
  const map: ShardMap = {
    format: mapFormat,
    namespace: input.namespace,
    cluster: input.cluster,
    epoch: 1,
    keyType: input.keyType,
    slots,
    tables: input.tables,
    nextOrdinal: (shards.at(-1)?.ordinal ?? -1) + 1,
    shards,
    ownership: firstOwners(input, shards),
  };
  const problem = checkMap(map)[0];
  if (problem !== undefined) throw new InvalidChangeError(problem, 'Correct the input of the map.');
  return map;
}

export function newMapShard({ name, ordinal, region }: NewShard): MapShard {
  return {
    name,
    ordinal,
    ...(region === undefined ? {} : { region }),
    generation: 1,
    readerGeneration: 1,
    state: 'active',
  };
}

function firstOwners(input: MapInput, shards: readonly MapShard[]): Ownership {
  const { layout, slots, keyType } = input;
  switch (layout.algorithm) {
    case 'hash':
      return { algorithm: 'hash', owners: sameOwners(divide(slots, shards, layout.assignment, 'the fleet')) };
    case 'range':
      return { algorithm: 'range', ranges: firstRanges(layout.splitPoints, keyType, shards) };
    case 'directory': {
      const entries = new Map<string, { write: number; read: number }>();
      for (const { key, shard } of layout.entries) {
        const text = normalizeKey(key, keyType);
        if (entries.has(text))
          throw new InvalidChangeError(`two entries for key ${text}`, 'Keep one of them.');
        entries.set(text, owner(shard));
      }
      return { algorithm: 'directory', fallback: owner(layout.defaultShard), entries };
    }
    case 'geo': {
      const byRegion = Map.groupBy(shards, shard => shard.region ?? '');
      if (byRegion.has(''))
        throw new InvalidChangeError('a shard without a region', 'A geo map places every shard.');
      return {
        algorithm: 'geo',
        regions: new Map(
          [...byRegion].map(([region, own]) => [
            region,
            sameOwners(divide(slots, own, layout.assignment, region)),
          ]),
        ),
      };
    }
    default:
      return assertNever(layout);
  }
}

function divide(
  slots: number,
  shards: readonly MapShard[],
  assignment: Assignment,
  where: string,
): Uint32Array {
  if (shards.length > slots) {
    throw new InvalidChangeError(
      `${where} has ${shards.length} shards for ${slots} slots`,
      'Raise slots or lower shards.',
    );
  }
  return assignSlots(
    slots,
    shards.map(shard => shard.ordinal),
    assignment,
  );
}

function firstRanges(
  splitPoints: readonly Key[],
  keyType: KeyType,
  shards: readonly MapShard[],
): readonly OwnedRange[] {
  const points = splitPoints.map(point => normalizeKey(point, keyType));
  const unsorted = points.findIndex(
    (point, i) => i > 0 && compareKeys(points[i - 1] ?? point, point, keyType) >= 0,
  );
  if (unsorted > 0) {
    throw new InvalidChangeError(
      `split point ${points[unsorted]} does not come after ${points[unsorted - 1]}`,
      keyType === 'text' ? 'Sort them by their bytes (COLLATE "C").' : 'Sort them, without repeats.',
    );
  }
  const count = points.length + 1;
  const share = Math.max(count, shards.length);
  return [undefined, ...points].map((from, i) => {
    // The index is always that of a shard; checkMap would refuse the -1.
    const ordinal = shards[Math.floor((i * shards.length) / share)]?.ordinal ?? -1;
    return { ...(from === undefined ? {} : { from }), ...owner(ordinal) };
  });
}

function owner(ordinal: number): { write: number; read: number } {
  return { write: ordinal, read: ordinal };
}

/** Nobody writes to the arrays of a map, so readers and writers share one until they differ. */
function sameOwners(owners: Uint32Array): { write: Uint32Array; read: Uint32Array } {
  return { write: owners, read: owners };
}
