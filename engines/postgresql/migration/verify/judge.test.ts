/** The judgement against a model: a leader whose row changes at any moment, and a follower that lags or runs ahead. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judge, type Look, type Looks } from './judge.ts';

const look = (version: string, hash: string): Look => ({ version, hash });

describe('a row', () => {
  test.each<[string, Looks, ReturnType<typeof judge>]>([
    ['gone at both', { follower: [undefined, undefined], leader: [undefined, undefined] }, 'equal'],
    [
      'the same',
      { follower: [look('f', 'x'), look('f', 'x')], leader: [look('l', 'x'), look('l', 'x')] },
      'equal',
    ],
    [
      'arrived late',
      { follower: [undefined, look('f', 'x')], leader: [look('l', 'x'), look('m', 'y')] },
      'equal',
    ],
    ['missing', { follower: [undefined, undefined], leader: [look('l', 'x'), look('l', 'x')] }, 'differs'],
    ['extra', { follower: [look('f', 'x'), look('f', 'x')], leader: [undefined, undefined] }, 'differs'],
    [
      'changed',
      { follower: [look('f', 'y'), look('f', 'y')], leader: [look('l', 'x'), look('l', 'x')] },
      'differs',
    ],
    [
      'changed there and back between the looks',
      { follower: [look('f', 'a'), look('g', 'y')], leader: [look('l', 'x'), look('n', 'x')] },
      'open',
    ],
    [
      'inserted and deleted between the looks',
      { follower: [undefined, look('f', 'x')], leader: [undefined, undefined] },
      'open',
    ],
  ])('%s', (_, looks, expected) => {
    expect(judge(looks)).toBe(expected);
  });
});

/**
 * The leader's history is a list of contents (0: no row); each entry is a version of its own. Looks are moments in it, in
 * order. The follower is at some entry between what had arrived and what is there by then.
 */
const story = fc.record({
  contents: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 8 }),
  moments: fc.tuple(fc.nat(100), fc.nat(100), fc.nat(100), fc.nat(100)),
  lags: fc.tuple(fc.nat(8), fc.nat(8)),
});

function at(contents: readonly number[], index: number): Look | undefined {
  const content = contents[index];
  return content ? look(String(index), String(content)) : undefined;
}

function play({ contents, moments, lags }: { contents: number[]; moments: number[]; lags: number[] }) {
  const [f0 = 0, l1 = 0, f1 = 0, l2 = 0] = moments
    .toSorted((a, b) => a - b)
    .map(moment => Math.floor((moment * contents.length) / 101));
  const early = Math.max(0, f0 - (lags[0] ?? 0));
  // What the first look at the leader saw has arrived.
  const late = Math.max(l1, f1 - (lags[1] ?? 0));
  return { f0: early, l1, f1: late, l2 };
}

test('a faithful follower is never said to differ', () => {
  fc.assert(
    fc.property(story, told => {
      const { f0, l1, f1, l2 } = play(told);
      const looks: Looks = {
        follower: [at(told.contents, f0), at(told.contents, f1)],
        leader: [at(told.contents, l1), at(told.contents, l2)],
      };
      expect(judge(looks)).not.toBe('differs');
    }),
    { numRuns: 5000 },
  );
});

const byContent = ({ follower: [, after], leader: [first, second] }: Looks) =>
  first?.hash === second?.hash && after?.hash !== first?.hash;

test('the model has teeth: a judgement by content alone would raise false alarms', () => {
  const result = fc.check(
    fc.property(story, told => {
      const { f0, l1, f1, l2 } = play(told);
      return !byContent({
        follower: [at(told.contents, f0), at(told.contents, f1)],
        leader: [at(told.contents, l1), at(told.contents, l2)],
      });
    }),
    { numRuns: 5000 },
  );
  expect(result.failed).toBe(true);
});

test('a row that stands still and differs is always found', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 2 }), (here, there) => {
      fc.pre(here !== there);
      const leader = at([here], 0);
      const follower = at([there], 0);
      expect(judge({ follower: [follower, follower], leader: [leader, leader] })).toBe('differs');
    }),
  );
});
