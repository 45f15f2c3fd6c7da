/**
 * The operator is killed before its n-th write, for every n until a fleet that comes back from the object store has its first
 * Shard; another one then takes over. Whatever n was, each volume was filled once, the map is the one of that time, and what the
 * recovery needed is gone.
 */
import { expect, test } from 'vitest';
import { Shards } from '#controllers/caches.ts';
import { severalAtOnce } from '#controllers/several-at-once.ts';
import { isReady } from '#controllers/testing/fleet-conditions.ts';
import { fleetHarness, type Harness } from '#controllers/testing/fleet-harness.ts';
import { KillPoint } from '#controllers/testing/kill-point.ts';
import { lostFleet, makeLostFleetsPolicy, recovery } from '#controllers/testing/lost-fleet.ts';
import type { RecoveryJobs } from '#controllers/testing/recovery-jobs.ts';
import { parseShard } from '#crds/api/shard.ts';
import { eventually } from '#hack/api-test.ts';
import { orUndefined } from '#kernel/errors.ts';
import { Jobs, Secrets } from '#kernel/resources.ts';

/** Fleets side by side: most of the time is waiting. */
const LANES = 4;

test('killed before any write of a recovery, it goes on where it stopped', { timeout: 580_000 }, async () => {
  const whole = await walk(Number.POSITIVE_INFINITY);
  expect(whole.result).toEqual({
    filled: ['fleet-0-recover', 'fleet-2-recover'],
    shards: [
      ['fleet-0', [{ first: 0, last: 199 }], '7300000000000000001'],
      ['fleet-2', [{ first: 200, last: 255 }], '7300000000000000001'],
    ],
    left: [],
  });
  expect(whole.writesBefore).toBeGreaterThan(5);
  const points = Array.from({ length: whole.writesBefore }, (_, n) => n);
  await severalAtOnce(points, LANES, async n => {
    const { result } = await walk(n);
    expect(result, `killed before write ${n}`).toEqual(whole.result);
  });
});

/** `writesBefore`: how many there were until the first Shard was there. */
async function walk(killBefore: number): Promise<{ result: unknown; writesBefore: number }> {
  await using stack = new AsyncDisposableStack();
  const fleet = await fleetHarness(stack);
  const jobs = lostFleet(fleet, stack);
  await makeLostFleetsPolicy(fleet);
  await fleet.apply({ bootstrap: { recovery } });
  const kill = new KillPoint(killBefore);
  const first = fleet.start({ guardWrite: kill.pass });
  const begun = async () => (await shardsOf(fleet)).length > 0;
  await eventually(async () => (kill.killed || (await begun()) ? true : undefined), 60_000);
  const writesBefore = kill.passed;
  if (killBefore !== Number.POSITIVE_INFINITY) {
    await first[Symbol.asyncDispose]();
    fleet.start();
  }
  await fleet.until(`Ready after a kill before write ${killBefore}`, isReady);
  return { result: await resultOf(fleet, jobs), writesBefore };
}

async function shardsOf({ client, namespace }: Harness) {
  return (await client.list(Shards, { namespace })).items.map(parseShard);
}

async function resultOf(fleet: Harness, jobs: RecoveryJobs): Promise<unknown> {
  const { client, namespace } = fleet;
  const left = await eventually(async () => {
    const { items } = await client.list(Jobs, { namespace });
    const secret = await orUndefined(client.get(Secrets, { namespace, name: 'fleet-recovery-0' }));
    return items.length === 0 && !secret ? [] : undefined;
  });
  return {
    filled: jobs.ended.filter(name => name.endsWith('-recover')).toSorted(),
    shards: (await shardsOf(fleet))
      .toSorted((a, b) => a.spec.ordinal - b.spec.ordinal)
      .map(({ metadata, spec }) => [
        metadata.name,
        'ranges' in spec.sharding.partition ? spec.sharding.partition.ranges : [],
        spec.recovery?.systemIdentifier,
      ]),
    left,
  };
}
