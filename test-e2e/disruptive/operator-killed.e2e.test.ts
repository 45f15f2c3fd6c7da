/** The operator dies: in the middle of provisioning, as a leader, as a whole. Fleets and their clients hardly notice. */
import { afterAll, expect, it } from 'vitest';
import { Deployments, Leases, Pods } from '#kernel/resources.ts';
import { connectClient } from '#test-e2e/support/client.ts';
import { killOperator, operatorPods } from '#test-e2e/support/faults.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard, successorAcknowledges, tell } from '#test-e2e/support/fleet-probe.ts';
import { Shards } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';

const space = useNamespace('operator-killed');

afterAll(() => scaleOperator(2));

it('finishes a fleet although every replica is killed again and again while it is made', async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet({ ...usual, shards: 2 }));
  // At moments that fall into different steps: first objects, first primary, logins and schema.
  await ns.until(Shards, 'fleet-0', shard => (shard ? undefined : 'it is not there'));
  await killOperator(ns);
  await ns.until(Pods, 'fleet-0-0', pod => (pod ? undefined : 'it is not there'));
  await killOperator(ns);
  await eventually('a member of fleet-1 runs a database', ns.name, async () =>
    (await superuserSql(ns, 'fleet-1-0', 'SELECT 1', 'postgres')).join() === '1' ? true : undefined,
  );
  await killOperator(ns);
  await ns.current('fleet', { deadlineMs: 300_000 });
  for (const shard of ['fleet-0', 'fleet-1']) {
    expect(
      await superuserSql(ns, await ns.primaryOf(shard), 'SELECT count(*) FROM shardwright.schema_file'),
    ).toEqual(['1']);
  }
});

it('hands leadership over when the leader goes', async () => {
  const leader = await leaderPod();
  await space.current.cluster.kube.delete(Pods, {
    namespace: space.current.operator.namespace,
    name: leader,
  });
  const next = await eventually('another replica leads', space.current.name, async () => {
    const found = await leaderPod();
    return found !== '' && found !== leader ? found : undefined;
  });
  expect(next).not.toBe(leader);
  const ns = space.current;
  await ns.kubectl('annotate', 'shardcluster/fleet', 'e2e/touched=yes');
  await ns.patch(Shards, 'fleet-0', { metadata: { labels: { 'e2e/touched': 'yes' } } });
  await ns.kubectl('scale', 'shardcluster/fleet', '--replicas=3');
  await ns.current();
  expect((await ns.shards()).length).toBe(3);
});

it('is not needed for queries: with no replica left, clients read and write, and a primary’s death is survived', async () => {
  const ns = space.current;
  await using client = await connectClient(ns);
  await client.ready();
  const probe = await probeShard(ns);
  await scaleOperator(0);
  for (let id = 0; id < 50; id++) {
    await client.forKey(id).query("INSERT INTO users VALUES ($1, 'x')", [id]);
  }
  const { rows } = await client.scatter<{ n: string }>('SELECT count(*) AS n FROM users');
  expect(rows.reduce((sum, { n }) => sum + Number(n), 0)).toBe(50);
  const primary = await ns.primaryOf('fleet-0');
  await ns.delete(Pods, primary, { gracePeriodSeconds: 0 });
  await successorAcknowledges(ns, probe);
  await scaleOperator(2);
  await ns.current();
  const report = await probe.finish();
  tell('primary pod force-deleted while no operator ran', report);
  expect(report.missing).toEqual([]);
  expect(report.oldTimelineAcks).toEqual([]);
});

async function leaderPod(): Promise<string> {
  const { cluster, operator } = space.current;
  const { spec } = await cluster.kube.get(Leases, { namespace: operator.namespace, name: operator.name });
  const holder = spec?.holderIdentity ?? '';
  const { items } = await cluster.kube.list(Pods, {
    namespace: operator.namespace,
    labelSelector: operatorPods,
  });
  return items.map(pod => pod.metadata.name).find(name => holder.startsWith(name)) ?? '';
}

async function scaleOperator(replicas: number): Promise<void> {
  const { cluster, operator, name } = space.current;
  const key = { namespace: operator.namespace, name: operator.name };
  await cluster.kube.patch(Deployments, key, { type: 'merge', body: { spec: { replicas } } });
  await eventually(`the operator has ${replicas} replicas`, name, async () => {
    const { status } = await cluster.kube.get(Deployments, key);
    const { items } = await cluster.kube.list(Pods, { ...key, labelSelector: operatorPods });
    return (status?.readyReplicas ?? 0) === replicas && items.length === replicas ? true : undefined;
  });
}
