import { expect, test } from 'vitest';
import type { KubeObject } from '#kernel/object.ts';
import { members } from './members.ts';
import { sampleShard } from './testing/shard.ts';

const pod = (
  index: number,
  changes: { role?: string; ready?: string; revision?: string; status?: string; deleted?: boolean } = {},
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: `social-0-${index}`,
    labels: {
      'controller-revision-hash': changes.revision ?? 'r1',
      ...(changes.role !== undefined && { 'shardwright.io/role': changes.role }),
    },
    annotations: { status: changes.status ?? '{"timeline":3}' },
    ...(changes.deleted && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
  },
  spec: { nodeName: `node-${index}` },
  status: { podIP: `10.0.0.${index}`, conditions: [{ type: 'Ready', status: changes.ready ?? 'True' }] },
});
const endpoints = (name: string, annotations: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Endpoints',
  metadata: { name, annotations },
});
const statefulSet: KubeObject = {
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: 'social-0', generation: 2 },
  status: { observedGeneration: 2, updateRevision: 'r1' },
};
const store = [
  endpoints('social-0', { leader: 'social-0-0' }),
  endpoints('social-0-sync', { leader: 'social-0-0', sync_standby: 'social-0-1' }),
];
const read = (pods: KubeObject[], of: KubeObject[] = store, set = statefulSet) =>
  members(sampleShard(), { pods, endpoints: of, statefulSet: set });

test('reads role, readiness, place and timeline, in the order of the members', () => {
  const facts = read([
    pod(10, { role: 'replica' }),
    pod(1, { role: 'replica' }),
    pod(0, { role: 'primary' }),
  ]);
  expect(facts.map(({ name, role, synchronous }) => [name, role, synchronous])).toEqual([
    ['social-0-0', 'primary', false],
    ['social-0-1', 'replica', true],
    ['social-0-10', 'replica', false],
  ]);
  expect(facts[0]).toMatchObject({ ready: true, timeline: 3, podIP: '10.0.0.0', nodeName: 'node-0' });
});

test('believes the lock, not the label that a frozen member left behind', () => {
  const [former, current] = read(
    [pod(0, { role: 'primary' }), pod(1, { role: 'primary' })],
    [endpoints('social-0', { leader: 'social-0-1' })],
  );
  expect([former?.role, current?.role]).toEqual(['unknown', 'primary']);
});

test('calls nobody synchronous on the word of a former primary', () => {
  const stale = [endpoints('social-0', { leader: 'social-0-2' }), ...store.slice(1)];
  expect(read([pod(1, { role: 'replica' })], stale)[0]?.synchronous).toBe(false);
});

test('a pod that is going is not ready', () => {
  expect(read([pod(0, { deleted: true })])[0]?.ready).toBe(false);
});

test('is outdated against the newest revision, once that is known', () => {
  expect(read([pod(0, { revision: 'r0' })])[0]?.outdated).toBe(true);
  const unseen = { ...statefulSet, metadata: { name: 'social-0', generation: 3 } };
  expect(read([pod(0, { revision: 'r0' })], store, unseen)[0]?.outdated).toBe(false);
});

test('takes what Patroni says of itself, and no harm from what it does not say', () => {
  expect(read([pod(0, { status: '{"pending_restart":true}' })])[0]?.pendingRestart).toBe(true);
  expect(read([pod(0, { status: 'not json' })])[0]).toMatchObject({ pendingRestart: false });
});
