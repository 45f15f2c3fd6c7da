import { describe, expect, it } from 'vitest';
import type { KubeObject, ObjectMeta } from '#kernel/object.ts';
import { specChanged, toController, toLabel } from '#kernel/source.ts';

function object(metadata: Partial<ObjectMeta>): KubeObject {
  return { apiVersion: 'v1', kind: 'X', metadata: { name: 'x', namespace: 'ns', ...metadata } };
}

function modified(old: Partial<ObjectMeta>, now: Partial<ObjectMeta>) {
  return { type: 'modified' as const, old: object(old), object: object(now), initial: false };
}

describe('specChanged', () => {
  it('is false for what a status write changes', () => {
    expect(
      specChanged(modified({ generation: 1, resourceVersion: '1' }, { generation: 1, resourceVersion: '2' })),
    ).toBe(false);
  });

  it.each([
    ['generation', { generation: 2 }],
    ['deletion', { generation: 1, deletionTimestamp: 'now' }],
    ['annotations', { generation: 1, annotations: { paused: 'true' } }],
    ['labels', { generation: 1, labels: { a: '1' } }],
    ['finalizers', { generation: 1, finalizers: ['x'] }],
  ])('is true for a change of %s', (_what, now) => {
    expect(specChanged(modified({ generation: 1 }, now))).toBe(true);
  });

  it('is true where there is no generation to go by', () => {
    expect(specChanged(modified({}, {}))).toBe(true);
  });
});

it('wakes the old and the new bearer of a label', () => {
  const map = toLabel('shard');
  expect(
    map(modified({ labels: { shard: 'a' } }, { labels: { shard: 'b' } })).map(({ name }) => name),
  ).toEqual(['b', 'a']);
  expect(map(modified({}, {}))).toEqual([]);
});

it('wakes the controller of a child, and no other owner', () => {
  const owner = { apiVersion: 'v1', kind: 'Shard', name: 's', uid: 'u' };
  const map = toController('Shard');
  expect(map(modified({}, { ownerReferences: [{ ...owner, controller: true }] }))).toEqual([
    { namespace: 'ns', name: 's' },
  ]);
  expect(map(modified({}, { ownerReferences: [owner] }))).toEqual([]);
});
