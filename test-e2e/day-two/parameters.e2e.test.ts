/** Changed settings reach every member: by reload where that is enough, else replicas first and then a switchover. */
import { beforeAll, expect, it } from 'vitest';
import { Pods } from '#kernel/resources.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard, tell } from '#test-e2e/support/fleet-probe.ts';
import { ShardClusters } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';

const space = useNamespace('params');
const members = ['fleet-0-0', 'fleet-0-1'];

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet(usual));
  await ns.current();
});

/** The first line of what each member answers. */
async function each(sql: string): Promise<string[]> {
  const answers = await Promise.all(members.map(member => superuserSql(space.current, member, sql)));
  return answers.map(([line = '']) => line);
}

const startTimes = (): Promise<string[]> => each('SELECT extract(epoch FROM pg_postmaster_start_time())');

it('reloads a parameter without restarting anything', async () => {
  const ns = space.current;
  const before = await startTimes();
  await ns.patch(ShardClusters, 'fleet', { spec: { engine: { parameters: { work_mem: '7MB' } } } });
  await ns.current();
  await eventually('every member has the new value', ns.name, async () =>
    (await each('SHOW work_mem')).join() === '7MB,7MB' ? true : undefined,
  );
  expect(await startTimes()).toEqual(before);
});

it('takes a removed parameter back to its default', async () => {
  const ns = space.current;
  await ns.patch(ShardClusters, 'fleet', { spec: { engine: { parameters: { work_mem: null } } } });
  await ns.current();
  await eventually('every member has the default', ns.name, async () =>
    (await each('SHOW work_mem')).join() === '4MB,4MB' ? true : undefined,
  );
});

it('restarts for a parameter that needs it: the replica first, then the primary after a switchover', async () => {
  const ns = space.current;
  const primary = await ns.primaryOf('fleet-0');
  const before = await startTimes();
  const probe = await probeShard(ns);
  await ns.patch(ShardClusters, 'fleet', { spec: { engine: { parameters: { max_connections: 123 } } } });
  await eventually('every member has the new value', ns.name, async () =>
    (await each('SHOW max_connections')).join() === '123,123' ? true : undefined,
  );
  await ns.current();
  const report = await probe.finish();
  tell('parameter that needs a restart', report);
  expect(report.missing).toEqual([]);
  expect(report.oldTimelineAcks).toEqual([]);
  const after = await startTimes();
  for (const [index, time] of after.entries()) expect(Number(time)).toBeGreaterThan(Number(before[index]));
  const [old, other] = primary === members[0] ? [after[0], after[1]] : [after[1], after[0]];
  expect(Number(other), 'the replica restarts first').toBeLessThan(Number(old));
  expect(await ns.primaryOf('fleet-0')).not.toBe(primary);
});

it('rolls a changed template through the members one at a time, with a switchover', async () => {
  const ns = space.current;
  const primary = await ns.primaryOf('fleet-0');
  const uids = await uidsOf();
  const probe = await probeShard(ns);
  await ns.patch(ShardClusters, 'fleet', { spec: { resources: { requests: { memory: '100Mi' } } } });
  await eventually('every pod is a new one', ns.name, async () =>
    [...(await uidsOf()).values()].every(uid => ![...uids.values()].includes(uid)) ? true : undefined,
  );
  await ns.current();
  const report = await probe.finish();
  tell('template change', report);
  expect(report.missing).toEqual([]);
  expect(report.oldTimelineAcks).toEqual([]);
  expect(report.timelines.length, 'a switchover, not a crash of the primary').toBe(2);
  expect(await ns.primaryOf('fleet-0')).not.toBe(primary);
  for (const pod of await ns.list(Pods, 'shardwright.io/shard=fleet-0')) {
    const database = pod.spec?.containers.find(({ name }) => name === 'database');
    expect(database?.resources?.requests?.['memory']).toBe('100Mi');
  }

  async function uidsOf(): Promise<Map<string, string>> {
    const pods = await ns.list(Pods, 'shardwright.io/shard=fleet-0');
    return new Map(pods.map(({ metadata }) => [metadata.name, metadata.uid ?? '']));
  }
});
