import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addShards, settleMove, splitRangesFor, withShardState } from './change.ts';
import { checkMap } from './check.ts';
import { createMap } from './create-map.ts';
import { InvalidChangeError, PlanError } from './errors.ts';
import { type MapShard, type ShardMap, shardByName } from './map.ts';
import { ownersOf, partitionOf, slotCounts } from './owners.ts';
import { isEmptyPartition, samePartition } from './parts.ts';
import { type Operation, type PlanContext, type PlannedTransfer, planTransfers } from './plan.ts';
import { createRouter } from './router.ts';
import { anyInput, evenly, mapInput, sampleMaps } from './testing/fixtures.ts';
import { move } from './testing/moves.ts';

const maps = sampleMaps();

function plan(
  map: ShardMap,
  operation: Operation,
  over: Partial<PlanContext> = {},
): readonly PlannedTransfer[] {
  return planTransfers(map, operation, { reserved: new Set(), wantedShards: map.shards.length, ...over });
}

/** Some shards more, in the region of another one. */
function wider(map: ShardMap, count: number, like?: MapShard): ShardMap {
  const region = like?.region;
  return addShards(
    map,
    Array.from({ length: count }, (_, i) => ({
      name: `social-${map.nextOrdinal + i}`,
      ordinal: map.nextOrdinal + i,
      ...(region === undefined ? {} : { region }),
    })),
  );
}

/** The map once every transfer is through: readers, then writers. */
function carriedOut(map: ShardMap, transfers: readonly PlannedTransfer[]): ShardMap {
  const cut = splitRangesFor(
    map,
    transfers.map(({ partition }) => partition),
  );
  return transfers.reduce((before, { source: from, target: to, partition }) => {
    const readers = move(before, { partition, from, to, side: 'read' });
    return move(readers, { partition, from, to, side: 'write' });
  }, cut);
}

function outcome(make: () => readonly PlannedTransfer[]): readonly PlannedTransfer[] | PlanError {
  try {
    return make();
  } catch (error) {
    if (error instanceof PlanError) return error;
    throw error;
  }
}

function weight(map: ShardMap, { name, ordinal }: MapShard): number {
  const own = partitionOf(map, ordinal);
  switch (own.kind) {
    case 'slots':
    case 'regions':
      return slotCounts(map).get(ordinal) ?? 0;
    case 'keys':
      return map.ownership.algorithm === 'range'
        ? map.ownership.ranges.filter(range => range.write === ordinal).length
        : -1;
    case 'directory':
      return own.entries.length;
    default:
      throw new Error(name);
  }
}

