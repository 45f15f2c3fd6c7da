/** Members come and go as the spec says, and the data is on each of them. */
import { beforeAll, expect, it } from 'vitest';
import { PersistentVolumeClaims, Pods } from '#kernel/resources.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard, tell } from '#test-e2e/support/fleet-probe.ts';
import { ShardClusters } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';

const space = useNamespace('members');

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  // Under strong consistency only the synchronous standby may be chosen, and which one that is, Patroni decides.
  await ns.apply(fleet({ ...usual, consistency: 'eventual' }));
  await ns.current();
});

const podNames = async (): Promise<string[]> =>
  (await space.current.list(Pods, 'shardwright.io/shard=fleet-0')).map(pod => pod.metadata.name).toSorted();

it('adds a member that has the data', async () => {
  const ns = space.current;
  await superuserSql(ns, await ns.primaryOf('fleet-0'), "INSERT INTO users VALUES (1, 'Ada')");
  await ns.patch(ShardClusters, 'fleet', { spec: { members: 3 } });
  await ns.current();
  expect(await podNames()).toEqual(['fleet-0-0', 'fleet-0-1', 'fleet-0-2']);
  await eventually('the new member has the row', ns.name, async () =>
    (await superuserSql(ns, 'fleet-0-2', 'SELECT name FROM users')).join() === 'Ada' ? true : undefined,
  );
});

it('takes the last member away again, also when it is the primary, and loses nothing', async () => {
  const ns = space.current;
  await eventually(
    'fleet-0-2 is primary',
    ns.name,
    async () => {
      if ((await ns.primaryOf('fleet-0')) === 'fleet-0-2') return true;
      await ns.kubectl(
        'exec',
        await ns.primaryOf('fleet-0'),
        '--container=database',
        '--',
        'patronictl',
        '--config-file=/tmp/patroni',
        'switchover',
        '--candidate=fleet-0-2',
        '--force',
      );
      return undefined;
    },
    { everyMs: 5000 },
  );
  await ns.current();
  const probe = await probeShard(ns);
  await ns.patch(ShardClusters, 'fleet', { spec: { members: 2 } });
  await ns.gone(Pods, 'fleet-0-2');
  await ns.current();
  const report = await probe.finish();
  tell('primary taken away by members: 2', report);
  expect(report.missing).toEqual([]);
  expect(report.oldTimelineAcks).toEqual([]);
  expect(await podNames()).toEqual(['fleet-0-0', 'fleet-0-1']);
  expect(['fleet-0-0', 'fleet-0-1']).toContain(await ns.primaryOf('fleet-0'));
  // Of deletionPolicy Delete: nor does its volume stay.
  await ns.gone(PersistentVolumeClaims, 'data-fleet-0-2');
});
