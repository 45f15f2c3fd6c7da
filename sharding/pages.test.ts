import { deflateRawSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addShards, bumpGeneration, settleMove, withShardState } from './change.ts';
import { createMap } from './create-map.ts';
import { applyDelta, deltaSince, digestOf, type MapDelta, parseDelta, wholeMap } from './delta.ts';
import {
  DamagedMapError,
  DeltaMismatchError,
  MapInTransitionError,
  ShardingError,
  UnknownFormatError,
} from './errors.ts';
import { partitionOf } from './owners.ts';
import { changedPages, epochOf, fromPages, type MapPage, pageConfigMapName, toPages } from './pages.ts';
import { isSealed, sealedPages } from './seal.ts';
import { anyInput, evenly, mapInput, newShards, sampleMaps } from './testing/fixtures.ts';
import { move, moveSlots } from './testing/moves.ts';

function wired(delta: MapDelta): MapDelta {
  return parseDelta(JSON.stringify(delta));
}

/** A fleet's life: the pages after each change. */
function history(steps: readonly number[]): readonly (readonly MapPage[])[] {
  let map = createMap(mapInput(evenly, { slots: 2 ** 17, shards: newShards(6) }));
  const states = [toPages(map)];
  for (const step of steps) {
    const shard = `social-${step % 6}`;
    if (step % 3 === 0) map = withShardState(map, shard, step % 2 === 0 ? 'readonly' : 'active');
    else if (step % 3 === 1) map = bumpGeneration(map, shard, 'read');
    else {
      const slot = step % map.slots;
      const owner = map.ownership.algorithm === 'hash' ? (map.ownership.owners.write[slot] ?? 0) : 0;
      const [from, to] = [`social-${owner}`, `social-${(owner + 1) % 6}`];
      map = moveSlots(map, { ranges: [{ first: slot, last: slot }], from, to, side: 'write' });
    }
    states.push(toPages(map, states.at(-1)));
  }
  return states;
}

/** The pages with another one in the place of its namesake. */
function replace(pages: readonly MapPage[], page: MapPage): MapPage[] {
  return pages.map(old => (old.id === page.id ? page : old));
}

function pageOf(pages: readonly MapPage[], id: string): MapPage {
  return pages.find(page => page.id === id)!;
}

function atEpoch(pages: readonly MapPage[], id: string, epoch: number): MapPage[] {
  return pages.map(page => (page.id === id ? { ...page, epoch } : page));
}

/** Sets in the middle of a change: every page either of before or of after. */
function mixtures(before: readonly MapPage[], after: readonly MapPage[]): readonly (readonly MapPage[])[] {
  const changed = changedPages(before, after);
  return Array.from({ length: 2 ** changed.length }, (_, choice) =>
    changed.reduce<readonly MapPage[]>(
      (pages, page, i) => ((choice >> i) & 1 ? [...pages.filter(({ id }) => id !== page.id), page] : pages),
      before,
    ),
  );
}

function result(decode: () => unknown): unknown {
  try {
    return decode();
  } catch (error) {
    return error instanceof ShardingError ? 'typed' : error;
  }
}

function outcome(decode: () => unknown): unknown {
  const end = result(decode);
  return end === 'typed' || end instanceof Error ? end : 'sound';
}