describe('any split', () => {
  test('gives every part to a shard of its own, all of the same size, and loses nothing', () => {
    let planned = 0;
    fc.assert(
      fc.property(anyInput, fc.nat(), fc.integer({ min: 2, max: 6 }), (input, pick, into) => {
        const first = createMap(input);
        const shard = first.shards[pick % first.shards.length]!;
        const map = wider(first, into - 1, shard);
        const transfers = outcome(() => plan(map, { kind: 'split', shard: shard.name, into }));
        if (transfers instanceof PlanError)
          return ['TooFewParts', 'NothingToMove'].includes(transfers.reason);
        planned++;
        expect(transfers.map(({ source, whole, targetEmpty }) => [source, whole, targetEmpty])).toEqual(
          transfers.map(() => [shard.name, false, true]),
        );
        expect(new Set(transfers.map(({ target }) => target)).size).toBe(into - 1);
        const after = carriedOut(map, transfers);
        expect(checkMap(after)).toEqual([]);
        const parts = [shard.name, ...transfers.map(({ target }) => target)].map(
          name => shardByName(after, name)!,
        );
        const weights = parts.map(part => weight(after, part));
        expect(weights.reduce((sum, each) => sum + each)).toBe(weight(map, shard));
        expect(Math.max(...weights) - Math.min(...weights)).toBeLessThanOrEqual(1);
        const names = new Set(parts.map(part => part.name));
        for (const other of first.shards.filter(each => !names.has(each.name))) {
          expect(samePartition(partitionOf(after, other.ordinal), partitionOf(map, other.ordinal))).toBe(
            true,
          );
        }
        // A merge of the parts is the way back.
        const back = plan(
          after,
          { kind: 'merge', shards: parts.map(part => part.name) },
          { wantedShards: first.shards.length },
        );
        expect(back.every(({ whole }) => whole)).toBe(true);
        expect(carriedOut(after, back).ownership).toEqual(map.ownership);
        return true;
      }),
    );
    expect(planned).toBeGreaterThan(30);
  });

  test('of slots keeps neighbours together', () => {
    const map = wider(maps.even, 2);
    expect(plan(map, { kind: 'split', shard: 'social-1', into: 3 })).toEqual([
      {
        source: 'social-1',
        target: 'social-4',
        partition: { kind: 'slots', slots: 1024, ranges: [{ first: 341, last: 425 }] },
        whole: false,
        targetEmpty: true,
      },
      {
        source: 'social-1',
        target: 'social-5',
        partition: { kind: 'slots', slots: 1024, ranges: [{ first: 426, last: 511 }] },
        whole: false,
        targetEmpty: true,
      },
    ]);
  });

  test('of ranges at keys cuts wherever it is told to', () => {
    const map = wider(maps.range, 3);
    const transfers = plan(map, splitAt('social-0', 'c', 'b'));
    expect(transfers.map(({ target, partition }) => [target, partition])).toEqual([
      ['social-4', { kind: 'keys', ranges: [{ from: 'b', to: 'c' }] }],
      ['social-5', { kind: 'keys', ranges: [{ from: 'c', to: 'g' }] }],
    ]);
    const last = plan(map, splitAt('social-3', 'x'));
    expect(last[0]?.partition).toEqual({ kind: 'keys', ranges: [{ from: 'x' }] });
    const both = carriedOut(map, plan(map, merge('social-0', 'social-2'), { wantedShards: 5 }));
    expect(plan(both, splitAt('social-0', 'c', 'n', 'q')).map(({ partition }) => partition)).toEqual([
      { kind: 'keys', ranges: [{ from: 'c', to: 'g' }] },
      { kind: 'keys', ranges: [{ from: 'n', to: 'q' }] },
      { kind: 'keys', ranges: [{ from: 'q', to: 't' }] },
    ]);
  });

  test('of ranges at any keys loses nothing; splitting the map first is the same from any part of it', () => {
    const keys = fc.uniqueArray(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(keys, fc.array(fc.integer({ min: -1000, max: 1000 }), { maxLength: 4 }), (at, points) => {
        const splitPoints = [...new Set(points)].toSorted((a, b) => a - b);
        const one = createMap(
          mapInput({ algorithm: 'range', splitPoints }, { shards: [{ name: 'social-0', ordinal: 0 }] }),
        );
        const map = wider(one, at.length);
        const transfers = plan(map, splitAt('social-0', ...at.map(String)));
        const partitions = transfers.map(({ partition }) => partition);
        const cut = splitRangesFor(map, partitions);
        expect(ownersOf(cut, partitionOf(cut, 0))).toEqual({ write: [0], read: [0] });
        expect(splitRangesFor(cut, partitions)).toBe(cut);
        // Pages are written side by side: whoever goes on after a crash may find any part of the new entries.
        const [before, after] = [map.ownership, cut.ownership];
        if (before.algorithm !== 'range' || after.algorithm !== 'range') throw new Error('a range map');
        const known = new Set(before.ranges.map(({ from }) => from));
        for (let found = 0; found < 8; found++) {
          const ranges = after.ranges.filter(
            ({ from }, i) => known.has(from) || (found >> (i % 3)) % 2 === 1,
          );
          const mixed = { ...map, ownership: { algorithm: 'range', ranges } } as const;
          expect(splitRangesFor(mixed, partitions).ownership).toEqual(after);
        }
        const done = carriedOut(cut, transfers);
        expect(checkMap(done)).toEqual([]);
        const sorted = at.toSorted((a, b) => a - b);
        const router = createRouter(done);
        for (const key of [-2000, ...sorted.flatMap(point => [point - 1, point]), 2000]) {
          expect(router.route(key).ordinal).toBe(sorted.filter(point => point <= key).length);
        }
      }),
    );
  });

  test('of a directory leaves the default where it is', () => {
    const map = wider(
      createMap(
        mapInput({
          algorithm: 'directory',
          defaultShard: 0,
          entries: [{ key: 7, shard: 0 }, ...[10, 9, 8].map(key => ({ key, shard: 1 }))],
        }),
      ),
      2,
    );
    expect(plan(map, { kind: 'split', shard: 'social-0', into: 2 })[0]?.partition).toEqual({
      kind: 'directory',
      entries: ['7'],
      fallback: false,
    });
    expect(
      plan(map, { kind: 'split', shard: 'social-1', into: 3 }).map(({ partition }) => partition),
    ).toEqual([
      { kind: 'directory', entries: ['9'], fallback: false },
      { kind: 'directory', entries: ['10'], fallback: false },
    ]);
  });

  test('takes empty shards by ordinal, less those that others count on', () => {
    const map = wider(maps.even, 3);
    const halve = split('social-0');
    expect(plan(map, halve)[0]?.target).toBe('social-4');
    expect(plan(map, halve, { reserved: new Set(['social-4']) })[0]?.target).toBe('social-5');
    expect(plan(withShardState(map, 'social-4', 'maintenance'), halve)[0]?.target).toBe('social-5');
  });

  test('of a geo map stays in the region', () => {
    const map = wider(wider(maps.geo, 1, maps.geo.shards[1]), 1, maps.geo.shards[0]);
    expect(plan(map, { kind: 'split', shard: 'social-0', into: 2 })).toEqual([
      {
        source: 'social-0',
        target: 'social-5',
        partition: {
          kind: 'regions',
          slots: 1024,
          regions: [{ region: 'eu-west', ranges: [{ first: 256, last: 511 }] }],
        },
        whole: false,
        targetEmpty: true,
      },
    ]);
  });
});

