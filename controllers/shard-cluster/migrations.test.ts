import { describe, expect, test } from 'vitest';
import type { KubeObject } from '#kernel/object.ts';
import { changesWriters, clusterNamed, migrationStage, migrationUse } from './migrations.ts';

const fleet = { namespace: 'default', name: 'social' };

function migration(spec: object, status: object = {}, namespace = 'default'): KubeObject {
  return {
    apiVersion: 'shardwright.io/v1alpha1',
    kind: 'ShardMigration',
    metadata: { name: 'm', namespace },
    spec: { cluster: { name: 'social' }, ...spec },
    status,
  };
}

function use(...migrations: readonly KubeObject[]): unknown {
  const { shards, emptying } = migrationUse(migrations, fleet, 'uid-social');
  return [[...shards].toSorted(), emptying];
}

const transfers = [{ id: 'x', source: 'social-0', target: 'social-4' }];

describe('shards that a migration counts on', () => {
  test.each([
    ['are those of its operation', migration({ split: { shard: 'social-0' } }), [['social-0'], false]],
    [
      'and of its plan',
      migration({ split: { shard: 'social-0' } }, { phase: 'BulkCopy', transfers }),
      [['social-0', 'social-4'], false],
    ],
    ['a merge', migration({ merge: { shards: ['social-1', 'social-2'] } }), [['social-1', 'social-2'], true]],
    ['a move', migration({ move: { shard: 'social-1', region: 'r' } }), [['social-1'], true]],
    ['slots', migration({ slots: { from: 'social-1', to: 'social-3' } }), [['social-1', 'social-3'], false]],
    [
      'none once it has ended',
      migration({ merge: { shards: ['social-1'] } }, { phase: 'Completed', transfers }),
      [[], false],
    ],
    [
      'none of a dry run',
      migration({ split: { shard: 'social-0' }, dryRun: true }, { transfers }),
      [[], false],
    ],
    ['none in another namespace', migration({ split: { shard: 'social-0' } }, {}, 'other'), [[], false]],
    [
      'none of another fleet',
      migration({ cluster: { name: 'x' }, split: { shard: 'social-0' } }),
      [[], false],
    ],
    [
      'none of something damaged',
      migration({ split: 5, merge: undefined, slots: null }, { transfers: 'x' }),
      [[], false],
    ],
  ])('%s', (_what, object, expected) => {
    expect(use(object)).toEqual(expected);
  });

  const impossible = (conditions: object, status: object = {}) =>
    use(
      migration(
        { merge: { shards: ['social-1', 'social-4'] } },
        {
          phase: 'Pending',
          conditions: [
            { type: 'Ready', status: 'False', reason: 'NothingToMove', observedGeneration: 0 },
            {
              type: 'Stalled',
              status: 'True',
              reason: 'NothingToMove',
              observedGeneration: 0,
              ...conditions,
            },
          ],
          ...status,
        },
      ),
    );
  const counted = [['social-1', 'social-4'], true];

  test('are none of one that was never begun and cannot be as it stands', () => {
    expect(impossible({})).toEqual([[], false]);
    expect(impossible({ reason: 'NotOwned' })).toEqual([[], false]);
  });

  test('are those of one that goes on once somebody does what it asks for', () => {
    expect(impossible({ reason: 'ShardsNotLowered' })).toEqual(counted);
    expect(impossible({ reason: 'ShardNotActive' })).toEqual(counted);
    expect(impossible({ reason: 'PreflightFailed' })).toEqual(counted);
  });

  test('are those of one that has begun, whatever it is stalled by', () => {
    expect(impossible({}, { transfers: [{ source: 'social-1', target: 'social-4' }] })).toEqual(counted);
    expect(impossible({}, { transfers: [] })).toEqual(counted);
  });

  test('are those of one whose controller has not said so of this spec, or no longer does', () => {
    expect(impossible({ observedGeneration: 7 })).toEqual(counted);
    expect(impossible({ status: 'False' })).toEqual(counted);
    expect(impossible({ type: 'Ready' })).toEqual(counted);
  });

  test('are gathered over all of them', () => {
    expect(
      use(migration({ split: { shard: 'social-0' } }), migration({ merge: { shards: ['social-1'] } })),
    ).toEqual([['social-0', 'social-1'], true]);
  });
});

test('progress alone wakes no fleet', () => {
  const before = migration({}, { phase: 'BulkCopy', transfers, progress: { percent: 3 } });
  expect(migrationStage(migration({}, { phase: 'BulkCopy', transfers }))).toBe(migrationStage(before));
  expect(migrationStage(migration({}, { phase: 'Completed', transfers }))).not.toBe(migrationStage(before));
  expect(clusterNamed(before)).toBe('social');
});

test('a fleet wakes when a migration that was planned, or stalls, counts on other shards', () => {
  const spec = { merge: { shards: ['social-0', 'social-4'] } };
  const conditions = [{ type: 'Stalled', status: 'True', reason: 'NothingToMove', observedGeneration: 0 }];
  const before = migrationStage(migration(spec, { phase: 'Pending' }));
  expect(migrationStage(migration(spec, { phase: 'Pending', conditions }))).not.toBe(before);
  expect(migrationStage(migration(spec, { phase: 'Pending', transfers }))).not.toBe(before);
});

function moved(newShard: object, clusterUid = 'uid-social', phase = 'Completed'): KubeObject {
  return migration({ move: { shard: 'social-1', storageClassName: 'x' } }, { newShard, clusterUid, phase });
}

function classes(...migrations: readonly KubeObject[]): unknown {
  return [...migrationUse(migrations, fleet, 'uid-social').storageClasses];
}

describe('storage classes of shards that moves have made', () => {
  test('stand in the plan, for as long as the migration is there', () => {
    expect(
      classes(
        moved({ name: 'social-4', ordinal: 4, storageClassName: 'fast' }),
        moved({ name: 'social-5', ordinal: 5, region: 'us-east' }, 'uid-social', 'BulkCopy'),
      ),
    ).toEqual([
      ['social-4', 'fast'],
      ['social-5', undefined],
    ]);
  });

  test('are not those of an earlier fleet of the same name', () => {
    expect(classes(moved({ name: 'social-4', storageClassName: 'fast' }, 'uid-before'))).toEqual([]);
  });

  test('are not in something damaged', () => {
    expect(classes(moved([]), moved({ name: 4, storageClassName: 'fast' }))).toEqual([]);
  });
});

test.each([
  ['at the switch', migration({}, { phase: 'SwitchWrites' }), true],
  ['after it, when it may be rolled back', migration({}, { phase: 'VerifyAndCleanup' }), true],
  ['not before', migration({}, { phase: 'SwitchReads' }), false],
  ['not once it has ended', migration({}, { phase: 'Completed' }), false],
  ['not for another fleet', migration({ cluster: { name: 'x' } }, { phase: 'SwitchWrites' }), false],
  ['not in another namespace', migration({}, { phase: 'SwitchWrites' }, 'other'), false],
  ['not before it was looked at', migration({}), false],
])('a migration may change who takes writes: %s', (_what, object, expected) => {
  expect(changesWriters([migration({}), object], fleet)).toBe(expected);
});
