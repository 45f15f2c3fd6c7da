/** What somebody changes or deletes by hand is put right, unless the fleet is paused. */
import { beforeAll, expect, it } from 'vitest';
import { annotations } from '#crds/api/names.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Resource } from '#kernel/resource.ts';
import {
  ConfigMaps,
  NetworkPolicies,
  PodDisruptionBudgets,
  Pods,
  RoleBindings,
  Roles,
  ServiceAccounts,
  Services,
  StatefulSets,
} from '#kernel/resources.ts';
import { fleet, single } from '#test-e2e/support/fleet.ts';
import { ShardClusters, Shards } from '#test-e2e/support/resources.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';

const space = useNamespace('drift');

beforeAll(async () => {
  await space.current.apply(fleet(single));
  await space.current.current();
});

const children: [Resource, string][] = [
  [Services, 'fleet-0'],
  [Services, 'fleet-0-ro'],
  [Services, 'fleet-0-members'],
  [ConfigMaps, 'fleet-0-settings'],
  [PodDisruptionBudgets, 'fleet-0'],
  [NetworkPolicies, 'fleet-0'],
  [RoleBindings, 'fleet-0'],
  [Roles, 'fleet-0'],
];

it.each(children.map(([resource, name]) => ({ kind: resource.kind, resource, name })))(
  'makes a deleted $kind $name again',
  ({ resource, name }) => madeAgain(resource, name),
);

async function madeAgain(resource: Resource, name: string): Promise<void> {
  const ns = space.current;
  const { metadata } = await ns.get(resource, name);
  await ns.delete(resource, name);
  const again = await ns.until(resource, name, object =>
    object && object.metadata.uid !== metadata.uid ? undefined : 'it was not made again',
  );
  expect(again.metadata.labels).toMatchObject({ 'shardwright.io/shard': 'fleet-0' });
}

it('takes back a changed field', async () => {
  const ns = space.current;
  const changed: [Resource, string, (object: KubeObject) => unknown, unknown][] = [
    [PodDisruptionBudgets, 'fleet-0', fieldOf('spec', 'maxUnavailable'), { spec: { maxUnavailable: 2 } }],
    [StatefulSets, 'fleet-0', fieldOf('spec', 'replicas'), { spec: { replicas: 2 } }],
    [Shards, 'fleet-0', fieldOf('spec', 'members'), { spec: { members: 3 } }],
    [Services, 'fleet-0-ro', fieldOf('spec', 'selector'), { spec: { selector: { app: 'mine' } } }],
    [ConfigMaps, 'fleet-0-settings', fieldOf('data', 'pgbouncer.ini'), { data: { 'pgbouncer.ini': '' } }],
  ];
  // Read before anything is changed: a changed Shard may for a moment be rendered.
  const before = await Promise.all(
    changed.map(async ([resource, name, read]) => read(await ns.get(resource, name))),
  );
  for (const [index, [resource, name, read, patch]] of changed.entries()) {
    const wanted = before[index];
    await ns.patch(resource, name, patch);
    await ns.until(resource, name, object =>
      object && JSON.stringify(read(object)) === JSON.stringify(wanted)
        ? undefined
        : `it still differs: ${object && JSON.stringify(read(object))}`,
    );
  }
});

it('keeps its hands off while the fleet is paused, and works on afterwards', async () => {
  const ns = space.current;
  const pause = (value: string | null): Promise<unknown> =>
    ns.patch(ShardClusters, 'fleet', { metadata: { annotations: { [annotations.paused]: value } } });
  await pause('true');
  await ns.until(ShardClusters, 'fleet', object =>
    object?.status?.phase === 'Paused' ? undefined : `its phase is ${object?.status?.phase}`,
  );
  await ns.patch(ShardClusters, 'fleet', { spec: { shards: 2 } });
  await ns.delete(PodDisruptionBudgets, 'fleet-0');
  // The status follows the newest generation, so the change was seen, and nothing came of it.
  await ns.until(ShardClusters, 'fleet', object =>
    object?.status?.observedGeneration === object?.metadata.generation
      ? undefined
      : 'it was not looked at yet',
  );
  expect((await ns.shards()).length).toBe(1);
  expect(await ns.list(PodDisruptionBudgets)).toEqual([]);
  await pause(null);
  await ns.until(Shards, 'fleet-1', shard => (shard ? undefined : 'it is not there'));
  await ns.current();
  expect((await ns.shards()).length).toBe(2);
  for (const name of ['fleet-0', 'fleet-1'])
    await ns.until(PodDisruptionBudgets, name, object => (object ? undefined : 'it was not made'));
});

// Last: it takes the primary of a shard with one member away.
it('makes a deleted ServiceAccount fleet-0 again, and renews members, whose token died with it', async () => {
  const ns = space.current;
  const { metadata } = await ns.get(Pods, 'fleet-0-0');
  await madeAgain(ServiceAccounts, 'fleet-0');
  await ns.until(Pods, 'fleet-0-0', pod =>
    pod && pod.metadata.uid !== metadata.uid ? undefined : 'it is not renewed yet',
  );
  await ns.current();
});

function fieldOf(...path: string[]): (object: KubeObject) => unknown {
  return object => path.reduce<unknown>((value, name) => Object(value)[name], object);
}
