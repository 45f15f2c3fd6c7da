/** A whole shard moves onto another storage class: new volumes take everything over, and the old ones go. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PersistentVolumeClaims, type StorageClass, StorageClasses } from '#kernel/resources.ts';
import { startLoad } from '#test-e2e/load/deploy.ts';
import { hasCondition } from '#test-e2e/support/conditions.ts';
import { single } from '#test-e2e/support/fleet.ts';
import type { Traces } from '#test-e2e/support/migration-leaks.ts';
import { endedAs, migration, tellMigration } from '#test-e2e/support/migrations.ts';
import { ShardClusters, ShardMigrations, Shards } from '#test-e2e/support/resources.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { cleanAfter, nothingWentWrong, setUp } from './scene.ts';

const space = useNamespace('class');
let before: Traces;
let standard: StorageClass;
let other: string;

beforeAll(async () => {
  const { cluster, name } = space.current;
  const { items } = await cluster.kube.list(StorageClasses);
  const isDefault = 'storageclass.kubernetes.io/is-default-class';
  const found = items.find(({ metadata }) => metadata.annotations?.[isDefault] === 'true');
  if (!found) throw new Error('the cluster has no default StorageClass');
  standard = found;
  other = `other-${name}`;
  const { metadata: _, ...same } = standard;
  await cluster.kube.create({ ...same, metadata: { name: other } });
  before = await setUp(space.current, {
    ...single,
    shards: 2,
    storage: { storageClassName: standard.metadata.name },
  });
});

afterAll(async () => {
  await space.current.cluster.kubectl(['delete', 'storageclass', other, '--ignore-not-found']);
});

/** Storage classes of volumes, by the shard; those of a shard that went may linger. */
async function classes(): Promise<Record<string, string | undefined>> {
  const claims = await space.current.list(PersistentVolumeClaims, 'shardwright.io/cluster=fleet');
  return Object.fromEntries(
    claims.map(({ metadata, spec }) => [
      metadata.labels?.['shardwright.io/shard'] ?? '',
      spec?.storageClassName,
    ]),
  );
}

it('refuses a class that there is not', async () => {
  const ns = space.current;
  await ns.apply(migration('nowhere', { move: { shard: 'fleet-0', storageClassName: 'nowhere' } }));
  const { status } = await ns.until(ShardMigrations, 'nowhere', hasCondition('Stalled', 'True'));
  expect(JSON.stringify(status?.conditions)).toContain('there is no StorageClass nowhere');
  expect((await ns.shards()).length).toBe(2);
});

it('moves a shard under load, where it stays', async () => {
  const ns = space.current;
  const load = await startLoad(ns, { ballastPerOwner: 100 });
  await ns.apply(migration('move', { move: { shard: 'fleet-1', storageClassName: other } }));
  const ended = await endedAs(ns, 'move', 'Completed');
  expect(ended.status?.newShard).toMatchObject({ name: 'fleet-2', storageClassName: other });
  tellMigration('move onto another storage class', ended);
  await ns.gone(Shards, 'fleet-1');
  await cleanAfter(ns, before, await nothingWentWrong('move onto another storage class', load));
  await ns.current();
  expect(await classes()).toMatchObject({ 'fleet-0': standard.metadata.name, 'fleet-2': other });
  // Shards to come are where the spec says; those that are there stay where they are.
  await ns.patch(ShardClusters, 'fleet', { spec: { shards: 3 } });
  await ns.current();
  expect(await classes()).toMatchObject({
    'fleet-0': standard.metadata.name,
    'fleet-2': other,
    'fleet-3': standard.metadata.name,
  });
});
