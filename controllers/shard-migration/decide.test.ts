/** One fact at a time, from a split that is ready for its cutover: what is decided, and what a person reads. */
import { describe, expect, test } from 'vitest';
import {
  type FactsInput,
  factsWith,
  map,
  plan,
  shardView,
  transferWith,
  viewWith,
} from '#controllers/testing/migration-facts.ts';
import { withShardState } from '#sharding/change.ts';
import { decideMigration } from './decide.ts';
import { shardsInUse } from './in-use.ts';
import { markOf, markOfPlanned } from './mark.ts';
import { migrationStatus } from './status.ts';

const now = new Date('2026-11-21T12:00:00Z');
const decide = (input: FactsInput = {}) => decideMigration(factsWith(input), now);
const kinds = (input: FactsInput) => {
  const decision = decide(input);
  return decision.kind === 'Act'
    ? decision.actions.map(({ kind }) => kind)
    : [decision.kind, decision.reason];
};
const down = { kind: 'Streaming', lagBytes: 0, connected: false } as const;
const far = { kind: 'Streaming', lagBytes: 2_000_000, connected: true } as const;
const decided = { at: '2026-11-21T11:59:59Z', stallMs: 7, generations: { source: 2, target: 2 } };
const cutOver = transferWith({ writes: 'target', decided });
const target = { read: 'target', write: 'target' } as const;

test('ready for the cutover, it switches writes: the map is marked first and published right after the fence', () => {
  expect(kinds({})).toEqual(['MarkMap', 'Fence', 'Publish']);
});

describe('the cutover waits', () => {
  test.each<[string, FactsInput, string]>([
    ['for approval', { spec: { cutover: { mode: 'Manual' } } }, 'WaitingForApproval'],
    ['for its window', { spec: { cutover: { window: '* 1-4 * * *' } } }, 'OutsideWindow'],
    [
      'for ever, of a window that is none',
      { spec: { cutover: { window: '99 * * * *' } } },
      'WindowUnreadable',
    ],
    ['for a stream', { views: [viewWith(transferWith({ forward: down }))] }, 'StreamDown'],
    ['for the stream back', { views: [viewWith(transferWith({ back: down }))] }, 'StreamDown'],
    ['for lag', { views: [viewWith(transferWith({ forward: far }))] }, 'CatchingUp'],
    [
      'for a replica',
      { views: [viewWith(transferWith({}, { target: { replicaLagBytes: 2_000_000 } }))] },
      'ReplicasLag',
    ],
    [
      'for a transaction',
      { views: [viewWith(transferWith({}, { source: { oldestTransactionSeconds: 3 } }))] },
      'LongTransaction',
    ],
    [
      'for a shard',
      {
        over: {
          shards: new Map([
            ['social-0', shardView('social-0')],
            ['social-4', shardView('social-4', { ready: false })],
          ]),
        },
      },
      'ShardNotReady',
    ],
    [
      'for the same schema',
      {
        over: {
          shards: new Map([
            ['social-0', shardView('social-0')],
            ['social-4', shardView('social-4', { schema: '/0' })],
          ]),
        },
      },
      'SchemaDiffers',
    ],
    [
      'for an active shard',
      { over: { map: { map: withShardState(map, 'social-0', 'readonly') } } },
      'ShardNotActive',
    ],
    [
      'after an attempt that undid itself',
      {
        status: { cutover: { tries: 3, lastUndone: 'LockTimeout', lastUndoneTime: '2026-11-21T11:59:57Z' } },
      },
      'CutoverUndone',
    ],
    ['while it is suspended', { spec: { suspend: true } }, 'Suspended'],
    ['while it is paused', { metadata: { annotations: { 'shardwright.io/paused': 'true' } } }, 'Paused'],
  ])('%s', (_why, input, reason) => {
    expect(kinds(input)).toEqual(['Wait', reason]);
  });

  test.each<[string, FactsInput]>([
    ['approved', { spec: { cutover: { mode: 'Manual', approved: true } } }],
    [
      'annotated',
      { spec: { cutover: { mode: 'Manual' } }, metadata: { annotations: { 'shardwright.io/cutover': '1' } } },
    ],
    ['in its window', { spec: { cutover: { window: '* 12 * * *' } } }],
    [
      'long after an attempt',
      { status: { cutover: { tries: 3, lastUndone: 'x', lastUndoneTime: '2026-11-21T11:59:00Z' } } },
    ],
  ])('but not: %s', (_why, input) => {
    expect(kinds(input)).toContain('Fence');
  });
});

