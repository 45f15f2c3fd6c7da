/** The map is data: nothing that a person changes in the spec moves a key, and a shard's state is honoured by everybody. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Client, ReadOnlyShardError, ShardUnavailableError } from '#client/index.ts';
import { connectClient } from './support/client.ts';
import { hasCondition } from './support/conditions.ts';
import { fleet, single, usual, usualSchema } from './support/fleet.ts';
import { ShardClusters } from './support/resources.ts';
import { useNamespace } from './support/use-namespace.ts';
import { eventually } from './support/wait.ts';

const space = useNamespace('map');
let client: Client;

const keys = Array.from({ length: 400 }, (_, n) => n * 37);

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet({ ...usual, ...single, shards: 2 }));
  await ns.current();
  client = await connectClient(ns);
  await client.ready();
});

afterAll(() => client?.close());

const owners = (): string[] => keys.map(key => client.locate(key));

it('gives a shard that is added later nothing, and moves no key', async () => {
  const ns = space.current;
  const before = owners();
  const epoch = (await client.ready()).epoch;
  await ns.kubectl('scale', 'shardcluster/fleet', '--replicas=3');
  await ns.current();
  await eventually('the client hears of the new shard', ns.name, () =>
    Promise.resolve(client.map?.shards.some(({ name }) => name === 'fleet-2') ? true : undefined),
  );
  expect(client.map?.epoch).toBeGreaterThan(epoch);
  expect(owners()).toEqual(before);
});

it('lets an empty shard go when shards is lowered; stalls for those that own keys, and says how to merge', async () => {
  const ns = space.current;
  const before = owners();
  await ns.kubectl('scale', 'shardcluster/fleet', '--replicas=1');
  const found = await ns.until(ShardClusters, 'fleet', hasCondition('Stalled', 'True'));
  const message = found.status?.conditions?.find(({ type }) => type === 'Stalled')?.message;
  expect(message).toContain('spec.merge.shards: [fleet-0, fleet-1]');
  expect(message).toContain('set spec.shards to 2');
  await eventually('the empty shard is gone', ns.name, async () => {
    const names = (await ns.shards()).map(({ metadata }) => metadata.name);
    return names.join() === 'fleet-0,fleet-1' ? true : undefined;
  });
  await client.scatter('SELECT 1');
  expect(owners()).toEqual(before);
  await ns.kubectl('scale', 'shardcluster/fleet', '--replicas=2');
  await ns.until(ShardClusters, 'fleet', hasCondition('Stalled', 'False'));
});

it('refuses writes to a readonly shard and everything on one in maintenance, others go on', async () => {
  const ns = space.current;
  const onFirst = keys.find(key => client.locate(key) === 'fleet-0') ?? 0;
  const onSecond = keys.find(key => client.locate(key) === 'fleet-1') ?? 0;
  const insert = (key: number) =>
    client.forKey(key).query('INSERT INTO users VALUES ($1, $2)', [key, 'x'], { timeoutMs: 15_000 });
  const read = (key: number) =>
    client.forKey(key).query('SELECT name FROM users WHERE id = $1', [key], { timeoutMs: 15_000 });
  await insert(onFirst);

  await setStates([{ shard: 0, state: 'readonly' }]);
  await untilState('readonly');
  await expect(
    client
      .forKey(onFirst)
      .query("UPDATE users SET name = 'y' WHERE id = $1", [onFirst], { timeoutMs: 15_000 }),
  ).rejects.toThrow(ReadOnlyShardError);
  expect((await read(onFirst)).rows).toEqual([{ name: 'x' }]);
  await insert(onSecond);

  await setStates([{ shard: 0, state: 'maintenance' }]);
  await untilState('maintenance');
  await expect(read(onFirst)).rejects.toThrow(ShardUnavailableError);
  expect((await read(onSecond)).rows).toEqual([{ name: 'x' }]);

  await setStates([]);
  await untilState('active');
  await client.forKey(onFirst).query("UPDATE users SET name = 'z' WHERE id = $1", [onFirst]);
  expect((await read(onFirst)).rows).toEqual([{ name: 'z' }]);

  async function setStates(shardStates: { shard: number; state: string }[]): Promise<void> {
    await ns.patch(ShardClusters, 'fleet', { spec: { shardStates } });
    await ns.current();
  }

  function untilState(state: string): Promise<true> {
    return eventually(`the client knows that fleet-0 is ${state}`, ns.name, () =>
      Promise.resolve(client.map?.shards[0]?.state === state ? true : undefined),
    );
  }
});