describe('pages', () => {
  test('decode to the map they were made from, in any order', () => {
    fc.assert(
      fc.property(anyInput, input => {
        const map = createMap(input);
        const pages = wired(wholeMap(toPages(map))).pages;
        expect(fromPages(pages.toReversed())).toEqual(map);
      }),
    );
  });

  test('span a fleet beyond one page of slots and of shards', () => {
    const map = createMap(mapInput(evenly, { slots: 2 ** 17, shards: newShards(5000) }));
    const spread = addShards(map, [{ name: 'odd-name', ordinal: 9000, region: 'x' }]);
    const pages = toPages(spread);
    expect(pages.map(page => page.id)).toEqual([
      'shards-0',
      'shards-1',
      'shards-2',
      'slots-0',
      'slots-1',
      'header',
    ]);
    expect(fromPages(pages)).toEqual(spread);
  });

  test('keep their epoch unless their content changed', () => {
    for (const map of Object.values(sampleMaps())) {
      const pages = toPages(map);
      expect(toPages(map, pages)).toEqual(pages);
      const next = withShardState(map, 'social-1', 'readonly');
      const nextPages = toPages(next, pages);
      expect(changedPages(pages, nextPages).map(page => [page.id, page.epoch])).toEqual([
        ['shards-0', 2],
        ['header', 2],
      ]);
      expect(fromPages(nextPages)).toEqual(next);
    }
  });

  test('are the same whether or not the map before is known', () => {
    fc.assert(
      fc.property(anyInput, fc.nat(), fc.nat(), (input, a, b) => {
        const map = createMap(input);
        const pages = toPages(map);
        const [from, to] = [map.shards[a % map.shards.length]!, map.shards[b % map.shards.length]!];
        fc.pre(from !== to && from.region === to.region);
        const partition = partitionOf(map, from.ordinal);
        const ends = { partition, from: from.name, to: to.name };
        const next = move(move(map, { ...ends, side: 'read' }), { ...ends, side: 'write' });
        for (const changed of [next, withShardState(map, to.name, 'readonly'), { ...map, tables: [] }]) {
          const fast = toPages(changed, pages, map);
          expect(fast).toEqual(toPages(changed, pages));
          expect(fromPages(fast)).toEqual({ ...changed, epoch: epochOf(fast) });
        }
      }),
    );
  });

  test('of a large map that changed a little: the others are the very same', () => {
    const map = createMap(mapInput(evenly, { slots: 2 ** 18, shards: newShards(5000) }));
    const pages = toPages(map);
    const again = fromPages(pages);
    const next = moveSlots(again, {
      ranges: [{ first: 5, last: 5 }],
      from: 'social-0',
      to: 'social-1',
      side: 'write',
    });
    const nextPages = toPages(next, pages, again);
    expect(nextPages.filter(page => !pages.includes(page)).map(page => page.id)).toEqual([
      'shards-0',
      'slots-0',
      'header',
    ]);
    expect(fromPages(nextPages)).toEqual(next);
    expect(fromPages(pages)).toEqual(map);
  });

  test("of a moved slot are its own, its shards' and the header", () => {
    const map = createMap(mapInput(evenly, { slots: 2 ** 18 }));
    const pages = toPages(map);
    const next = moveSlots(map, {
      ranges: [{ first: 5, last: 9 }],
      from: 'social-0',
      to: 'social-1',
      side: 'read',
    });
    const nextPages = toPages(next, pages);
    expect(changedPages(pages, nextPages).map(page => page.id)).toEqual(['shards-0', 'slots-0', 'header']);
    expect(fromPages(nextPages)).toEqual(next);
  });

  test('are named after their cluster', () => {
    expect(pageConfigMapName('social', 'header')).toBe('social-map');
    expect(pageConfigMapName('social', 'slots-3')).toBe('social-map-slots-3');
    expect(pageConfigMapName('social', 'slots-eu-west-0')).toBe('social-map-slots-eu-west-0');
    const odd = ['EU_west', 'eu_west', 'EU-west', 'eu-west'].map(region =>
      pageConfigMapName('social', `slots-${region}-0`),
    );
    expect(new Set(odd).size).toBe(4);
    for (const name of odd) expect(name).toMatch(/^social-map-slots-eu-west-0(-[0-9a-f]+)?$/);
  });
});

