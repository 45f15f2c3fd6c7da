import { describe, expect, test } from 'vitest';
import { condition, shardWith } from '#controllers/testing/objects.ts';
import type { ShardStatus } from '#crds/api/shard.ts';
import { isNews } from './status-news.ts';

const status = (over: object = {}): ShardStatus => {
  const base = {
    observedGeneration: 1,
    phase: 'Creating',
    readyMembers: 0,
    conditions: [condition('Ready', 'False'), condition('Reconciling', 'True')],
  };
  return shardWith({}, {}, { ...base, ...over }).status ?? {};
};

describe('a status', () => {
  test('is news when there was none', () => {
    expect(isNews(undefined, status())).toBe(true);
  });

  test.each([
    ['a condition turned', { conditions: [condition('Ready', 'True'), condition('Reconciling', 'True')] }],
    ['a condition is gone', { conditions: [condition('Ready', 'False')] }],
    ['the phase changed', { phase: 'Ready' }],
    ['another primary', { primary: 'social-0-1' }],
    ['a newer spec was seen', { observedGeneration: 2 }],
    ['logins changed', { accessHash: 'h2' }],
    ['reference tables moved on', { referenceVersion: '7' }],
  ])('is news: %s', (_, over) => {
    expect(isNews(status(), status(over))).toBe(true);
  });

  test.each([
    ['more members are ready', { readyMembers: 1 }],
    [
      'a wording',
      { conditions: [condition('Ready', 'False', { message: 'x' }), condition('Reconciling', 'True')] },
    ],
    [
      'the order of conditions',
      { conditions: [condition('Reconciling', 'True'), condition('Ready', 'False')] },
    ],
    ['a size', { sizeBytes: 5 }],
  ])('can wait: %s', (_, over) => {
    expect(isNews(status(), status(over))).toBe(false);
  });
});