describe('merge, move and slots', () => {
  test('a merge empties all but one', () => {
    const operation = {
      kind: 'merge',
      shards: ['social-2', 'social-0', 'social-3'],
      into: 'social-0',
    } as const;
    const transfers = plan(maps.even, operation, { wantedShards: 2 });
    expect(
      transfers.map(({ source, target, whole, targetEmpty }) => [source, target, whole, targetEmpty]),
    ).toEqual([
      ['social-2', 'social-0', true, false],
      ['social-3', 'social-0', true, false],
    ]);
    const after = carriedOut(maps.even, transfers);
    expect(isEmptyPartition(partitionOf(after, 2))).toBe(true);
    expect(slotCounts(after).get(0)).toBe(768);
  });

  test('a move takes all to an empty shard', () => {
    const map = wider(maps.range, 1);
    expect(plan(map, { kind: 'move', shard: 'social-2', to: 'social-4' })).toEqual([
      {
        source: 'social-2',
        target: 'social-4',
        partition: partitionOf(map, 2),
        whole: true,
        targetEmpty: true,
      },
    ]);
  });

  test('slots are put in order, and all of them are the whole', () => {
    const map = wider(maps.even, 1);
    const operation = { kind: 'slots', from: 'social-0', to: 'social-1' } as const;
    const some = [
      { first: 20, last: 29 },
      { first: 0, last: 9 },
      { first: 10, last: 15 },
    ];
    expect(plan(map, { ...operation, ranges: some })).toMatchObject([
      {
        partition: {
          ranges: [
            { first: 0, last: 15 },
            { first: 20, last: 29 },
          ],
        },
        whole: false,
        targetEmpty: false,
      },
    ]);
    const all = { ...operation, to: 'social-4', ranges: [{ first: 0, last: 255 }] };
    expect(plan(map, all)).toMatchObject([{ whole: true, targetEmpty: true }]);
  });

  test('slots of a geo map are those of the region', () => {
    const operation = {
      kind: 'slots',
      from: 'social-1',
      to: 'social-3',
      ranges: [{ first: 0, last: 3 }],
    } as const;
    expect(plan(maps.geo, operation)[0]?.partition).toEqual({
      kind: 'regions',
      slots: 1024,
      regions: [{ region: 'us-east', ranges: [{ first: 0, last: 3 }] }],
    });
  });
});

function split(shard: string, into = 2): Operation {
  return { kind: 'split', shard, into };
}

function splitAt(shard: string, ...at: string[]): Operation {
  return { kind: 'split', shard, into: at.length + 1, at };
}

function merge(...shards: string[]): Operation {
  return { kind: 'merge', shards };
}

function slots(ranges: readonly { first: number; last: number }[], from = 'social-0'): Operation {
  return { kind: 'slots', from, to: 'social-1', ranges };
}

