/**
 * A map put together from what each shard says that it owns: for a fleet that came back without its map. Everything must have exactly
 * one owner; what has none, or two, is told and no map is made. Readers' owners are the writers'. Pure.
 */
import { inOrder } from './arithmetic.ts';
import { assertNever } from './assert-never.ts';
import { checkMap } from './check.ts';
import { compareKeys, type KeyType } from './key.ts';
import {
  type Algorithm,
  type MapShard,
  type MapTable,
  mapFormat,
  type Owners,
  type Ownership,
  type ShardMap,
} from './map.ts';
import type { KeyRange, Partition, SlotRange } from './partition.ts';

export interface AssembleInput {
  readonly namespace: string;
  readonly cluster: string;
  readonly algorithm: Algorithm;
  readonly keyType: KeyType;
  readonly slots: number;
  readonly tables: readonly MapTable[];
  /** By ascending ordinal. */
  readonly shards: readonly MapShard[];
  readonly nextOrdinal: number;
  /** By ordinal; who is missing owns nothing. */
  readonly claims: ReadonlyMap<number, Partition>;
}

export type Assembled =
  | { readonly kind: 'Map'; readonly map: ShardMap }
  /** Sentences: `slots 5-9 belong to nobody`. */
  | { readonly kind: 'Unsound'; readonly problems: readonly string[] };

export function assembleMap(input: AssembleInput): Assembled {
  const problems: string[] = [];
  const ownership = owners(input, problems);
  if (problems.length > 0) return { kind: 'Unsound', problems };
  const { namespace, cluster, keyType, slots, tables, shards, nextOrdinal } = input;
  const map: ShardMap = {
    format: mapFormat,
    namespace,
    cluster,
    epoch: 1,
    keyType,
    slots,
    tables,
    nextOrdinal,
    shards,
    ownership,
  };
  const unsound = checkMap(map);
  return unsound.length > 0 ? { kind: 'Unsound', problems: unsound } : { kind: 'Map', map };
}

function owners(input: AssembleInput, problems: string[]): Ownership {
  const kind = kindOf[input.algorithm];
  for (const [ordinal, partition] of input.claims) {
    if (partition.kind !== kind)
      problems.push(
        `${nameOf(input, ordinal)} owns ${partition.kind}, which a ${input.algorithm} map has not`,
      );
    else if ('slots' in partition && partition.slots !== input.slots)
      problems.push(
        `${nameOf(input, ordinal)} divides keys into ${partition.slots} slots, not ${input.slots}`,
      );
  }
  if (problems.length > 0) return { algorithm: 'range', ranges: [] };
  switch (input.algorithm) {
    case 'hash':
      return { algorithm: 'hash', owners: slotOwners(input, slotClaims(input), '', problems) };
    case 'geo': {
      const regions = new Set(input.shards.flatMap(({ region }) => region ?? []));
      for (const partition of input.claims.values())
        if (partition.kind === 'regions') for (const { region } of partition.regions) regions.add(region);
      return {
        algorithm: 'geo',
        regions: new Map(
          [...regions]
            .toSorted()
            .map(region => [
              region,
              slotOwners(input, slotClaims(input, region), ` of region ${region}`, problems),
            ]),
        ),
      };
    }
    case 'range':
      return { algorithm: 'range', ranges: rangeOwners(input, problems) };
    case 'directory':
      return { algorithm: 'directory', ...entryOwners(input, problems) };
    default:
      return assertNever(input.algorithm);
  }
}

const kindOf: Readonly<Record<Algorithm, Partition['kind']>> = {
  hash: 'slots',
  geo: 'regions',
  range: 'keys',
  directory: 'directory',
};

function slotClaims({ claims }: AssembleInput, region?: string): ReadonlyMap<number, readonly SlotRange[]> {
  return new Map(
    [...claims].map(([ordinal, partition]) => {
      if (partition.kind === 'slots') return [ordinal, partition.ranges];
      if (partition.kind !== 'regions') return [ordinal, []];
      return [
        ordinal,
        partition.regions.filter(each => each.region === region).flatMap(({ ranges }) => ranges),
      ];
    }),
  );
}