describe('what is decided is finished first, with the generations of the decision', () => {
  const views = [
    viewWith(
      transferWith({ writes: 'target', decided: { ...decided, generations: { source: 2, target: 5 } } }),
    ),
  ];
  test.each<[string, FactsInput]>([
    ['going on', {}],
    ['suspended', { spec: { suspend: true } }],
    ['paused', { metadata: { annotations: { 'shardwright.io/paused': 'true' } } }],
    ['aborted', { spec: { abort: true } }],
    ['deleted', { metadata: { deletionTimestamp: '2026-11-21T11:00:00Z' } }],
    ['not approved any more', { spec: { cutover: { mode: 'Manual' } } }],
  ])('%s', (_state, input) => {
    const decision = decide({ ...input, views });
    expect(decision).toMatchObject({
      kind: 'Act',
      actions: [
        { kind: 'MarkMap' },
        {
          kind: 'Fence',
          change: { to: 'target', generations: { source: { from: 1, to: 2 }, target: { to: 5 } } },
        },
        { kind: 'Publish' },
      ],
    });
  });
});

describe('the map', () => {
  const change = {
    side: 'read',
    to: 'target',
    generations: { source: { from: 1, to: 2 }, target: { from: 1, to: 2 } },
  } as const;
  const mark = markOf('uid-split', { transfer: plan.id, change });

  const newShard = { name: 'social-9', ordinal: 9, storageClassName: 'fast' };
  test.each([
    ['a shard that is added', 'AddShard', { newShard }, { kind: 'AddShard', ...newShard }],
    ['ranges that are split', 'SplitRanges', {}, { kind: 'SplitRanges' }],
  ] as const)('half written by us, %s, is finished as the plan says', (_what, marked, status, action) => {
    const over = {
      map: { map, markedBy: markOfPlanned('uid-split', marked), halfWritten: true },
      transfers: [],
    };
    expect(decide({ status, spec: { abort: true }, over })).toMatchObject({ actions: [action] });
  });

  test('half written by us is published again as the mark says', () => {
    const over = { map: { map, markedBy: mark, halfWritten: true }, transfers: [] };
    expect(decide({ over })).toMatchObject({ actions: [{ kind: 'Publish', transfer: plan.id, change }] });
  });

  test('half written by another is waited for', () => {
    const over = { map: { map, markedBy: 'uid-other/x', halfWritten: true }, transfers: [] };
    expect(kinds({ over })).toEqual(['Wait', 'MapMissing']);
  });

  test('a mark that was left is taken back', () => {
    expect(kinds({ over: { map: { map, markedBy: mark } } })).toEqual(['UnmarkMap']);
  });

  test('that gives a third shard part of what moves stops everything', () => {
    const views = [viewWith(transferWith(), { read: 'other', write: 'source' })];
    expect(kinds({ views })).toEqual(['Stalled', 'MapDisagrees']);
  });
});

describe('the old readers', () => {
  test('are closed before anything else when the map names their successors', () => {
    const moved = { ...map, shards: map.shards.map(shard => ({ ...shard, readerGeneration: 2 })) };
    const views = [viewWith(transferWith({}, { source: { readers: [1, 2] }, target: { readers: [1, 2] } }))];
    expect(decide({ views, over: { map: { map: moved } } })).toMatchObject({
      actions: [
        { kind: 'CloseReaders', change: { to: 'target', generations: { source: { from: 1, to: 2 } } } },
      ],
    });
  });
});

describe('after the cutover', () => {
  const verified = transferWith({ writes: 'target', decided, verified: { forward: 'a', back: 'b' } });
  test.each<[string, FactsInput, readonly string[]]>([
    ['rows are compared again', { views: [viewWith(cutOver, target)] }, ['Verify']],
    ['the way back is kept', { views: [viewWith(verified, target)] }, ['Wait', 'RollbackKept']],
    [
      'until its time is over',
      { spec: { rollbackWindow: '1s' }, views: [viewWith(verified, target)] },
      ['Close'],
    ],
    [
      'but not before rows were compared',
      { spec: { rollbackWindow: '1s' }, views: [viewWith(cutOver, target)] },
      ['Verify'],
    ],
    [
      'or a person ends it',
      { metadata: { annotations: { 'shardwright.io/finish': 'now' } }, views: [viewWith(verified, target)] },
      ['Close'],
    ],
    [
      'never while rows differ',
      {
        spec: { rollbackWindow: '1s' },
        metadata: { annotations: { 'shardwright.io/finish': 'now' } },
        status: {
          verification: {
            time: '2026-11-21T11:59:30Z',
            stream: 'back',
            matches: false,
            rows: 9,
            differences: ['t 1'],
          },
        },
        views: [viewWith(cutOver, target)],
      },
      ['Stalled', 'VerificationFailed'],
    ],
    [
      'a lost stream back wants a person',
      {
        views: [viewWith({ ...cutOver, back: { kind: 'Broken', reason: 'SlotLost', message: '' } }, target)],
      },
      ['Stalled', 'BackStreamLost'],
    ],
    [
      'an abort rolls back',
      { spec: { abort: true }, views: [viewWith(verified, target)] },
      ['MarkMap', 'Fence', 'Publish'],
    ],
    [
      'a deletion finishes',
      { metadata: { deletionTimestamp: '2026-11-21T11:00:00Z' }, views: [viewWith(verified, target)] },
      ['Close'],
    ],
    [
      'an abort that comes too late does not stop the clean-up',
      { spec: { abort: true }, status: { ending: 'Completed' }, views: [viewWith(verified, target)] },
      ['CleanUp'],
    ],
  ])('%s', (_what, input, expected) => {
    expect(kinds(input)).toEqual(expected);
  });
});

