import { expect, test } from 'vitest';
import type { KubeObject } from '#kernel/object.ts';
import { releaseDeadLeader } from './dead-leader.ts';
import { sampleShard } from './testing/shard.ts';

const shard = sampleShard();
const node = (ready: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node-1' },
  status: { conditions: [{ type: 'Ready', status: ready }] },
});
const lock = (changes: { leader?: string; renewTime?: string; ip?: string } = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Endpoints',
  metadata: {
    name: 'social-0',
    namespace: 'fleet',
    resourceVersion: '77',
    annotations: {
      leader: changes.leader ?? 'social-0-0',
      renewTime: changes.renewTime ?? '2026-01-01T10:00:09.900000+00:00',
    },
  },
  subsets: [{ addresses: [{ ip: changes.ip ?? '10.0.0.1' }] }],
});
const ended = { startedAt: '2026-01-01T09:00:00Z', finishedAt: '2026-01-01T10:00:10Z', exitCode: 137 };
const pod = (status: object = { state: { terminated: ended } }, ip = '10.0.0.1'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'social-0-0', namespace: 'fleet' },
  spec: { nodeName: 'node-1' },
  status: { podIP: ip, containerStatuses: [{ name: 'pooler' }, { name: 'database', ...status }] },
});
const other: KubeObject = { ...pod({}), metadata: { name: 'social-0-1', namespace: 'fleet' } };
const release = (facts: { pods?: KubeObject[]; endpoints?: KubeObject[]; nodes?: KubeObject[] } = {}) =>
  releaseDeadLeader(
    shard,
    { pods: facts.pods ?? [pod(), other], endpoints: facts.endpoints ?? [lock()] },
    facts.nodes ?? [node('True')],
  );

test('frees the lock of a leader whose process has ended, by compare-and-swap', () => {
  expect(release()).toEqual({
    apiVersion: 'v1',
    kind: 'Endpoints',
    namespace: 'fleet',
    name: 'social-0',
    body: { metadata: { resourceVersion: '77', annotations: { leader: null } } },
  });
});

test('frees it as well when the container was started again but has not renewed the lock', () => {
  const again = {
    state: { running: { startedAt: '2026-01-01T10:00:11Z' } },
    lastState: { terminated: ended },
  };
  expect(release({ pods: [pod(again), other] })).toBeDefined();
});

test.each([
  ['the pod is gone, which proves nothing', { pods: [other] }],
  ['the process runs', { pods: [pod({ state: { running: { startedAt: ended.startedAt } } }), other] }],
  ['the node is not Ready, so its report is old', { nodes: [node('Unknown')] }],
  ['the node is gone', { nodes: [] }],
  ['a pod of that name has another address than the holder', { pods: [pod(undefined, '10.0.0.9'), other] }],
  ['the lock was renewed after the end', { endpoints: [lock({ renewTime: '2026-01-01T10:00:12+00:00' })] }],
  [
    'the lock was last renewed before this container began',
    { endpoints: [lock({ renewTime: '2026-01-01T08:00:00+00:00' })] },
  ],
  ['the time of renewal cannot be read', { endpoints: [lock({ renewTime: 'soon' })] }],
  ['nobody holds the lock', { endpoints: [lock({ leader: '' })] }],
  ['another member holds it', { endpoints: [lock({ leader: 'social-0-1' })] }],
  ['nobody else could take it', { pods: [pod()] }],
])('leaves the lock alone when %s', (_, facts) => {
  expect(release(facts)).toBeUndefined();
});