describe('the seal', () => {
  const before = createMap(mapInput(evenly, { slots: 2 ** 17, shards: newShards(6) }));
  const after = settleMove(before, {
    partition: { kind: 'slots', slots: before.slots, ranges: [{ first: 0, last: 9 }] },
    from: 'social-0',
    to: 'social-5',
    side: 'write',
    generations: { from: 2, to: 7 },
  });
  const [old, next] = [toPages(before), toPages(after, toPages(before))];

  test('fits before and after a change of several pages, and nowhere in between', () => {
    const sets = mixtures(old, next);
    expect(sets.length).toBe(8);
    expect(sets.map(isSealed)).toEqual(sets.map((_, i) => i === 0 || i === sets.length - 1));
    expect(fromPages(sets[0]!)).toEqual(before);
    expect(fromPages(sets.at(-1)!)).toEqual(after);
    for (const pages of sets.slice(1, -1)) expect(() => fromPages(pages)).toThrow(MapInTransitionError);
  });

  test('is none of the matter of a page that the header does not name', () => {
    const stray = { id: 'shards-9', epoch: 77, data: old[0]!.data };
    const pages = [...old, stray];
    expect(sealedPages(pages)).toEqual(old);
    expect(fromPages(pages)).toEqual(before);
    expect(fromPages(pages, { raw: true }).epoch).toBe(77);
  });

  test('whoever finishes a change from any mixture comes to the same map', () => {
    for (const pages of mixtures(old, next)) {
      const raw = fromPages(pages, { raw: true });
      const again = settleMove(raw, {
        partition: { kind: 'slots', slots: before.slots, ranges: [{ first: 0, last: 9 }] },
        from: 'social-0',
        to: 'social-5',
        side: 'write',
        generations: { from: 2, to: 7 },
      });
      const finished = toPages({ ...again, epoch: raw.epoch + 1 }, pages);
      expect(fromPages(finished)).toEqual({ ...after, epoch: epochOf(finished) });
    }
  });

  test('of new shards whose page came and whose header did not: their ordinals are used up all the same', () => {
    const grown = addShards(before, [{ name: 'social-6', ordinal: 6 }]);
    const half = replace(old, pageOf(toPages(grown, old), 'shards-0'));
    expect(() => fromPages(half)).toThrow(MapInTransitionError);
    expect(fromPages(half, { raw: true })).toMatchObject({ nextOrdinal: 7, shards: grown.shards });
  });

  test('a delta never brings a receiver to a mixture', () => {
    const [mixed, ...more] = mixtures(old, next).slice(1, -1);
    for (const pages of [mixed!, ...more]) {
      // A sender that does not look would send this; the receiver does look.
      const received = applyDelta(old, wired(deltaSince(pages, before.epoch)));
      expect(() => fromPages(received)).toThrow(MapInTransitionError);
      // What it can be brought to from there is the next whole map or nothing.
      const delta = wired(deltaSince(next, epochOf(received)));
      expect([after, 'typed']).toContainEqual(result(() => fromPages(applyDelta(received, delta))));
      expect(fromPages(applyDelta(received, wired(wholeMap(next))))).toEqual(after);
    }
  });
});

