import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { placeShards } from './placement.ts';

const regions = fc
  .uniqueArray(
    fc.record({ name: fc.stringMatching(/^[a-z]{1,8}$/), weight: fc.integer({ min: 0, max: 10 }) }),
    { selector: region => region.name, minLength: 1, maxLength: 6 },
  )
  .filter(list => list.some(region => region.weight > 0));

test('equal weights alternate', () => {
  const two = [
    { name: 'eu-west', weight: 1 },
    { name: 'us-east', weight: 1 },
  ];
  expect(placeShards({ shards: 4, regions: two })).toEqual(['eu-west', 'us-east', 'eu-west', 'us-east']);
});

test('every prefix is the ideal share, rounded up or down', () => {
  fc.assert(
    fc.property(regions, fc.integer({ min: 1, max: 60 }), (list, shards) => {
      const total = list.reduce((sum, region) => sum + region.weight, 0);
      const homes = placeShards({ shards, regions: list });
      for (const { name, weight } of list) {
        for (let size = 1; size <= shards; size++) {
          const ideal = (size * weight) / total;
          const count = homes.slice(0, size).filter(home => home === name).length;
          expect(Math.abs(count - ideal)).toBeLessThan(1);
        }
      }
    }),
  );
});

test('adding shards moves none, even after the weights changed', () => {
  fc.assert(
    fc.property(regions, regions, fc.nat(40), fc.nat(40), (before, after, first, more) => {
      const placed = placeShards({ shards: first, regions: before });
      expect(placeShards({ shards: first + more, regions: after, placed }).slice(0, first)).toEqual(placed);
      expect(placeShards({ shards: first + more, regions: before }).slice(0, first)).toEqual(placed);
    }),
  );
});

test('new weights are approached by new shards', () => {
  const placed = ['a', 'a', 'a'];
  const homes = placeShards({
    shards: 6,
    regions: [
      { name: 'a', weight: 1 },
      { name: 'b', weight: 1 },
    ],
    placed,
  });
  expect(homes.slice(3)).toEqual(['b', 'b', 'b']);
});

test('refuses regions without weights', () => {
  expect(() => placeShards({ shards: 1, regions: [{ name: 'a', weight: 0 }] })).toThrow(/no weights/);
});