describe('refused, with what to write instead', () => {
  const torn = move(maps.even, {
    partition: { kind: 'slots', slots: 1024, ranges: [{ first: 0, last: 9 }] },
    from: 'social-0',
    to: 'social-1',
    side: 'read',
  });

  /** Shard 0 has a single slot, shard 4 three. */
  const lone = [
    { to: 'social-1', first: 4, last: 255 },
    { to: 'social-4', first: 1, last: 3 },
  ].reduce(
    (map, { to, first, last }) =>
      carriedOut(map, [
        {
          source: 'social-0',
          target: to,
          partition: { kind: 'slots', slots: 1024, ranges: [{ first, last }] },
          whole: false,
          targetEmpty: false,
        },
      ]),
    wider(maps.even, 1),
  );

  const cases: [what: string, map: ShardMap, operation: Operation, reason: string, says: RegExp][] = [
    ['an unknown shard', maps.even, split('social-9'), 'NoSuchShard', /Name one of: social-0, social-1/],
    ['a split into 1', maps.even, split('social-0', 1), 'TooFewParts', /2 or more/],
    ['no empty shard', maps.even, split('social-0', 3), 'NoEmptyShard', /set spec\.shards to 6/],
    [
      'no empty shard in the region',
      wider(maps.geo, 1, maps.geo.shards[1]),
      split('social-0'),
      'NoEmptyShard',
      /set spec\.shards to 6, and see that placement puts the new ones in region eu-west/,
    ],
    ['one range of keys', maps.range, split('social-1'), 'TooFewParts', /split\.at/],
    ['one slot', lone, split('social-0'), 'TooFewParts', /move it as a whole/],
    ['more parts than slots', lone, split('social-4', 5), 'TooFewParts', /at most 3/],
    ['a split of slots at a key', maps.even, splitAt('social-0', '7'), 'NotWithThisAlgorithm', /split\.at/],
    [
      'a split at too many keys',
      maps.range,
      { kind: 'split', shard: 'social-1', into: 2, at: ['h', 'i'] },
      'TooFewParts',
      /into 3/,
    ],
    [
      "a split at another shard's key",
      maps.range,
      splitAt('social-1', 'h', 't'),
      'NotOwned',
      /It owns keys from g to n\./,
    ],
    [
      'a split at its lowest key',
      maps.range,
      splitAt('social-1', 'g'),
      'UselessSplitPoint',
      /above the lowest/,
    ],
    ['a split at one key twice', maps.range, splitAt('social-1', 'i', 'i'), 'UselessSplitPoint', /once/],
    ['an empty shard', wider(maps.even, 2), split('social-4'), 'NothingToMove', /Leave it out/],
    [
      'a shard that is not active',
      withShardState(maps.even, 'social-0', 'readonly'),
      split('social-0'),
      'ShardNotActive',
      /spec\.shardStates/,
    ],
    ['a shard that another migration is at', torn, split('social-0'), 'ShardInTransition', /Wait/],
    ['a merge into such a one', torn, merge('social-1', 'social-2'), 'ShardsNotLowered', /to 3/],
    ['a merge of one', maps.even, merge('social-1', 'social-1'), 'TooFewParts', /two or more/],
    [
      'a merge without room',
      maps.even,
      merge('social-1', 'social-2'),
      'ShardsNotLowered',
      /set spec\.shards to 3/,
    ],
    [
      'a merge of shard 0',
      maps.even,
      merge('social-1', 'social-0'),
      'HomeOfReferenceTables',
      /merge\.into: social-0/,
    ],
    [
      'a merge into a stranger',
      maps.even,
      { kind: 'merge', shards: ['social-1', 'social-2'], into: 'social-3' },
      'NoSuchShard',
      /one of merge\.shards/,
    ],
    [
      'a move of shard 0',
      wider(maps.even, 1),
      { kind: 'move', shard: 'social-0', to: 'social-4' },
      'HomeOfReferenceTables',
      /with slots/,
    ],
    [
      'a move to an owner',
      maps.even,
      { kind: 'move', shard: 'social-1', to: 'social-2' },
      'TargetNotEmpty',
      /empty one/,
    ],
    [
      'a move out of the region',
      wider(maps.geo, 1, maps.geo.shards[0]),
      { kind: 'move', shard: 'social-1', to: 'social-4' },
      'OtherRegion',
      /of one region/,
    ],
    [
      'overlapping ranges',
      maps.even,
      slots([
        { first: 5, last: 9 },
        { first: 0, last: 5 },
      ]),
      'OverlappingRanges',
      /each slot once/,
    ],
    ['no slots', maps.even, slots([]), 'NothingToMove', /at least one range/],
    ['slots beyond the map', maps.even, slots([{ first: 0, last: 1024 }]), 'NoSuchSlots', /0 to 1023/],
    ['a range the wrong way round', maps.even, slots([{ first: 9, last: 0 }]), 'NoSuchSlots', /lower end/],
    ["another shard's slots", maps.even, slots([{ first: 250, last: 260 }]), 'NotOwned', /It owns 0-255/],
    [
      'slots to itself',
      maps.even,
      slots([{ first: 256, last: 260 }], 'social-1'),
      'NothingToMove',
      /two different/,
    ],
    [
      'slots of a range map',
      maps.range,
      slots([{ first: 0, last: 1 }]),
      'NotWithThisAlgorithm',
      /split, merge or move/,
    ],
  ];

  test.each(cases)('%s', (_what, map, operation, reason, says) => {
    const error = outcome(() => plan(map, operation));
    expect(error).toBeInstanceOf(PlanError);
    expect(error).toMatchObject({ reason });
    expect(error).toMatchObject({ remedy: expect.stringMatching(says) });
  });

  test('a merge into a shard that another migration is at', () => {
    const error = outcome(() => plan(torn, merge('social-1', 'social-2'), { wantedShards: 3 }));
    expect(error).toMatchObject({ reason: 'ShardInTransition' });
  });

  test('shards that are still to come are waited for', () => {
    const error = outcome(() => plan(maps.even, split('social-0'), { wantedShards: 5 }));
    expect(error).toMatchObject({ remedy: 'Wait until the fleet has its 5 shards.' });
  });
});