describe('whose rows go', () => {
  test.each([
    ['Completed', 'source'],
    ['Aborted', 'target'],
    ['RolledBack', 'target'],
  ] as const)('%s: those of the %s', (ending, loser) => {
    expect(decide({ status: { ending }, views: [viewWith(cutOver, target)] })).toMatchObject({
      actions: [{ kind: 'CleanUp', loser }],
    });
  });
});

describe('out of reach', () => {
  const unreachable = {
    plan,
    observed: { kind: 'Unreachable', message: 'no primary' },
    owners: { read: 'source', write: 'source' },
  } as const;
  test.each<[string, FactsInput, readonly string[]]>([
    ['it waits', {}, ['Wait', 'ShardUnreachable']],
    ['undoing waits', { spec: { abort: true } }, ['Wait', 'ShardUnreachable']],
    ['cleaning up waits', { status: { ending: 'Aborted' } }, ['Wait', 'ShardUnreachable']],
    [
      'a person lets it go',
      { metadata: { deletionTimestamp: 'x', annotations: { 'shardwright.io/let-go': 'true' } } },
      ['LetGo'],
    ],
    ['and so does the end of the fleet', { over: { cluster: undefined } }, ['Done', 'ClusterGone']],
  ])('%s', (_what, input, expected) => {
    expect(kinds({ views: [unreachable], ...input })).toEqual(expected);
  });
});

function unplanned(input: FactsInput): FactsInput {
  return { ...input, over: { status: {}, transfers: [], ...input.over } };
}

describe('before a plan', () => {
  const other = {
    name: 'other',
    older: true,
    planned: true,
    queued: false,
    shards: ['social-0'],
    waitingFor: undefined,
  };
  test.each<[string, FactsInput, readonly string[]]>([
    ['the finalizer comes first', {}, ['Hold', 'RecordPlan']],
    ['a busy shard is waited for', { over: { others: [other] } }, ['Wait', 'Busy']],
    [
      'other shards are not',
      { over: { others: [{ ...other, shards: ['social-1'] }] } },
      ['Hold', 'RecordPlan'],
    ],
    [
      'whoever is older and only waits goes first',
      { over: { others: [{ ...other, planned: false, queued: true }] } },
      ['Wait', 'Busy'],
    ],
    [
      'whoever is older and stuck does not',
      { over: { others: [{ ...other, planned: false, queued: false }] } },
      ['Hold', 'RecordPlan'],
    ],
    ['a dry run only looks', { spec: { dryRun: true } }, ['Preflight']],
    ['an abort has nothing to undo', { spec: { abort: true } }, ['Done', 'Aborted']],
    ['a deletion neither', { metadata: { deletionTimestamp: 'x' } }, ['LetGo']],
    ['an engine that cannot', { over: { supported: false } }, ['Stalled', 'NotYetSupported']],
    ['no fleet', { over: { cluster: undefined } }, ['Stalled', 'NoSuchCluster']],
    ['no such shard', { spec: { split: { shard: 'social-9', into: 2 } } }, ['Stalled', 'NoSuchShard']],
    ['not enough shards', { spec: { split: { shard: 'social-0', into: 3 } } }, ['Stalled', 'NoEmptyShard']],
  ])('%s', (_what, input, expected) => {
    expect(kinds(unplanned(input))).toEqual(expected);
  });

  test.each<[string, FactsInput, readonly string[]]>([
    ['counted on by one that waits', { over: { others: [other] } }, ['social-0']],
    ['and by one that a person can help', { spec: { split: { shard: 'social-0', into: 3 } } }, ['social-0']],
    ['but by none that can never be', { spec: { split: { shard: 'social-9', into: 2 } } }, []],
  ])('shards are %s', (_what, input, expected) => {
    const facts = factsWith(unplanned(input));
    const status = migrationStatus(facts, decideMigration(facts, now), now);
    expect(shardsInUse({ ...facts.migration, status })).toEqual(expected);
  });
});
