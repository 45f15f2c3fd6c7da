import { describe, expect, test } from 'vitest';
import { clusterWith, condition, settled, shardWith } from '#controllers/testing/objects.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { firstMap } from './map-from-spec.ts';
import { onceApplied } from './rollout-budget.ts';
import { type ClusterStatusInput, clusterStatus } from './status.ts';

const cluster = clusterWith({ shards: 2 });
const shard = (ordinal: number, status: object = {}): Shard =>
  shardWith({ ordinal }, { name: `social-${ordinal}` }, { ...settled, ...status });

const down = (since: string) => ({
  conditions: [condition('Ready', 'False', { lastTransitionTime: since })],
});
const at = (ordinal: number, referenceVersion: string) => shard(ordinal, { referenceVersion });

function statusOf(over: Partial<ClusterStatusInput> = {}) {
  const { fields, conditions } = clusterStatus({
    cluster,
    shards: [shard(0), shard(1)],
    map: firstMap(cluster),
    mapPages: 3,
    problem: undefined,
    waiting: 0,
    paused: false,
    rotating: false,
    schemaHash: undefined,
    ...over,
  });
  const by = Object.fromEntries(conditions.map(each => [each.type, `${each.status} ${each.reason}`]));
  const messages = Object.fromEntries(conditions.map(each => [each.type, each.message]));
  return { fields, by, messages };
}

function phaseWhilePaused(...phases: string[]) {
  return statusOf({ paused: true, shards: phases.map((phase, n) => shard(n, { phase })) }).fields.phase;
}

describe('the status of a fleet', () => {
  test('is not settled by what a shard said before it was changed', () => {
    const shards = onceApplied([shard(0), shard(1)], new Set(['social-1']));
    const { fields, by } = statusOf({ shards });
    expect(by['Reconciling']).toMatch(/^True /);
    expect(fields.phase).not.toBe('Ready');
  });

  test('Ready when every shard is', () => {
    const { fields, by } = statusOf();
    expect(fields).toMatchObject({ phase: 'Ready', shards: 2, readyShards: 2, map: { epoch: 1, pages: 3 } });
    expect(by).toEqual({
      Ready: 'True AllShardsReady',
      Reconciling: 'False AsWanted',
      Stalled: 'False Progressing',
    });
  });

  test('a shard that has left the map is no part of it', () => {
    const { fields, by } = statusOf({ shards: [shard(0), shard(1), shard(2, down('2026-01-01T00:00:00Z'))] });
    expect(fields).toMatchObject({ phase: 'Ready', shards: 2, readyShards: 2 });
    expect(by['Ready']).toBe('True AllShardsReady');
  });

  test('names the shard that is out longest', () => {
    const { fields, by } = statusOf({
      shards: [shard(0, down('2026-01-02T00:00:00Z')), shard(1, down('2026-01-01T00:00:00Z'))],
    });
    expect(fields.worst).toMatchObject({ notReadySince: '2026-01-01T00:00:00Z', notReadyShard: 'social-1' });
    expect(by).toMatchObject({ Ready: 'False ShardsNotReady', Reconciling: 'True ShardsProgressing' });
  });

  test('a wrong change stalls, and what runs stays Ready', () => {
    const { by, fields } = statusOf({
      problem: { reason: 'ShardsCannotShrink', message: 'set spec.shards to 4' },
    });
    expect(by).toEqual({
      Ready: 'True AllShardsReady',
      Reconciling: 'False Stalled',
      Stalled: 'True ShardsCannotShrink',
    });
    expect(fields.phase).toBe('Stalled');
  });

  test('the worst cases and sums of many, in a status of bounded size', () => {
    const sizes = Array.from({ length: 1000 }, (_, i) =>
      shard(i, { sizeBytes: i, lagBytes: 1000 - i, referenceVersion: String(i) }),
    );
    const { fields } = statusOf({ shards: sizes, map: firstMap(clusterWith({ shards: 1000 })) });
    expect(fields.worst).toEqual({
      sizeBytes: 999,
      sizeShard: 'social-999',
      lagBytes: 1000,
      lagShard: 'social-0',
    });
    expect(fields.sizeBytes).toBe(499_500);
    expect(fields.referenceVersion).toBe('0');
    expect(JSON.stringify(fields).length).toBeLessThan(1000);
  });

  test('a roll-out that waits for its turn is under way', () => {
    expect(statusOf({ waiting: 1 }).by['Reconciling']).toBe('True RollingOut');
    expect(statusOf({ rotating: true }).by['Reconciling']).toBe('True RotatingPasswords');
  });

  test('a paused fleet serves, and says whether a spec waits; so does one with a paused shard', () => {
    const before = clusterWith({ shards: 2 }, {}, settled);
    const changed = clusterWith({ shards: 3 }, { generation: 2 }, settled);
    const ready = { Ready: 'True AllShardsReady' };
    const of = (each: ShardCluster) => statusOf({ cluster: each, paused: true }).by;
    expect(of(before)).toMatchObject({ ...ready, Reconciling: 'False Paused' });
    expect(of(changed)).toMatchObject({ ...ready, Reconciling: 'True Paused' });
    const waits = condition('Reconciling', 'True', { reason: 'Paused', message: 'it is paused' });
    const { by, messages } = statusOf({
      shards: [shard(0), shard(1, { conditions: [condition('Ready', 'True'), waits] })],
    });
    expect(by).toMatchObject({ ...ready, Reconciling: 'True ShardsProgressing' });
    expect(messages['Reconciling']).toContain('social-1: it is paused');
  });

  test('Paused is what it says once every shard says so: before, one may still be at work', () => {
    expect(phaseWhilePaused('Paused', 'Ready')).toBe('Pausing');
    expect(phaseWhilePaused('Paused', 'Paused')).toBe('Paused');
  });

  test.each([
    ['pending', [], 'False Pending'],
    [
      'failed',
      [condition('SchemaApplied', 'False', { reason: 'SchemaFailed', message: '1.sql: no' })],
      'False SchemaFailed',
    ],
    ['applied', [condition('SchemaApplied', 'True')], 'True Applied'],
  ])('schema %s', (_what, conditions, wanted) => {
    const schema = { configMaps: [{ name: 'sql' }] };
    const one = shardWith(
      { schema: { ...schema, hash: 'h' } },
      {},
      { schema: { hash: 'h', files: 1 }, conditions },
    );
    const of = clusterWith({ shards: 1, schema });
    expect(statusOf({ cluster: of, map: firstMap(of), shards: [one] }).by['SchemaApplied']).toBe(wanted);
  });

  test('reference tables that lag somewhere', () => {
    const tables = [{ name: 'c', reference: true }];
    const of = clusterWith({ shards: 2, sharding: { algorithm: 'hash', slots: 256, tables } });
    expect(statusOf({ cluster: of, shards: [at(0, '9'), at(1, '10')] }).by['ReferencesCurrent']).toBe(
      'False Behind',
    );
    expect(statusOf({ cluster: of, shards: [at(0, '10'), at(1, '10')] }).by['ReferencesCurrent']).toBe(
      'True Current',
    );
  });
});
