import { beforeEach, expect, test } from 'vitest';
import type { ShardStatus } from '#crds/api/shard.ts';
import type { KubeObject } from '#kernel/object.ts';
import { sampleMaps } from '#sharding/testing/fixtures.ts';
import { describeError } from '../errors.ts';
import { FakeCluster } from '../testing/fake-cluster.ts';
import { clusterOf, shardsOf } from '../testing/fleets.ts';

let cluster: FakeCluster;
let shard: KubeObject;
let name = '';
beforeEach(() => {
  cluster = new FakeCluster();
  const map = { ...sampleMaps().even, namespace: 'demo', cluster: 'social' };
  cluster.add(clusterOf(map), ...shardsOf(map));
  const found = cluster.objects.find(({ kind }) => kind === 'Shard');
  if (!found) throw new Error('there is no shard');
  shard = found;
  name = shard.metadata.name;
});

const rebuild = (
  over: Partial<NonNullable<ShardStatus['rebuild']>>,
): NonNullable<ShardStatus['rebuild']> => ({
  request: 'second',
  to: 'latest',
  discard: false,
  state: 'Running',
  message: 'filling',
  since: '2026-01-02T00:00:00Z',
  ...over,
});

async function failure(...args: readonly string[]): Promise<string> {
  return cluster.run(...args).then(
    () => '',
    (error: unknown) => describeError(error),
  );
}

test('it is asked for with a new value each time, and what is on volumes stays unless that is said', async () => {
  await cluster.run('rebuild', name, '--to', '2026-01-01T11:30:00Z', '--yes');
  expect(shard.metadata.annotations).toMatchObject({
    'shardwright.io/rebuild': '2026-01-01T11:30:00Z',
    'shardwright.io/retry': '2026-01-02T00:00:00.000Z',
  });
  expect(shard.metadata.annotations).not.toHaveProperty(['shardwright.io/discard-volumes']);
  await cluster.run('rebuild', name, '--discard-volumes', '--yes');
  expect(shard.metadata.annotations).toMatchObject({
    'shardwright.io/rebuild': 'latest',
    'shardwright.io/discard-volumes': 'true',
  });
});

test('without --yes nothing is asked for', async () => {
  expect(await failure('rebuild', name)).toContain('Add --yes');
  expect(shard.metadata.annotations ?? {}).not.toHaveProperty(['shardwright.io/rebuild']);
});

test('it is waited for: line by line until it is done', async () => {
  shard['status'] = { rebuild: rebuild({ request: 'first', state: 'Done', message: 'long ago' }) };
  const steps: readonly (() => void)[] = [
    () => (shard['status'] = { rebuild: rebuild({}) }),
    () => (shard['status'] = { rebuild: rebuild({ state: 'Done', message: 'all is there' }) }),
    () => delete shard.metadata.annotations,
  ];
  let next = 0;
  cluster.onSleep = () => steps[next++]?.();
  const { out, code } = await cluster.run('rebuild', name, '--yes', '--wait');
  expect(code).toBe(0);
  expect(out.split('\n').map(line => line.replace(/^[\d:]+ /, ''))).toEqual([
    `${name}: it will be made again from its backups (latest)`,
    `${name}: waiting`,
    `${name}: filling`,
    `${name}: all is there`,
    '',
  ]);
});

test('its failure, and a refusal, are told by the exit code', async () => {
  cluster.onSleep = () => (shard['status'] = { rebuild: rebuild({ state: 'Failed', message: 'HTTP 403' }) });
  const failed = await cluster.run('rebuild', name, '--yes', '--wait');
  expect(failed).toMatchObject({ code: 1, out: expect.stringContaining('HTTP 403') });
  cluster.onSleep = () =>
    (shard['status'] = {
      conditions: [
        {
          type: 'Stalled',
          status: 'True',
          reason: 'NoBackup',
          message: 'there is no backup',
          lastTransitionTime: '2026-01-02T00:00:00Z',
        },
      ],
    });
  shard['status'] = {};
  const refused = await cluster.run('rebuild', name, '--yes', '--wait');
  expect(refused).toMatchObject({ code: 1, out: expect.stringContaining('there is no backup') });
});
