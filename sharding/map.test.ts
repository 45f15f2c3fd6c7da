import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { assignSlots, ringPoints } from './assignment.ts';
import { addShards, bumpGeneration, removeShard, splitRange, withShardState } from './change.ts';
import { checkMap } from './check.ts';
import { createMap } from './create-map.ts';
import { InvalidChangeError } from './errors.ts';
import { type ShardMap, shardByName } from './map.ts';
import { partitionOf, slotCounts } from './owners.ts';
import { partitionContains } from './partition.ts';
import { createRouter } from './router.ts';
import { anyInput, byRing, evenly, hashInputs, mapInput, newShards, sampleMaps } from './testing/fixtures.ts';
import { move, moveSlots } from './testing/moves.ts';

describe('a new map', () => {
  test('is sound, whatever the algorithm', () => {
    fc.assert(
      fc.property(anyInput, input => {
        const map = createMap(input);
        expect(map.epoch).toBe(1);
        expect(checkMap(map)).toEqual([]);
      }),
    );
  });

  test('gives every slot exactly one owner, and all partitions together are the whole', () => {
    fc.assert(
      fc.property(hashInputs, input => {
        const map = createMap(input);
        const seen = new Uint8Array(map.slots);
        for (const shard of map.shards) {
          const own = partitionOf(map, shard.ordinal);
          if (own.kind !== 'slots') throw new Error('no slots');
          for (const { first, last } of own.ranges)
            for (let slot = first; slot <= last; slot++) seen[slot]!++;
        }
        expect(seen.every(count => count === 1)).toBe(true);
      }),
    );
  });

  test('divides evenly within one slot', () => {
    fc.assert(
      fc.property(fc.constantFrom(256, 1024, 16_384), fc.integer({ min: 1, max: 256 }), (slots, count) => {
        const map = createMap(mapInput(evenly, { slots, shards: newShards(count) }));
        const counts = [...slotCounts(map).values()];
        expect(counts.length).toBe(count);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('never leaves a region with geo', () => {
    const map = createMap(mapInput({ algorithm: 'geo', assignment: { strategy: 'ring' } }));
    const router = createRouter(map);
    for (let key = 0; key < 500; key++) {
      for (const region of ['eu-west', 'us-east']) {
        expect(shardByName(map, router.route({ region, key }).shard)?.region).toBe(region);
      }
    }
  });

  test.each([
    ['slots that are no power of two', () => mapInput(evenly, { slots: 1000 }), /1000 slots/],
    ['no shards', () => mapInput(evenly, { shards: [] }), /without shards/],
    ['more shards than slots', () => mapInput(evenly, { slots: 256, shards: newShards(257) }), /257 shards/],
    [
      'split points out of order',
      () => mapInput({ algorithm: 'range', splitPoints: [5, 3] }),
      /3 does not come after 5/,
    ],
    [
      'a repeated split point',
      () => mapInput({ algorithm: 'range', splitPoints: [5, '05'] }),
      /does not come after/,
    ],
    [
      'a directory that names no shard',
      () => mapInput({ algorithm: 'directory', defaultShard: 9, entries: [] }),
      /shard 9, which there is not/,
    ],
    [
      'a key with two entries',
      () =>
        mapInput({
          algorithm: 'directory',
          defaultShard: 0,
          entries: [1, '01'].map(key => ({ key, shard: 0 })),
        }),
      /two entries/,
    ],
    [
      'geo without regions',
      () => mapInput({ algorithm: 'geo', assignment: { strategy: 'even' } }, { shards: newShards(2) }),
      /without a region/,
    ],
    [
      'two shards of one ordinal',
      () => mapInput(evenly, { shards: [...newShards(2), ...newShards(1)] }),
      /two shards/,
    ],
  ])('refuses %s', (_, input, message) => {
    expect(() => createMap(input())).toThrow(InvalidChangeError);
    expect(() => createMap(input())).toThrow(message);
  });
});

describe('a ring', () => {
  test('with one more shard moves slots to that one only', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.constantFrom('md5' as const, 'crc32' as const),
        fc.integer({ min: 1, max: 200 }),
        (count, hash, virtualNodes) => {
          const ordinals = Array.from({ length: count + 1 }, (_, i) => i);
          const assignment = { strategy: 'ring', hash, virtualNodes } as const;
          const before = assignSlots(1024, ordinals.slice(0, count), assignment);
          const after = assignSlots(1024, ordinals, assignment);
          const strayed = after.findIndex((owner, slot) => owner !== before[slot] && owner !== count);
          expect(strayed).toBe(-1);
        },
      ),
      { numRuns: 30 },
    );
  });

  test.each(['md5', 'crc32'] as const)(
    'of %s gives a slot to the first point at or after its place',
    hash => {
      for (const [count, virtualNodes] of [
        [1, 1],
        [2, 1],
        [5, 3],
        [9, 150],
      ] as const) {
        const ordinals = Array.from({ length: count }, (_, i) => i);
        const points = ordinals
          .flatMap(ordinal => ringPoints(hash, ordinal, virtualNodes).map(place => ({ place, ordinal })))
          .toSorted((a, b) => a.place - b.place || a.ordinal - b.ordinal);
        const byDefinition = Array.from({ length: 256 }, (_, slot) => {
          const next = points.find(point => point.place >= slot * 2 ** 24) ?? points[0]!;
          return next.ordinal;
        });
        expect([...assignSlots(256, ordinals, { strategy: 'ring', hash, virtualNodes })]).toEqual(
          byDefinition,
        );
      }
    },
  );
});

describe('a change', () => {
  test('raises the epoch by one and leaves the old map alone', () => {
    for (const map of Object.values(sampleMaps())) {
      const before = structuredClone(map);
      for (const next of [
        withShardState(map, 'social-1', 'readonly'),
        addShards(map, [{ name: 'social-9', ordinal: 9, region: 'eu-west' }]),
        bumpGeneration(map, 'social-0', 'write'),
      ]) {
        expect(next.epoch).toBe(2);
        expect(checkMap(next)).toEqual([]);
      }
      expect(map).toEqual(before);
    }
  });

  test('of a state reaches the router', () => {
    const map = withShardState(sampleMaps().even, 'social-0', 'maintenance');
    const states = new Set(
      Array.from({ length: 100 }, (_, key) => createRouter(map).route(key)).map(r => `${r.shard} ${r.state}`),
    );
    expect(states).toContain('social-0 maintenance');
    expect(states).toContain('social-1 active');
  });

  test('moves any part of what a shard owns', () => {
    const side = fc.constantFrom('write' as const, 'read' as const);
    fc.assert(
      fc.property(hashInputs, fc.nat(), fc.nat(), side, (input, a, b, moving) => {
        const map = addShards(createMap(input), [{ name: 'new', ordinal: 1000 }]);
        const from = map.shards[a % map.shards.length]!;
        const own = partitionOf(map, from.ordinal);
        const run = own.kind === 'slots' ? own.ranges[b % own.ranges.length] : undefined;
        fc.pre(run !== undefined);
        const range = { first: run.first, last: run.first + (b % (run.last - run.first + 1)) };
        const next = moveSlots(map, { ranges: [range], from: from.name, to: 'new', side: moving });
        expect(checkMap(next)).toEqual([]);
        expect(slotCounts(next, moving).get(1000)).toBe(range.last - range.first + 1);
        expect(slotCounts(next, moving === 'write' ? 'read' : 'write').get(1000)).toBeUndefined();
        for (const name of ['new', from.name]) {
          const { generation, readerGeneration } = shardByName(next, name)!;
          expect([generation, readerGeneration]).toEqual(moving === 'write' ? [2, 1] : [1, 2]);
        }
      }),
    );
  });

  test('never takes slots from a shard that the plan did not name', () => {
    const map = sampleMaps().even;
    const overlap = {
      ranges: [{ first: 250, last: 260 }],
      from: 'social-0',
      to: 'social-2',
      side: 'write',
    } as const;
    expect(() => moveSlots(map, overlap)).toThrow(/social-0 does not own slot 256/);
  });

  test('splits a range in place, then moves a part of it', () => {
    const map = sampleMaps().range;
    const split = splitRange(splitRange(map, 'h'), 'j');
    expect(createRouter(split).route('i').shard).toBe('social-1');
    const ofKeys = {
      partition: { kind: 'keys', ranges: [{ from: 'h', to: 'j' }] },
      from: 'social-1',
      to: 'social-3',
    } as const;
    expect(() => move(map, { ...ofKeys, side: 'write' })).toThrow(/no range starts at h/);
    const moved = move(split, { ...ofKeys, side: 'write' });
    const router = createRouter(moved);
    expect(['g', 'hzz', 'i', 'j', 'm', 'n'].map(key => router.route(key).shard)).toEqual([
      'social-1',
      'social-3',
      'social-3',
      'social-1',
      'social-1',
      'social-2',
    ]);
    expect(router.routeRead('i').shard).toBe('social-1');
    expect(partitionOf(moved, 1)).toEqual({
      kind: 'keys',
      ranges: [
        { from: 'g', to: 'h' },
        { from: 'j', to: 'n' },
      ],
    });
    expect(splitRange(split, 'h')).toBe(split);
  });

  test('gives a key of the default shard an entry of its own', () => {
    const map = sampleMaps().directory;
    const partition = { kind: 'directory', entries: ['8'], fallback: false } as const;
    const moved = move(map, { partition, from: 'social-0', to: 'social-1', side: 'write' });
    expect(createRouter(moved).locate(8)).toMatchObject({
      explicit: true,
      write: { shard: 'social-1' },
      read: { shard: 'social-0' },
    });
    expect(() =>
      move(map, {
        partition: { ...partition, entries: ['7'] },
        from: 'social-0',
        to: 'social-1',
        side: 'write',
      }),
    ).toThrow(/does not own entry 7/);
  });

  test('cannot move rows out of their region', () => {
    const map = sampleMaps().geo;
    const partition = {
      kind: 'regions',
      slots: 1024,
      regions: [{ region: 'eu-west', ranges: [{ first: 0, last: 9 }] }],
    } as const;
    expect(() => move(map, { partition, from: 'social-0', to: 'social-1', side: 'write' })).toThrow(
      /different regions/,
    );
    const moved = move(map, { partition, from: 'social-0', to: 'social-2', side: 'write' });
    expect(checkMap(moved)).toEqual([]);
    expect(partitionOf(moved, 2)).toMatchObject({
      regions: [{ region: 'eu-west', ranges: [{ first: 0, last: 9 }, { first: 512 }] }],
    });
  });

  test.each([
    ['removing an owner', (map: ShardMap) => removeShard(map, 'social-1'), /still owns/],
    ['adding a shard twice', (map: ShardMap) => addShards(map, newShards(1)), /has social-0 already/],
    ['an unknown shard', (map: ShardMap) => withShardState(map, 'x', 'readonly'), /no shard x/],
    [
      'slots beyond the map',
      (map: ShardMap) =>
        moveSlots(map, {
          ranges: [{ first: 0, last: 1024 }],
          from: 'social-0',
          to: 'social-1',
          side: 'write',
        }),
      /of 1024/,
    ],
    [
      'a partition of another kind',
      (map: ShardMap) =>
        move(map, {
          partition: { kind: 'keys', ranges: [] },
          from: 'social-0',
          to: 'social-1',
          side: 'write',
        }),
      /has no keys/,
    ],
  ])('refuses %s', (_, change, message) => {
    expect(() => change(sampleMaps().even)).toThrow(message);
  });

  test('lets a shard that owns nothing leave', () => {
    const map = addShards(sampleMaps().even, [{ name: 'spare', ordinal: 4 }]);
    expect(
      createRouter(map)
        .shards()
        .map(shard => shard.name),
    ).not.toContain('spare');
    expect(
      createRouter(map)
        .allShards()
        .map(shard => shard.name),
    ).toContain('spare');
    expect(removeShard(map, 'spare').shards.length).toBe(4);
  });
});

test('a partition names the keys that the router sends to its shard', () => {
  const text = fc.stringMatching(/^[^\0]{0,20}$/u);
  for (const map of [createMap(mapInput(byRing, { keyType: 'text' })), sampleMaps().range]) {
    const router = createRouter(map);
    const partitions = map.shards.map(shard => partitionOf(map, shard.ordinal));
    fc.assert(
      fc.property(text, key => {
        const hits = partitions.flatMap((own, ordinal) =>
          partitionContains(own, 'text', key) ? [ordinal] : [],
        );
        expect(hits).toEqual([router.route(key).ordinal]);
      }),
    );
  }
});
