/**
 * The operator is killed before its n-th write, for every n from the first to the last that a fleet takes; another one then
 * takes over. Whatever n was, the same objects result, and what must be made once was made once.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { conditionStatus } from '#controllers/conditions.ts';
import { fleetHarness, type Harness } from '#controllers/testing/fleet-harness.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { eventually } from '#hack/api-test.ts';
import { orUndefined } from '#kernel/errors.ts';
import type { ObjectKey } from '#kernel/object.ts';
import { ConfigMaps, Secrets } from '#kernel/resources.ts';

class KilledError extends Error {
  override readonly name = 'KilledError';
}

let cleanup: AsyncDisposableStack;

beforeEach(() => {
  cleanup = new AsyncDisposableStack();
});

afterEach(() => cleanup.disposeAsync());

/** Lanes of fleets side by side: most of the time is waiting. */
const LANES = 4;

test('killed before any write, it goes on where it stopped', { timeout: 580_000 }, async () => {
  const whole = await walk(Number.POSITIVE_INFINITY);
  const points = Array.from({ length: whole.writes }, (_, n) => n);
  expect(whole.writes).toBeGreaterThan(20);
  let next = 0;
  const lane = async () => {
    for (let n = points[next++]; n !== undefined; n = points[next++]) {
      const { objects } = await walk(n);
      expect(objects, `killed before write ${n}`).toEqual(whole.objects);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
});

async function walk(killBefore: number): Promise<{ objects: unknown; writes: number }> {
  await using stack = new AsyncDisposableStack();
  const fleet = await fleetHarness(stack);
  await fleet.apply({ shards: 1, schema: { configMaps: [{ name: 'sql' }] } });
  const data = { '1.sql': 'CREATE TABLE t (id bigint)' };
  await fleet.client.create({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace: fleet.namespace, name: 'sql' },
    data,
  });
  let writes = 0;
  let killed = false;
  const first = fleet.start({
    guardWrite: () => {
      if (writes >= killBefore) {
        killed = true;
        throw new KilledError(`before write ${writes}`);
      }
      writes++;
    },
  });
  if (killBefore === Number.POSITIVE_INFINITY) {
    await fleet.until('Ready', isDone);
    return { objects: await fleet.snapshot(), writes };
  }
  await eventually(async () => (killed || isDone(await fleet.cluster()) ? true : undefined));
  await first[Symbol.asyncDispose]();
  const once = await madeOnce(fleet);

  fleet.start();
  await fleet.until(`Ready after a kill before write ${killBefore}`, isDone);
  // What existed was not made again: databases and clients depend on it.
  expect(await madeOnce(fleet)).toMatchObject(once);
  return { objects: await fleet.snapshot(), writes };
}

function isDone(cluster: ShardCluster): boolean {
  return conditionStatus(cluster, 'Ready') === 'True' && conditionStatus(cluster, 'Reconciling') === 'False';
}

/** Keys and passwords, and the map once it has its head. */
async function madeOnce({ client, namespace }: Harness): Promise<Readonly<Record<string, unknown>>> {
  const made: Record<string, unknown> = {};
  const look = async (
    name: string,
    read: (key: ObjectKey) => Promise<{ data?: Readonly<Record<string, string>> } | undefined>,
  ) => {
    const data = (await read({ namespace, name }))?.data;
    if (data) made[name] = data;
  };
  for (const name of ['fleet-ca', 'fleet-internal', 'fleet-app'])
    await look(name, key => orUndefined(client.get(Secrets, key)));
  await look('fleet-map', key => orUndefined(client.get(ConfigMaps, key)));
  return made;
}
