import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clusterWith } from '#controllers/testing/objects.ts';
import { partitionOf } from '#sharding/owners.ts';
import { firstMap } from './map-from-spec.ts';
import { emptyPartition, partitionsOf, slotsIn } from './partitions.ts';

const regions = [{ name: 'eu-west' }, { name: 'us-east', weight: 2 }];
const shardings = [
  { algorithm: 'hash', slots: 1024, assignment: { strategy: 'ring', virtualNodes: 20 } },
  { algorithm: 'hash', slots: 256 },
  { algorithm: 'geo', slots: 256, geo: { column: 'region' } },
  {
    algorithm: 'directory',
    directory: {
      defaultShard: 0,
      entries: [
        { key: '5', shard: 1 },
        { key: '6', shard: 1 },
      ],
    },
  },
];

describe('all partitions in one pass', () => {
  test('are what asking shard by shard gives', () => {
    fc.assert(
      fc.property(fc.constantFrom(...shardings), fc.integer({ min: 2, max: 12 }), (sharding, shards) => {
        const map = firstMap(clusterWith({ sharding, shards, placement: { regions } }));
        const all = partitionsOf(map);
        for (const { ordinal } of map.shards) {
          expect(all.get(ordinal) ?? emptyPartition(map)).toEqual(partitionOf(map, ordinal));
        }
      }),
      { numRuns: 40 },
    );
  });

  test('count every slot once', () => {
    const map = firstMap(clusterWith({ shards: 7 }));
    const total = partitionsOf(map)
      .values()
      .reduce((sum, partition) => sum + slotsIn(partition), 0);
    expect(total).toBe(1024);
  });
});