describe('damage', () => {
  const pages = toPages(sampleMaps().even);
  const without = (id: string): readonly MapPage[] => pages.filter(page => page.id !== id);
  const broken = (id: string, data: string): readonly MapPage[] => [...without(id), { id, epoch: 1, data }];
  const slots = pages.find(page => page.id === 'slots-0')!;

  test.each([
    ['no pages', [], /header is missing/],
    ['a missing page', without('slots-0'), /slots-0 is missing/],
    ['a page twice', [...pages, slots], /slots-0 is there twice/],
    ['a page cut off', broken('slots-0', slots.data.slice(0, -8)), /slots-0 /],
    ["another page's content", broken('shards-0', slots.data), /shards-0 is not JSON/],
    [
      'fewer shards than owners',
      broken('shards-0', toPages(createMap(mapInput(evenly, { shards: newShards(3) })))[0]!.data),
      /belongs to shard 3/,
    ],
    [
      'fewer slots than the header says',
      broken('slots-0', pageOf(toPages(createMap(mapInput(evenly, { slots: 512 }))), 'slots-0').data),
      /for 1024 slots/,
    ],
  ])('%s', (_, damaged, message) => {
    expect(() => fromPages(damaged)).toThrow(DamagedMapError);
    expect(() => fromPages(damaged)).toThrow(message);
  });

  test('an unknown format says which version to use', () => {
    const header = deflateRawSync('{"format":2}').toString('base64');
    expect(() => fromPages(broken('header', header))).toThrow(UnknownFormatError);
    expect(() => parseDelta('{"format":2}')).toThrow(/format 2; this version knows 1/);
  });

  test.each(['', '[]', 'null', '{"format":1}', '{"format":1,"since":0,"epoch":1,"digest":"","pages":[{}]}'])(
    'on the wire: %s',
    text => {
      expect(() => parseDelta(text)).toThrow(ShardingError);
    },
  );

  test('anywhere in any page gives a typed error or a sound map, never a crash', () => {
    const maps = Object.values(sampleMaps()).map(map => toPages(map));
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(), fc.nat(255), (mapIndex, pageIndex, at, byte) => {
        const whole = maps[mapIndex % maps.length]!;
        const page = whole[pageIndex % whole.length]!;
        const bytes = Buffer.from(page.data, 'base64');
        bytes[at % bytes.length] = byte;
        const hurt = { ...page, data: bytes.toString('base64') };
        expect(outcome(() => fromPages(whole.map(other => (other === page ? hurt : other))))).toMatch(
          /^(typed|sound)$/,
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe('deltas', () => {
  const steps = fc.array(fc.nat(2 ** 17 - 1), { minLength: 1, maxLength: 8 });

  test('lead from any epoch to the newest', () => {
    fc.assert(
      fc.property(steps, changes => {
        const states = history(changes);
        const newest = states.at(-1)!;
        for (const old of states) {
          const delta = wired(deltaSince(newest, epochOf(old)));
          expect(digestOf(applyDelta(old, delta))).toBe(digestOf(newest));
        }
      }),
      { numRuns: 8 },
    );
  });

  test('converge in any order, with duplicates', () => {
    fc.assert(
      fc.property(steps, fc.infiniteStream(fc.nat()), (changes, random) => {
        const states = history(changes);
        const deltas = states.map(state => deltaSince(state, 1));
        const shuffled = [...deltas, ...deltas]
          .map(delta => ({ delta, order: random.next().value }))
          .toSorted((a, b) => a.order - b.order);
        const end = shuffled.reduce((pages, { delta }) => applyDelta(pages, delta), states[0]!);
        expect(digestOf(end)).toBe(digestOf(states.at(-1)!));
      }),
      { numRuns: 8 },
    );
  });

  test('heal a race of two writers with one epoch', () => {
    const [before] = history([]);
    const shardPage = { ...before!.find(page => page.id === 'shards-0')!, epoch: 2 };
    const slotPage = { ...before!.find(page => page.id === 'slots-1')!, epoch: 2 };
    const first = replace(before!, shardPage);
    const both = replace(first, slotPage);
    expect(applyDelta(first, deltaSince(both, 2))).toEqual(both);
  });

  test('notice a page that appeared below the epoch already seen', () => {
    const [before] = history([]);
    const seen = atEpoch(before!, 'shards-0', 3);
    const late = atEpoch(seen, 'slots-1', 2);
    expect(() => applyDelta(seen, deltaSince(late, 3))).toThrow(DeltaMismatchError);
    expect(applyDelta(seen, wholeMap(late))).toEqual(late);
  });

  test('a whole map replaces one of higher epochs: the fleet was made anew', () => {
    const states = history([3, 4, 5]);
    const anew = toPages(createMap(mapInput(evenly)));
    expect(applyDelta(states.at(-1)!, wholeMap(anew))).toEqual(anew);
  });
});
