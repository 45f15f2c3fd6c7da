import { expect, test } from 'vitest';
import type { KubeObject } from '#kernel/object.ts';
import { sampleShard } from '../testing/shard.ts';
import { forgetMembers } from './forget-members.ts';

const mark = 'control-plane.alpha.kubernetes.io/leader';

function endpoints(name: string, annotations: Record<string, string>): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { name, namespace: 'fleet', resourceVersion: '7', annotations },
  };
}

const forget = (objects: readonly KubeObject[]) => forgetMembers(sampleShard(), { endpoints: objects }, '73');

test('all that members said of themselves goes; settings and the marks of others stay', () => {
  const patches = forget([
    endpoints('social-0', {
      leader: 'social-0-1',
      optime: '9000',
      ttl: '20',
      'shardwright.io/applied-by-x': 'h',
    }),
    endpoints('social-0-config', { [mark]: '', config: '{}', initialize: '73', history: '[[1,2]]' }),
    endpoints('social-0-sync', { [mark]: '', leader: 'social-0-1', sync_standby: 'social-0-2' }),
    endpoints('social-0-failover', { [mark]: '' }),
    endpoints('social-0-ro', { other: 'x' }),
  ]);
  expect(patches.map(({ name, body }) => [name, body])).toEqual([
    [
      'social-0',
      { metadata: { resourceVersion: '7', annotations: { leader: null, optime: null, ttl: null } } },
    ],
    ['social-0-config', { metadata: { resourceVersion: '7', annotations: { history: null } } }],
    [
      'social-0-sync',
      { metadata: { resourceVersion: '7', annotations: { leader: null, sync_standby: null } } },
    ],
  ]);
});

test('a store that was lost too is told which database it is, so that no empty member makes another', () => {
  expect(forget([endpoints('social-0-config', { [mark]: '', config: '{}' })])).toMatchObject([
    { name: 'social-0-config', body: { metadata: { annotations: { initialize: '73' } } } },
  ]);
});

test('a store that has forgotten needs no patch', () => {
  expect(
    forget([endpoints('social-0', {}), endpoints('social-0-config', { config: '{}', initialize: '73' })]),
  ).toEqual([]);
});
