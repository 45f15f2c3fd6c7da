/** Maps for tests: named inputs, and arbitrary ones for properties. */
import * as fc from 'fast-check';
import { createMap, type Layout, type MapInput, type NewShard } from '../create-map.ts';
import type { ShardMap } from '../map.ts';

export function newShards(count: number, regions: readonly string[] = []): readonly NewShard[] {
  return Array.from({ length: count }, (_, ordinal) => {
    const region = regions[ordinal % regions.length];
    return { name: `social-${ordinal}`, ordinal, ...(region === undefined ? {} : { region }) };
  });
}

export function mapInput(layout: Layout, over: Partial<MapInput> = {}): MapInput {
  return {
    namespace: 'demo',
    cluster: 'social',
    keyType: 'bigint',
    slots: 1024,
    tables: [{ name: 'users', key: 'id' }],
    shards: newShards(4, layout.algorithm === 'geo' ? ['eu-west', 'us-east'] : []),
    layout,
    ...over,
  };
}

export const evenly: Layout = { algorithm: 'hash', assignment: { strategy: 'even' } };
export const byRing: Layout = { algorithm: 'hash', assignment: { strategy: 'ring' } };

/** A map of each algorithm, and both assignments of hash. */
export function sampleMaps(): Readonly<Record<'even' | 'ring' | 'range' | 'directory' | 'geo', ShardMap>> {
  return {
    even: createMap(mapInput(evenly)),
    ring: createMap(mapInput(byRing)),
    range: createMap(mapInput({ algorithm: 'range', splitPoints: ['g', 'n', 't'] }, { keyType: 'text' })),
    directory: createMap(
      mapInput({ algorithm: 'directory', defaultShard: 0, entries: [{ key: 7, shard: 2 }] }),
    ),
    geo: createMap(mapInput({ algorithm: 'geo', assignment: { strategy: 'even' } })),
  };
}

const shardCount = fc.integer({ min: 1, max: 40 });

/** Hash maps of any size and assignment. */
export const hashInputs: fc.Arbitrary<MapInput> = fc
  .record({
    count: shardCount,
    slots: fc.constantFrom(256, 1024, 4096),
    strategy: fc.constantFrom('even' as const, 'ring' as const),
    hash: fc.constantFrom('md5' as const, 'crc32' as const),
    virtualNodes: fc.integer({ min: 1, max: 200 }),
  })
  .map(({ count, slots, ...assignment }) =>
    mapInput({ algorithm: 'hash', assignment }, { slots, shards: newShards(count) }),
  );

const rangeInputs: fc.Arbitrary<MapInput> = fc
  .record({
    count: shardCount,
    points: fc.uniqueArray(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  })
  .map(({ count, points }) =>
    mapInput(
      { algorithm: 'range', splitPoints: points.toSorted((a, b) => (a < b ? -1 : 1)) },
      { shards: newShards(count) },
    ),
  );

const directoryInputs: fc.Arbitrary<MapInput> = shardCount.chain(count =>
  fc
    .uniqueArray(fc.record({ key: fc.stringMatching(/^[^\0]*$/u), shard: fc.nat(count - 1) }), {
      selector: entry => entry.key,
      maxLength: 60,
    })
    .map(entries =>
      mapInput(
        { algorithm: 'directory', defaultShard: 0, entries },
        { keyType: 'text', shards: newShards(count) },
      ),
    ),
);

const geoInputs: fc.Arbitrary<MapInput> = fc
  .record({
    count: fc.integer({ min: 3, max: 20 }),
    strategy: fc.constantFrom('even' as const, 'ring' as const),
  })
  .map(({ count, strategy }) =>
    mapInput(
      { algorithm: 'geo', assignment: { strategy } },
      { shards: newShards(count, ['eu', 'us', 'ap-south']) },
    ),
  );

export const anyInput = fc.oneof(hashInputs, rangeInputs, directoryInputs, geoInputs);
