import { expect, test } from 'vitest';
import { reconcilingWhilePaused } from './paused.ts';
import { clusterWith, condition, settled } from './testing/objects.ts';

const paused = (status: object, generation = 1) =>
  reconcilingWhilePaused(clusterWith({}, { generation }, status));

test('nothing waits where everything was as wanted, and that stays so', () => {
  const first = paused(settled);
  expect(first).toMatchObject({ status: 'False', reason: 'Paused' });
  const conditions = [condition('Reconciling', 'False')];
  expect(paused({ ...settled, conditions })).toEqual(first);
});

test.each([
  ['a spec that has changed', settled, 2],
  ['a fleet of which nothing was made', {}, 1],
  [
    'what was under way',
    { ...settled, conditions: [condition('Ready', 'True'), condition('Reconciling', 'True')] },
    1,
  ],
  [
    'what waited for a person',
    { ...settled, conditions: [condition('Reconciling', 'False'), condition('Stalled', 'True')] },
    1,
  ],
])('%s waits, also on the next look', (_, status, generation) => {
  const first = paused(status, generation);
  expect(first).toMatchObject({ status: 'True', reason: 'Paused', message: expect.stringMatching(/waits$/) });
  const conditions = [condition('Reconciling', 'True'), condition('Stalled', 'False')];
  expect(paused({ observedGeneration: generation, conditions }, generation)).toEqual(first);
});
