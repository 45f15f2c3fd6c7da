import { expect, test } from 'vitest';
import { factsWith } from '#controllers/testing/migration-facts.ts';
import { paceOf } from './pace.ts';

function paceWith(pace: object) {
  const { spec } = factsWith({ spec: { pace } }).migration;
  if (!spec.pace) throw new Error('no pace');
  return spec.pace;
}

test('without numbers of its own, two sessions that make way for replicas and commits', () => {
  expect(paceOf(paceWith({}), 1)).toEqual({
    parallel: 2,
    maxReplicaLagBytes: 64 * 2 ** 20,
    maxCommitLatencyMs: 250,
  });
});

test('the limit is that of the whole migration', () => {
  const pace = paceWith({
    maxBytesPerSecond: '30Mi',
    parallel: 4,
    maxReplicaLag: '1Gi',
    maxCommitLatency: '1s',
  });
  expect(paceOf(pace, 3)).toEqual({
    parallel: 4,
    maxBytesPerSecond: 10 * 2 ** 20,
    maxReplicaLagBytes: 2 ** 30,
    maxCommitLatencyMs: 1000,
  });
});

test('where nothing says otherwise the database copies as it does', () => {
  expect(factsWith().migration.spec.pace).toBeUndefined();
});
