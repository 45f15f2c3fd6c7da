/** A node freezes with the primary on it: another member takes over after the ttl, and the old one comes back as a replica. */
import { beforeAll, expect, it } from 'vitest';
import type { Shard } from '#crds/api/shard.ts';
import { Pods } from '#kernel/resources.ts';
import { pauseNode } from '#test-e2e/support/faults.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard, successorAcknowledges, tell } from '#test-e2e/support/fleet-probe.ts';
import { Shards } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';

const space = useNamespace('node');

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet(usual));
  await ns.current();
});

it('loses no acknowledged insert when the primary’s node is paused, and acknowledges none on the old timeline', async ({
  skip,
}) => {
  const ns = space.current;
  skip(ns.cluster.kindName === undefined, 'nodes can be paused on a kind cluster only');
  const primary = await ns.primaryOf('fleet-0');
  const node = (await ns.get(Pods, primary)).spec?.nodeName ?? '';
  const probe = await probeShard(ns, { avoidNode: node });
  const paused = await pauseNode(ns.cluster, node);
  try {
    await successorAcknowledges(ns, probe);
    // The operator that leads may have been on the node, too.
    await ns.until(Shards, 'fleet-0', ({ status }: Pick<Shard, 'status'> = {}) =>
      status?.primary === undefined || status.primary === primary
        ? `its primary is ${status?.primary}`
        : undefined,
    );
  } finally {
    await paused.undo();
  }
  await ns.current('fleet', { deadlineMs: 300_000 });
  const report = await probe.finish();
  tell('primary’s node paused', report);
  expect(report.timelines.length).toBeGreaterThan(1);
  expect(report.missing).toEqual([]);
  expect(report.oldTimelineAcks).toEqual([]);
  expect(await superuserSql(ns, primary, 'SELECT pg_is_in_recovery()')).toEqual(['t']);
});
