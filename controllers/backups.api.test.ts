/** Backups on a real API server: Secrets, Jobs, statuses of two field managers, and what a restart and a release leave. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BackupPolicies, Shards } from '#controllers/caches.ts';
import { conditionStatus, findCondition } from '#controllers/conditions.ts';
import { BackupJobs } from '#controllers/testing/backup-jobs.ts';
import { backupPolicyManifest, storeSecretManifest } from '#controllers/testing/backup-policy-manifest.ts';
import { fleetHarness, type Harness } from '#controllers/testing/fleet-harness.ts';
import { keepTurning } from '#controllers/testing/keep-turning.ts';
import { quiet } from '#controllers/testing/quiet.ts';
import { untilObject } from '#controllers/testing/until-object.ts';
import { type BackupPolicy, type BackupPolicySpec, parseBackupPolicy } from '#crds/api/backup-policy.ts';
import { annotations } from '#crds/api/names.ts';
import { parseShard } from '#crds/api/shard.ts';
import type { Engine } from '#engines/engine.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import { eventually } from '#hack/api-test.ts';
import { orUndefined } from '#kernel/errors.ts';
import { Jobs, Pods, Secrets } from '#kernel/resources.ts';

let cleanup: AsyncDisposableStack;
let fleet: Harness;
let jobs: BackupJobs;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  fleet = await fleetHarness(cleanup);
  jobs = new BackupJobs(fleet.client, fleet.namespace);
  keepTurning(cleanup, () => jobs.turn(), 300);
  await fleet.client.create(storeSecretManifest(fleet.namespace));
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

const until = (what: string, holds: (found: BackupPolicy) => boolean) => untilObject(what, policy, holds);

const isProtected = ({ status }: BackupPolicy) => status?.phase === 'Protected';

async function protect(spec: Partial<BackupPolicySpec> = {}): Promise<void> {
  await fleet.apply();
  await fleet.client.create(backupPolicyManifest(at('nightly'), spec));
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

  // What changes is told to each member, so that the kubelet looks at once.
  const rpo = { spec: { objectives: { rpo: '20s' } } };
  await fleet.client.patch(BackupPolicies, at('nightly'), { type: 'merge', body: rpo });
  await eventually(async () => {
    const { metadata } = await fleet.client.get(Secrets, at('fleet-0-backup'));
    const members = await Promise.all(
      ['fleet-0-0', 'fleet-0-1'].map(name => fleet.client.get(Pods, at(name))),
    );
    const told = members.map(pod => pod.metadata.annotations?.[annotations.backupSecret]);
    const changed = metadata.resourceVersion !== secret.metadata.resourceVersion;
    return changed && told.every(version => version === metadata.resourceVersion) ? true : undefined;
  });

  // Two controllers write this status: neither takes anything from the other, nor do they keep each other busy.
  await quiet(first.writes, 2500);
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

test('of two policies the older one has the fleet, and the other one says whose it is', async () => {
  await protect();
  fleet.start({ engine: engine() });
  await until('Protected', isProtected);
  // Creation times are whole seconds; of the same one, names decide.
  await fleet.client.create(backupPolicyManifest(at('other')));
  const other = await eventually(async () => {
    const found = parseBackupPolicy(await fleet.client.get(BackupPolicies, at('other')));
    return conditionStatus(found, 'Stalled') === 'True' ? found : undefined;
  });
  expect(findCondition(other, 'Stalled')).toMatchObject({
    reason: 'UnderAnotherPolicy',
    message: expect.stringContaining('ShardCluster fleet is under BackupPolicy nightly, which is older'),
  });
  expect((await shard('fleet-0')).status?.backup?.policy).toBe('nightly');
  await fleet.client.delete(BackupPolicies, at('nightly'));
  await eventually(async () =>
    (await shard('fleet-0')).status?.backup?.policy === 'other' ? true : undefined,
  );
  // The place is the same, and so is what is there.
  expect(jobs.ended.filter(each => each.startsWith('fleet-0-backup full-'))).toHaveLength(1);
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

const archive: NonNullable<BackupPolicySpec['archive']> = {
  schedule: '0 1 1 1 *',
  tables: [{ name: 't', column: 'created_at', olderThan: '366d' }],
  format: 'parquet',
  deleteAfter: true,
};

test('old rows are archived when asked for, by Jobs whose pods the API server takes; what they tell is kept, a failure with its remedy', async () => {
  await protect({ archive });
  const env = { OPERATOR_IMAGE: 'registry.example/operator:7', OPERATOR_IMAGE_PULL_SECRETS: '["registry"]' };
  fleet.start({ engine: engine(), env });
  const first = await until('Protected', isProtected);
  expect(findCondition(first, 'Archived')).toMatchObject({ status: 'Unknown', reason: 'FirstRun' });
  jobs.failing.add('fleet-1-archive');
  await annotate(annotations.archiveNow, 'now');
  const failed = await until('Archived=False', found => conditionStatus(found, 'Archived') === 'False');
  expect(findCondition(failed, 'Archived')).toMatchObject({
    reason: 'UnsuitableTable',
    message: 'fleet-1: there is no table public.t. Correct the name.',
  });
  expect(failed.metadata.annotations?.[annotations.archiveNow]).toBeUndefined();
  await until('Stalled', found => findCondition(found, 'Stalled')?.reason === 'UnsuitableTable');
  const { items } = await fleet.client.list(Pods, {
    namespace: fleet.namespace,
    labelSelector: 'shardwright.io/task-of=fleet-0',
  });
  expect(items).toHaveLength(1);
  expect(items[0]?.spec).toMatchObject({
    automountServiceAccountToken: false,
    imagePullSecrets: [{ name: 'registry' }],
    containers: [{ image: 'registry.example/operator:7' }],
  });
  const job = await fleet.client.get(Jobs, at('fleet-0-archive'));
  expect(job.metadata.ownerReferences).toMatchObject([{ kind: 'Shard', name: 'fleet-0', controller: true }]);
  expect(JSON.stringify(job)).not.toContain('very-secret');
  expect((await shard('fleet-0')).status?.backup?.coldTier?.last).toMatchObject({
    succeeded: true,
    rows: 9,
    files: 2,
    bytes: 700,
    deleted: 8,
    kept: 1,
    tables: [{ table: 't', upTo: expect.any(String) }],
  });

  jobs.failing.clear();
  await annotate(annotations.archiveNow, 'again');
  const done = await until('Archived=True', found => conditionStatus(found, 'Archived') === 'True');
  expect(done.status?.archive).toEqual({ running: 0, failed: 0, waiting: 0 });
  await until('not Stalled', found => conditionStatus(found, 'Stalled') === 'False');
});