function slotOwners(
  input: AssembleInput,
  claims: ReadonlyMap<number, readonly SlotRange[]>,
  where: string,
  problems: string[],
): { write: Uint32Array; read: Uint32Array } {
  const nobody = 0xffffffff;
  const write = new Uint32Array(input.slots).fill(nobody);
  for (const [ordinal, ranges] of claims) {
    for (const { first, last } of ranges) {
      let doubled: SlotRange | undefined;
      let other = nobody;
      for (let slot = first; slot <= last; slot++) {
        const owner = write[slot] ?? nobody;
        if (owner === nobody) write[slot] = ordinal;
        else {
          other = owner;
          doubled = { first: doubled?.first ?? slot, last: slot };
        }
      }
      if (doubled)
        problems.push(
          `slots ${span(doubled)}${where} belong to ${nameOf(input, other)} and to ${nameOf(input, ordinal)}`,
        );
    }
  }
  let first = -1;
  for (let slot = 0; slot <= write.length; slot++) {
    const free = write[slot] === nobody;
    if (free && first < 0) first = slot;
    if (free || first < 0) continue;
    problems.push(`slots ${span({ first, last: slot - 1 })}${where} belong to nobody`);
    first = -1;
  }
  return { write, read: write };
}

function rangeOwners(
  input: AssembleInput,
  problems: string[],
): readonly (Owners & { readonly from?: string })[] {
  const { claims, keyType } = input;
  const owned = new Map<KeyRange, number>();
  for (const [ordinal, partition] of claims)
    if (partition.kind === 'keys') for (const range of partition.ranges) owned.set({ ...range }, ordinal);
  const ranges = inOrder([...owned.keys()], keyType);
  if (ranges.length === 0) problems.push('all keys belong to nobody');
  let before: KeyRange | undefined;
  for (const range of ranges) {
    if (before === undefined && range.from !== undefined)
      problems.push(`keys before ${range.from} belong to nobody`);
    if (before !== undefined) {
      const order =
        before.to === undefined || range.from === undefined
          ? -1
          : compareKeys(range.from, before.to, keyType);
      const [one, two] = [before, range].map(each => nameOf(input, owned.get(each) ?? -1));
      if (order < 0)
        problems.push(`keys from ${range.from ?? 'the lowest'} on belong to ${one} and to ${two}`);
      if (order > 0) problems.push(`keys from ${before.to} to ${range.from} belong to nobody`);
    }
    before = range;
  }
  if (before?.to !== undefined) problems.push(`keys from ${before.to} on belong to nobody`);
  return ranges.map(range => {
    const ordinal = owned.get(range) ?? -1;
    return { ...(range.from === undefined ? {} : { from: range.from }), write: ordinal, read: ordinal };
  });
}

function entryOwners(
  input: AssembleInput,
  problems: string[],
): { readonly fallback: Owners; readonly entries: ReadonlyMap<string, Owners> } {
  const entries = new Map<string, Owners>();
  let fallback: number | undefined;
  for (const [ordinal, partition] of input.claims) {
    if (partition.kind !== 'directory') continue;
    for (const key of partition.entries) {
      const other = entries.get(key);
      if (other)
        problems.push(`key ${key} belongs to ${nameOf(input, other.write)} and to ${nameOf(input, ordinal)}`);
      entries.set(key, { write: ordinal, read: ordinal });
    }
    if (partition.fallback && fallback !== undefined)
      problems.push(`the default belongs to ${nameOf(input, fallback)} and to ${nameOf(input, ordinal)}`);
    if (partition.fallback) fallback = ordinal;
  }
  if (fallback === undefined) problems.push('the default belongs to nobody');
  return { entries, fallback: { write: fallback ?? -1, read: fallback ?? -1 } };
}

function nameOf({ shards }: AssembleInput, ordinal: number): string {
  return shards.find(shard => shard.ordinal === ordinal)?.name ?? `shard ${ordinal}`;
}

function span({ first, last }: SlotRange): string {
  return first === last ? `${first}` : `${first}-${last}`;
}
