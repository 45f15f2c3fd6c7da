/**
 * The operator is killed before its n-th write, for every n until a fleet that comes back from the object store has its first
 * Shard; another one then takes over. Whatever n was, each volume was filled once, the map is the one of that time, and what the
 * recovery needed is gone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { BackupPolicies, Shards } from '#controllers/caches.ts';
import { conditionStatus } from '#controllers/conditions.ts';
import { fleetHarness, type Harness } from '#controllers/testing/fleet-harness.ts';
import { RecoveryJobs } from '#controllers/testing/recovery-jobs.ts';
import { parseShard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { eventually } from '#hack/api-test.ts';
import { orUndefined } from '#kernel/errors.ts';
import { Jobs, Secrets } from '#kernel/resources.ts';

class KilledError extends Error {
  override readonly name = 'KilledError';
}

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
  const lane = async () => {
    for (let n = points.shift(); n !== undefined; n = points.shift()) {
      const { result } = await walk(n);
      expect(result, `killed before write ${n}`).toEqual(whole.result);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
});

/** `writesBefore`: how many there were until the first Shard was there. */
async function walk(killBefore: number): Promise<{ result: unknown; writesBefore: number }> {
  await using stack = new AsyncDisposableStack();
  const fleet = await fleetHarness(stack);
  const jobs = lostFleet(fleet, stack);
  await makePolicy(fleet);
  await fleet.apply({ bootstrap: { recovery: { policy: 'nightly', cluster: 'lost' } } });
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
  const begun = async () => (await shardsOf(fleet)).length > 0;
  await eventually(async () => (killed || (await begun()) ? true : undefined), 60_000);
  const writesBefore = writes;
  if (killBefore !== Number.POSITIVE_INFINITY) {
    await first[Symbol.asyncDispose]();
    fleet.start();
  }
  await fleet.until(`Ready after a kill before write ${killBefore}`, isReady);
  return { result: await resultOf(fleet, jobs), writesBefore };
}

function lostFleet(fleet: Harness, stack: AsyncDisposableStack): RecoveryJobs {
  const jobs = new RecoveryJobs(fleet.client, fleet.namespace);
  jobs.incarnations = [
    {
      id: '0123abcd',
      shards: [0, 2].map(ordinal => ({
        ordinal,
        stanza: `lost-${ordinal}`,
        since: '2026-03-01T01:00:00Z',
        until: '2026-03-01T11:59:00Z',
        version: '17',
        databaseBytes: 1,
        about: { ordinal, algorithm: 'hash', keyType: 'bigint', slots: 256 },
      })),
    },
  ];
  jobs.owned.set('fleet-0', { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 199 }] });
  jobs.owned.set('fleet-2', { kind: 'slots', slots: 256, ranges: [{ first: 200, last: 255 }] });
  const stop = new AbortController();
  const turning = (async () => {
    for (; !stop.signal.aborted; await sleep(100)) await jobs.turn();
  })();
  stack.defer(async () => {
    stop.abort();
    await turning;
  });
  return jobs;
}

async function makePolicy({ client, namespace }: Harness): Promise<void> {
  await client.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace, name: 's3' },
    stringData: { 'access-key-id': 'id', 'secret-access-key': 'secret' },
  });
  await client.create({
    apiVersion: BackupPolicies.apiVersion,
    kind: BackupPolicies.kind,
    metadata: { namespace, name: 'nightly' },
    spec: {
      clusters: { names: ['lost'] },
      objectives: { rpo: '10s', rto: '5m' },
      schedule: { full: '0 2 * * 0' },
      destinations: [
        { s3: { endpoint: 'https://s3.example', bucket: 'backups', credentials: { secretName: 's3' } } },
      ],
    },
  });
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

function isReady(cluster: ShardCluster): boolean {
  return conditionStatus(cluster, 'Ready') === 'True' && conditionStatus(cluster, 'Reconciling') === 'False';
}
