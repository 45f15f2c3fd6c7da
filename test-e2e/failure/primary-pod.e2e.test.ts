/** The primary dies in the two ways that happen every day; writes go on, and what was acknowledged is there. */
import { beforeAll, expect, it } from 'vitest';
import { forceDeletePod, killFirstProcess } from '#test-e2e/support/faults.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard, successorAcknowledges, tell } from '#test-e2e/support/fleet-probe.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';

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
  await forceDeletePod(ns, primary);
  for (const probe of [fresh, pooled]) await successorAcknowledges(ns, probe);
  await ns.current();
  for (const [what, probe] of [
    ['primary pod force-deleted, new connections', fresh],
    ['primary pod force-deleted, pooled through PgBouncer', pooled],
  ] as const) {
    const report = await probe.finish();
    tell(what, report);
    expect(report.missing).toEqual([]);
    expect(report.oldTimelineAcks).toEqual([]);
  }
});

it('survives SIGKILL of the first process of the primary’s container', async ({ skip }) => {
  const ns = space.current;
  skip(ns.cluster.kindName === undefined, 'processes of nodes can be reached on a kind cluster only');
  const primary = await ns.primaryOf('fleet-0');
  const probe = await probeShard(ns);
  await killFirstProcess(ns.cluster, { namespace: ns.name, name: primary, container: 'database' });
  await successorAcknowledges(ns, probe);
  await ns.current();
  const report = await probe.finish();
  tell('first process of the primary killed', report);
  expect(report.missing).toEqual([]);
  expect(report.oldTimelineAcks).toEqual([]);
});
