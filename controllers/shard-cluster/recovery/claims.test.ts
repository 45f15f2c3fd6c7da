import { describe, expect, test } from 'vitest';
import type { FoundShard, FoundTransfer } from '#engines/recovery.ts';
import type { Partition } from '#sharding/partition.ts';
import { claimsOf } from './claims.ts';

const slots = (first: number, last: number): Partition => ({
  kind: 'slots',
  slots: 256,
  ranges: [{ first, last }],
});
const empty: Partition = { kind: 'slots', slots: 256, ranges: [] };
const moving = slots(128, 255);

function transfer(side: FoundTransfer['side'], over: Partial<FoundTransfer> = {}): FoundTransfer {
  return { id: 'x', migration: 'split', side, partition: moving, markers: [], ...over };
}

function found(partition: Partition | undefined, ...transfers: FoundTransfer[]): FoundShard {
  return { ...(partition && { partition }), generation: 1, readerGeneration: 1, transfers };
}

/** Slots of source (0) and target (1). */
function owned(source: FoundShard, target: FoundShard): readonly unknown[] {
  const claims = claimsOf(
    [
      { ordinal: 0, found: source },
      { ordinal: 1, found: target },
    ],
    'bigint',
    empty,
  );
  return [0, 1].map(ordinal => {
    const claim = claims.get(ordinal);
    return claim?.kind === 'slots' ? claim.ranges : undefined;
  });
}

const all = [{ first: 0, last: 255 }];
const [low, high] = [[{ first: 0, last: 127 }], [{ first: 128, last: 255 }]];
const decided = { writes: 'target', generation: 2, marker: 'm' } as const;
const back = { writes: 'source', generation: 3, marker: 'n' } as const;

describe('a split of slots 128-255', () => {
  test('before it began, and long after it', () => {
    expect(owned(found(slots(0, 255)), found(undefined))).toEqual([all, []]);
    expect(owned(found(slots(0, 127)), found(slots(128, 255)))).toEqual([low, high]);
  });

  test('while it copies, the source owns all', () => {
    expect(
      owned(found(slots(0, 255), transfer('source')), found(empty, transfer('target', { markers: ['a'] }))),
    ).toEqual([all, []]);
  });

  test('decided at the source, all had arrived: the target owns it, though neither was told yet', () => {
    expect(
      owned(
        found(slots(0, 255), transfer('source', { decision: decided, markers: ['m'] })),
        found(empty, transfer('target', { markers: ['m'] })),
      ),
    ).toEqual([low, high]);
  });

  test('decided at the source, but the target came back to before that: the source keeps it', () => {
    expect(
      owned(
        found(slots(0, 255), transfer('source', { decision: decided, markers: ['m'] })),
        found(empty, transfer('target')),
      ),
    ).toEqual([all, []]);
  });

  test('the source came back to before the decision that the target knows of', () => {
    expect(
      owned(
        found(slots(0, 255), transfer('source')),
        found(empty, transfer('target', { decision: decided, markers: ['m'] })),
      ),
    ).toEqual([low, high]);
  });

  test('decided and told to both', () => {
    expect(
      owned(
        found(slots(0, 127), transfer('source', { decision: decided })),
        found(slots(128, 255), transfer('target', { decision: decided })),
      ),
    ).toEqual([low, high]);
  });

  test('rolled back: the later decision stands', () => {
    expect(
      owned(
        found(slots(0, 127), transfer('source', { decision: decided, markers: ['n'] })),
        found(slots(128, 255), transfer('target', { decision: back, markers: ['n'] })),
      ),
    ).toEqual([all, []]);
    // The way back had not arrived: what the target took stays with it.
    expect(
      owned(
        found(slots(0, 127), transfer('source', { decision: decided })),
        found(slots(128, 255), transfer('target', { decision: back, markers: ['n'] })),
      ),
    ).toEqual([low, high]);
  });

  test('half cleaned up: the winner has forgotten it already', () => {
    expect(
      owned(found(slots(0, 127), transfer('source', { decision: decided })), found(slots(128, 255))),
    ).toEqual([low, high]);
    expect(owned(found(slots(0, 255)), found(empty, transfer('target', { markers: ['a'] })))).toEqual([
      all,
      [],
    ]);
  });
});

test('a merge from a shard that was told last of all', () => {
  const merge = (side: 'source' | 'target') =>
    transfer(side, { partition: slots(128, 255), decision: decided, markers: ['m'] });
  expect(owned(found(slots(128, 255), merge('source')), found(slots(0, 127), merge('target')))).toEqual([
    [],
    all,
  ]);
});

test('transfers of one migration do not touch each other', () => {
  const claims = claimsOf(
    [
      {
        ordinal: 0,
        found: found(
          slots(0, 255),
          transfer('source', { id: 'x', partition: slots(100, 149), decision: decided, markers: ['m'] }),
          transfer('source', { id: 'y', partition: slots(150, 255) }),
        ),
      },
      {
        ordinal: 1,
        found: found(empty, transfer('target', { id: 'x', partition: slots(100, 149), markers: ['m'] })),
      },
      { ordinal: 2, found: found(empty, transfer('target', { id: 'y', partition: slots(150, 255) })) },
    ],
    'bigint',
    empty,
  );
  expect([...claims.values()].map(claim => claim.kind === 'slots' && claim.ranges)).toEqual([
    [
      { first: 0, last: 99 },
      { first: 150, last: 255 },
    ],
    [{ first: 100, last: 149 }],
    [],
  ]);
});
