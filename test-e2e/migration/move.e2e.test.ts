/** A whole shard moves to another region: new members there take everything over, and the old ones go. */
import { beforeAll, expect, it } from 'vitest';
import { Nodes, Pods } from '#kernel/resources.ts';
import { startLoad } from '#test-e2e/load/deploy.ts';
import { hasCondition } from '#test-e2e/support/conditions.ts';
import { single } from '#test-e2e/support/fleet.ts';
import type { Traces } from '#test-e2e/support/migration-leaks.ts';
import { endedAs, migration, tellMigration } from '#test-e2e/support/migrations.ts';
import { ShardMigrations, Shards } from '#test-e2e/support/resources.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { cleanAfter, nothingWentWrong, setUp } from './scene.ts';

const space = useNamespace('move');
let before: Traces;

beforeAll(async () => {
  before = await setUp(space.current, {
    ...single,
    shards: 2,
    placement: {
      regions: [
        { name: 'eu-west', weight: 1 },
        { name: 'us-east', weight: 1 },
      ],
    },
  });
});

async function regionsOfPods(): Promise<Map<string, string | undefined>> {
  const ns = space.current;
  const nodes = new Map(
    (await ns.cluster.kube.list(Nodes)).items.map(({ metadata }) => [
      metadata.name,
      metadata.labels?.['topology.kubernetes.io/region'],
    ]),
  );
  const pods = await ns.list(Pods, 'shardwright.io/cluster=fleet');
  return new Map(pods.map(pod => [pod.metadata.name, nodes.get(pod.spec?.nodeName ?? '')]));
}

it('moves a shard under load', async () => {
  const ns = space.current;
  const [, last] = await ns.shards();
  const from = last?.spec.region ?? '';
  const to = from === 'eu-west' ? 'us-east' : 'eu-west';
  const load = await startLoad(ns, { ballastPerOwner: 100 });
  await ns.apply(migration('move', { move: { shard: 'fleet-1', region: to } }));
  const ended = await endedAs(ns, 'move', 'Completed');
  expect(ended.status?.transfers).toMatchObject([
    { source: 'fleet-1', target: 'fleet-2', whole: true, targetEmpty: true },
  ]);
  tellMigration('move', ended);
  await ns.gone(Shards, 'fleet-1');
  const finished = await nothingWentWrong('move', load);
  await cleanAfter(ns, before, finished);
  const shards = await ns.shards();
  expect(shards.map(({ metadata, spec }) => [metadata.name, spec.region])).toContainEqual(['fleet-2', to]);
  expect((await regionsOfPods()).get('fleet-2-0')).toBe(to);
  await ns.current();
});

it('refuses a region that the fleet does not have', async () => {
  const ns = space.current;
  await ns.apply(migration('mars', { move: { shard: 'fleet-0', region: 'mars' } }));
  const { status } = await ns.until(ShardMigrations, 'mars', hasCondition('Stalled', 'True'));
  expect(JSON.stringify(status?.conditions)).toContain('mars');
  expect((await ns.shards()).length).toBe(2);
});