describe('owners of a partition', () => {
  test('are found on both sides, for every algorithm', () => {
    fc.assert(
      fc.property(anyInput, input => {
        const map = createMap(input);
        for (const { ordinal } of map.shards) {
          const own = partitionOf(map, ordinal);
          const expected = isEmptyPartition(own) ? [] : [ordinal];
          expect(ownersOf(map, own)).toEqual({ write: expected, read: expected });
        }
      }),
    );
  });

  test('are several while it moves', () => {
    const partition = { kind: 'slots', slots: 1024, ranges: [{ first: 250, last: 260 }] } as const;
    expect(ownersOf(maps.even, partition)).toEqual({ write: [0, 1], read: [0, 1] });
    const own = { ...partition, ranges: [{ first: 0, last: 255 }] };
    const readers = move(maps.even, { partition: own, from: 'social-0', to: 'social-2', side: 'read' });
    expect(ownersOf(readers, own)).toEqual({ write: [0], read: [2] });
    expect(ownersOf(maps.range, { kind: 'keys', ranges: [{ from: 'h', to: 'p' }] })).toEqual({
      write: [1, 2],
      read: [1, 2],
    });
    expect(ownersOf(maps.range, own)).toEqual({ write: [], read: [] });
  });
});

describe('settling a move', () => {
  const partition = { kind: 'slots', slots: 1024, ranges: [{ first: 0, last: 99 }] } as const;
  const forth = {
    partition,
    from: 'social-0',
    to: 'social-1',
    side: 'write',
    generations: { from: 5, to: 3 },
  } as const;

  test('twice is once', () => {
    const once = settleMove(maps.even, forth);
    expect(settleMove(once, forth)).toEqual({ ...once, epoch: once.epoch + 1 });
    expect(once.shards.slice(0, 2)).toMatchObject([
      { generation: 5, readerGeneration: 1 },
      { generation: 3, readerGeneration: 1 },
    ]);
  });

  test('takes nothing from a third shard', () => {
    const later = move(maps.even, { partition, from: 'social-0', to: 'social-2', side: 'write' });
    expect(() => settleMove(later, forth)).toThrow(/social-0 does not own slot 0/);
  });

  test('never lowers a generation: an old order that comes late changes nothing', () => {
    const later = settleMove(maps.even, { ...forth, generations: { from: 6, to: 4 } });
    expect(() => settleMove(later, forth)).toThrow(InvalidChangeError);
  });

  test('is the same for all ways to shard', () => {
    fc.assert(
      fc.property(
        anyInput,
        fc.nat(),
        fc.constantFrom('write' as const, 'read' as const),
        (input, pick, side) => {
          const first = createMap(input);
          const from = first.shards[pick % first.shards.length]!;
          const map = wider(first, 1, from);
          const to = map.shards.at(-1)!;
          const all = partitionOf(map, from.ordinal);
          const change = {
            partition: all,
            from: from.name,
            to: to.name,
            side,
            generations: { from: 9, to: 4 },
          };
          const moved = settleMove(map, change);
          expect(checkMap(moved)).toEqual([]);
          expect(ownersOf(moved, all)[side]).toEqual(isEmptyPartition(all) ? [] : [to.ordinal]);
          expect(settleMove(moved, change).ownership).toEqual(moved.ownership);
        },
      ),
    );
  });
});

test('a fleet of one shard becomes two, and one again', () => {
  const one = createMap(mapInput(evenly, { shards: [{ name: 'social-0', ordinal: 0 }] }));
  const two = wider(one, 1);
  const halves = carriedOut(two, plan(two, { kind: 'split', shard: 'social-0', into: 2 }));
  expect([...slotCounts(halves).values()]).toEqual([512, 512]);
  const again = carriedOut(halves, plan(halves, merge('social-0', 'social-1'), { wantedShards: 1 }));
  expect(again.ownership).toEqual(one.ownership);
});
