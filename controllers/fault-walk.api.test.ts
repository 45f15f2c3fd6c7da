/**
 * The operator is killed before its n-th write, for every n from the first to the last that a fleet takes; another one then
 * takes over. Whatever n was, the same objects result, and what must be made once was made once.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { severalAtOnce } from '#controllers/several-at-once.ts';
import { isReady } from '#controllers/testing/fleet-conditions.ts';
import { fleetHarness, type Harness } from '#controllers/testing/fleet-harness.ts';
import { KillPoint } from '#controllers/testing/kill-point.ts';
import { eventually } from '#hack/api-test.ts';
import { orUndefined } from '#kernel/errors.ts';
import type { ObjectKey } from '#kernel/object.ts';
import { ConfigMaps, Secrets } from '#kernel/resources.ts';

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
  await severalAtOnce(points, LANES, async n => {
    const { objects } = await walk(n);
    expect(objects, `killed before write ${n}`).toEqual(whole.objects);
  });
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
  const kill = new KillPoint(killBefore);
  const first = fleet.start({ guardWrite: kill.pass });
  if (killBefore === Number.POSITIVE_INFINITY) {
    await fleet.until('Ready', isReady);
    return { objects: await fleet.snapshot(), writes: kill.passed };
  }
  await eventually(async () => (kill.killed || isReady(await fleet.cluster()) ? true : undefined));
  await first[Symbol.asyncDispose]();
  const once = await madeOnce(fleet);

  fleet.start();
  await fleet.until(`Ready after a kill before write ${killBefore}`, isReady);
  // What existed was not made again: databases and clients depend on it.
  expect(await madeOnce(fleet)).toMatchObject(once);
  return { objects: await fleet.snapshot(), writes: kill.passed };
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
