/** Backups on a real API server: Secrets, Jobs, statuses of two field managers, and what a restart and a release leave. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BackupPolicies, Shards } from '#controllers/caches.ts';
import { conditionStatus, findCondition } from '#controllers/conditions.ts';
import { BackupJobs } from '#controllers/testing/backup-jobs.ts';
import { backupPolicyManifest } from '#controllers/testing/backup-policy-manifest.ts';
import { fleetHarness, type Harness } from '#controllers/testing/fleet-harness.ts';
import { type BackupPolicy, parseBackupPolicy } from '#crds/api/backup-policy.ts';
import { annotations } from '#crds/api/names.ts';
import { parseShard } from '#crds/api/shard.ts';
import type { Engine } from '#engines/engine.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import { eventually } from '#hack/api-test.ts';
import { orUndefined } from '#kernel/errors.ts';
import { Jobs, Secrets } from '#kernel/resources.ts';

let cleanup: AsyncDisposableStack;
let fleet: Harness;
let jobs: BackupJobs;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  fleet = await fleetHarness(cleanup);
  jobs = new BackupJobs(fleet.client, fleet.namespace);
  const stop = new AbortController();
  const turning = (async () => {
    while (!stop.signal.aborted) {
      await jobs.turn();
      await sleep(300);
    }
  })();
  cleanup.defer(async () => {
    stop.abort();
    await turning;
  });
  await fleet.client.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: at('s3'),
    stringData: { 'access-key-id': 'id', 'secret-access-key': 'very-secret' },
  });
});

afterEach(() => cleanup.disposeAsync());

const at = (name: string) => ({ namespace: fleet.namespace, name });
const shard = async (name: string) => parseShard(await fleet.client.get(Shards, at(name)));
const policy = async () => parseBackupPolicy(await fleet.client.get(BackupPolicies, at('nightly')));

function engine(): Engine {
  return {
    ...fleet.databases.engine(postgresql),
    openBackupSession: () =>
      Promise.resolve({
        mark: () => Promise.resolve('the-mark'),
        contents: () =>
          Promise.resolve({ target: '0/3000028', contents: [{ table: 't', rows: '3', hash: 'abc' }] }),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  };
}

async function until(what: string, holds: (found: BackupPolicy) => boolean): Promise<BackupPolicy> {
  let last: BackupPolicy | undefined;
  try {
    return await eventually(async () => {
      last = await policy();
      return holds(last) ? last : undefined;
    }, 40_000);
  } catch (cause) {
    throw new Error(`${what} did not come true: ${JSON.stringify(last?.status, undefined, 1)}`, { cause });
  }
}

const isProtected = ({ status }: BackupPolicy) => status?.phase === 'Protected';

async function protect(): Promise<void> {
  await fleet.apply();
  await fleet.client.create(backupPolicyManifest(at('nightly')));
}

const annotate = (name: string, value: string) =>
  fleet.client.patch(BackupPolicies, at('nightly'), {
    type: 'merge',
    body: { metadata: { annotations: { [name]: value } } },
  });

test('a fleet is bound and backed up; a restart writes nothing; it is let go without a trace', async () => {
  await protect();
  const first = fleet.start({ engine: engine() });
  await until('Protected', isProtected);
  expect(jobs.ended.filter(each => each.startsWith('fleet-0-backup full-'))).toHaveLength(1);
  const secret = await fleet.client.get(Secrets, at('fleet-0-backup'));
  expect(secret.metadata.ownerReferences).toMatchObject([
    { kind: 'Shard', name: 'fleet-0', controller: true },
  ]);
  const zero = await shard('fleet-0');
  expect(zero.status).toMatchObject({
    primary: 'fleet-0-0',
    achievedRpoSeconds: 0,
    backup: {
      policy: 'nightly',
      lastFull: { label: expect.any(String) },
      archive: { continuity: 'Verified' },
    },
  });
  expect(JSON.stringify([zero.status, await policy()])).not.toContain('very-secret');

  // Two controllers write this status: neither takes anything from the other, nor do they keep each other busy.
  await sleep(2000);
  const before = first.writes.length;
  await sleep(4000);
  expect(first.writes.slice(before)).toEqual([]);
  await first[Symbol.asyncDispose]();
  const second = fleet.start({ engine: engine() });
  await sleep(6000);
  expect(second.writes).toEqual([]);

  // While no operator is there, nobody hears that the policy goes.
  await second[Symbol.asyncDispose]();
  await fleet.client.delete(BackupPolicies, at('nightly'));
  fleet.start({ engine: engine() });
  await eventually(async () => ((await shard('fleet-1')).status?.backup ? undefined : true));
  expect(await orUndefined(fleet.client.get(Secrets, at('fleet-1-backup')))).toBeUndefined();
  expect((await shard('fleet-1')).status).toMatchObject({ primary: 'fleet-1-0' });
  expect((await fleet.client.list(Jobs, { namespace: fleet.namespace })).items).toEqual([]);
});

test('archiving that stops is told with the shard and the cause, and that it goes on', async () => {
  await protect();
  fleet.start({ engine: engine() });
  await until('Protected', isProtected);
  jobs.meters.set('fleet-1', { rpoSeconds: 14, failure: 'HTTP 503 of the store' });
  const missed = await until('RPOMet=False', found => conditionStatus(found, 'RPOMet') === 'False');
  expect(findCondition(missed, 'RPOMet')?.message).toMatch(
    /fleet-1: archiving is 1\ds behind: HTTP 503 of the store/,
  );
  expect(missed.status?.achieved).toMatchObject({ rpoShard: 'fleet-1' });
  jobs.meters.delete('fleet-1');
  await until('RPOMet=True', found => conditionStatus(found, 'RPOMet') === 'True');
});

test('a drill is asked for, finds what the source had, and leaves its result and nothing else', async () => {
  await protect();
  fleet.start({ engine: engine() });
  await until('Protected', isProtected);
  await annotate(annotations.drillNow, 'true');
  const found = await until('a drill', ({ status }) => status?.drills?.passed === 1);
  expect(conditionStatus(found, 'RTOMet')).toBe('True');
  expect(found.status?.achieved).toMatchObject({ rtoSeconds: 4, rtoShard: 'fleet-0' });
  expect(found.metadata.annotations?.[annotations.drillNow]).toBeUndefined();
  await eventually(async () =>
    (await orUndefined(fleet.client.get(Jobs, at('fleet-0-drill')))) === undefined ? true : undefined,
  );
  expect((await shard('fleet-0')).status?.backup?.drill?.last).toMatchObject({ passed: true, rtoSeconds: 4 });
});
