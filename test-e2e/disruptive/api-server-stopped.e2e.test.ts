/** There is no API server for a minute: databases take writes all the same, and the operator works on afterwards. */
import { beforeAll, expect, it } from 'vitest';
import { connectClient } from '#test-e2e/support/client.ts';
import { stopApiServer } from '#test-e2e/support/faults.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard, tell } from '#test-e2e/support/fleet-probe.ts';
import { ShardClusters } from '#test-e2e/support/resources.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';

const space = useNamespace('apiserver');
const stoppedMs = 60_000;

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet(usual));
  await ns.current();
});

it('keeps taking writes for 60 s without an API server, on the same primary', async ({ skip }) => {
  const ns = space.current;
  skip(ns.cluster.kindName === undefined, 'the API server can be stopped on a kind cluster only');
  const [fresh, pooled] = await Promise.all([probeShard(ns), probeShard(ns, { mode: 'pooled', port: 6432 })]);
  const stoppedAt = Date.now();
  let resumedAt = stoppedAt;
  const stopped = await stopApiServer(ns.cluster);
  try {
    await new Promise(resolve => setTimeout(resolve, stoppedMs));
  } finally {
    resumedAt = Date.now();
    await stopped.undo();
  }
  for (const [what, probe] of [
    ['API server stopped for 60 s, new connections', fresh],
    ['API server stopped for 60 s, pooled', pooled],
  ] as const) {
    const report = await probe.finish();
    tell(what, report);
    expect(report.missing).toEqual([]);
    expect(report.oldTimelineAcks).toEqual([]);
    const meanwhile = report.records
      .filter(record => record.type === 'ack')
      .filter(ack => ack.startedMs > stoppedAt && ack.endedMs < resumedAt);
    expect(new Set(meanwhile.map(ack => ack.timeline)).size, 'no primary was changed').toBe(1);
    // Ten a second were tried; half of them is far more than a demoted primary would take.
    expect(meanwhile.length).toBeGreaterThan((stoppedMs / 100) * 0.5);
  }
  await ns.current('fleet', { deadlineMs: 300_000 });
});

it('reconciles again afterwards, and clients read the map', async () => {
  const ns = space.current;
  await ns.patch(ShardClusters, 'fleet', { spec: { engine: { parameters: { work_mem: '6MB' } } } });
  await ns.current();
  await using client = await connectClient(ns);
  // Members take a setting up within one of Patroni's loops.
  await eventually('the new value is in force', ns.name, async () => {
    const { rows } = await client.forKey(1).query<{ work_mem: string }>('SHOW work_mem');
    return rows[0]?.work_mem === '6MB' ? true : undefined;
  });
});
