import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { withoutPart, withPart } from './arithmetic.ts';
import { type AssembleInput, assembleMap } from './assemble.ts';
import { createMap } from './create-map.ts';
import type { ShardMap } from './map.ts';
import { partitionOf } from './owners.ts';
import type { Partition } from './partition.ts';
import { isEmptyPartition, samePartition } from './parts.ts';
import { anyInput, sampleMaps } from './testing/fixtures.ts';

function inputOf(map: ShardMap): AssembleInput {
  const { namespace, cluster, keyType, slots, tables, shards, nextOrdinal, ownership } = map;
  return {
    namespace,
    cluster,
    keyType,
    slots,
    tables,
    shards,
    nextOrdinal,
    algorithm: ownership.algorithm,
    claims: new Map(shards.map(({ ordinal }) => [ordinal, partitionOf(map, ordinal)])),
  };
}

function changed(
  input: AssembleInput,
  ordinal: number,
  change: (own: Partition) => Partition,
): AssembleInput {
  const claims = new Map(input.claims);
  claims.set(ordinal, change(claims.get(ordinal)!));
  return { ...input, claims };
}

function problemsOf(input: AssembleInput): readonly string[] {
  const made = assembleMap(input);
  return made.kind === 'Unsound' ? made.problems : [];
}

test('every map comes back from what its shards own', () => {
  fc.assert(
    fc.property(anyInput, given => {
      const map = createMap(given);
      const made = assembleMap(inputOf(map));
      expect(made.kind).toBe('Map');
      if (made.kind !== 'Map') return;
      for (const { ordinal } of map.shards)
        expect(samePartition(partitionOf(made.map, ordinal), partitionOf(map, ordinal))).toBe(true);
      expect({ ...made.map, ownership: 0 }).toEqual({ ...map, epoch: 1, ownership: 0 });
    }),
  );
});

test('what is taken from one and given to another is owned once; taken only or given only, it is told', () => {
  fc.assert(
    fc.property(anyInput, fc.nat(), fc.nat(), (given, a, b) => {
      const map = createMap(given);
      fc.pre(map.shards.length > 1);
      const from = map.shards[a % map.shards.length]!.ordinal;
      const to = map.shards.filter(({ ordinal }) => ordinal !== from)[b % (map.shards.length - 1)]!.ordinal;
      const part = partitionOf(map, from);
      fc.pre(!isEmptyPartition(part));
      const taken = changed(inputOf(map), from, own => withoutPart(own, part, map.keyType));
      const given2 = (input: AssembleInput) => changed(input, to, own => withPart(own, part, map.keyType));
      // Without its entry a key belongs to the default.
      expect(part.kind === 'directory' || problemsOf(taken).join().includes('nobody')).toBe(true);
      expect(problemsOf(given2(inputOf(map)))).not.toEqual([]);
      // Slots of a region never leave its own shards.
      expect(map.ownership.algorithm === 'geo' ? [] : problemsOf(given2(taken))).toEqual([]);
    }),
  );
});

describe('what has no owner, or two, is named', () => {
  const maps = sampleMaps();
  const noKeys: Partition = { kind: 'keys', ranges: [] };

  test('slots', () => {
    const input = inputOf(maps.even);
    const part: Partition = { kind: 'slots', slots: 1024, ranges: [{ first: 10, last: 12 }] };
    const taken = changed(input, 0, own => withoutPart(own, part, 'bigint'));
    expect(problemsOf(taken)).toEqual(['slots 10-12 belong to nobody']);
    const doubled = changed(input, 1, own => withPart(own, part, 'bigint'));
    expect(problemsOf(doubled)).toEqual(['slots 10-12 belong to social-0 and to social-1']);
  });

  test('ranges of keys', () => {
    const input = inputOf(maps.range);
    expect(problemsOf(changed(input, 0, () => noKeys))).toEqual(['keys before g belong to nobody']);
    expect(problemsOf(changed(input, 3, () => noKeys))).toEqual(['keys from t on belong to nobody']);
    const part: Partition = { kind: 'keys', ranges: [{ from: 'h', to: 'k' }] };
    expect(problemsOf(changed(input, 1, own => withoutPart(own, part, 'text')))).toEqual([
      'keys from h to k belong to nobody',
    ]);
    expect(problemsOf(changed(input, 3, own => withPart(own, part, 'text')))).toEqual([
      'keys from h on belong to social-1 and to social-3',
      'keys from k to n belong to nobody',
    ]);
  });

  test('entries and the default of a directory', () => {
    const input = inputOf(maps.directory);
    const part: Partition = { kind: 'directory', entries: ['7'], fallback: true };
    expect(problemsOf(changed(input, 1, own => withPart(own, part, 'bigint')))).toEqual([
      'the default belongs to social-0 and to social-1',
      'key 7 belongs to social-1 and to social-2',
    ]);
    expect(problemsOf(changed(input, 0, own => withoutPart(own, part, 'bigint')))).toEqual([
      'the default belongs to nobody',
    ]);
  });

  test('a fleet that is sharded in another way', () => {
    expect(problemsOf({ ...inputOf(maps.even), slots: 2048 })[0]).toBe(
      'social-0 divides keys into 1024 slots, not 2048',
    );
    expect(problemsOf({ ...inputOf(maps.even), algorithm: 'range' })[0]).toBe(
      'social-0 owns slots, which a range map has not',
    );
  });
});
