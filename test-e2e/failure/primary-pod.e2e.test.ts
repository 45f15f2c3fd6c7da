/** The primary dies in the two ways that happen every day; writes go on, and what was acknowledged is there. */
import { beforeAll, expect, it } from 'vitest';
import { Pods } from '#kernel/resources.ts';
import { forceDeletePod, killFirstProcess } from '#test-e2e/support/faults.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard, tell } from '#test-e2e/support/fleet-probe.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';

const space = useNamespace('failure');

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet(usual));
  await ns.current();
});

it('survives the force-deletion of the primary’s pod', async () => {
  const ns = space.current;
  const primary = await ns.primaryOf('fleet-0');
  const [fresh, pooled] = await Promise.all([probeShard(ns), probeShard(ns, { mode: 'pooled', port: 6432 })]);
  const { uid } = (await ns.get(Pods, primary)).metadata;
  await forceDeletePod(ns, primary);
  // Its successor of the same name may be quicker than the failover, on a busy machine.
  await eventually('another pod is primary', ns.name, async () => {
    const name = await ns.primaryOf('fleet-0');
    return name !== primary || (await ns.get(Pods, name)).metadata.uid !== uid ? true : undefined;
  });
  await ns.current();
  for (const [what, probe] of [
    ['primary pod force-deleted, new connections', fresh],
    ['primary pod force-deleted, pooled through PgBouncer', pooled],
  ] as const) {
    const report = await probe.finish();
    tell(what, report);
    expect(report.missing).toEqual([]);
    expect(report.oldTimelineAcks).toEqual([]);
    expect(report.timelines.length, 'writes were acknowledged before and after').toBe(2);
  }
});

it('survives SIGKILL of the first process of the primary’s container', async ({ skip }) => {
  const ns = space.current;
  skip(ns.cluster.kindName === undefined, 'processes of nodes can be reached on a kind cluster only');
  const primary = await ns.primaryOf('fleet-0');
  const probe = await probeShard(ns);
  await killFirstProcess(ns.cluster, { namespace: ns.name, name: primary, container: 'database' });
  await eventually('writes are acknowledged on a new timeline', ns.name, async () => {
    const timelines = (await probe.records()).flatMap(record =>
      record.type === 'ack' ? [record.timeline] : [],
    );
    return new Set(timelines).size > 1 ? true : undefined;
  });
  await ns.current();
  const report = await probe.finish();
  tell('first process of the primary killed', report);
  expect(report.missing).toEqual([]);
  expect(report.oldTimelineAcks).toEqual([]);
});
