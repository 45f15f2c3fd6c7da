/** Ten million rows, of which five million move while an application works on the same tables. */
import { beforeAll, expect, it } from 'vitest';
import { startLoad } from '#test-e2e/load/deploy.ts';
import { single } from '#test-e2e/support/fleet.ts';
import type { Traces } from '#test-e2e/support/migration-leaks.ts';
import { endedAs, migration, tellMigration } from '#test-e2e/support/migrations.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { cleanAfter, nothingWentWrong, setUp } from './scene.ts';

const wanted = process.env['MATRIX'] === 'all';
const space = useNamespace('large');
let before: Traces;

beforeAll(async () => {
  if (!wanted) return;
  before = await setUp(space.current, {
    ...single,
    shards: 1,
    engine: { parameters: { shared_buffers: '128MB' } },
    storage: { size: '8Gi' },
  });
  await space.current.kubectl('scale', 'shardcluster/fleet', '--replicas=2');
  await space.current.current();
});

it('splits a table of ten million rows under load', { timeout: 3_600_000 }, async ({ skip }) => {
  skip(!wanted, 'takes up to a quarter of an hour: part of make matrix');
  const ns = space.current;
  const load = await startLoad(ns, {
    shape: { owners: 1000 },
    ballastPerOwner: 10_000,
    // Each pass counts all rows.
    passesPerSecond: 0.1,
    callMs: 60_000,
  });
  await ns.apply(migration('split', { split: { shard: 'fleet-0' } }));
  const ended = await endedAs(ns, 'split', 'Completed', { deadlineMs: 3_000_000 });
  tellMigration('split of ten million rows', ended);
  expect(ended.status?.verification?.rows).toBeGreaterThan(4_500_000);
  await cleanAfter(ns, before, await nothingWentWrong('split of ten million rows', load));
});
