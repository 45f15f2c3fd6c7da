import type { Client } from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { BackupProgressReport, BackupType } from '#engines/backup.ts';
import { eventually } from './testing/docker.ts';
import type { Member } from './testing/member.ts';
import { BackupScene, backupReport } from './testing/scene.ts';

// Several containers start and end in each.
vi.setConfig({ testTimeout: 180_000 });

let scene: BackupScene;
let primary: Member;
let standby: Member;
let client: Client;

beforeAll(async () => {
  scene = await BackupScene.start();
  primary = await scene.primary();
  client = await primary.connect();
  await client.query(
    `CREATE TABLE item AS SELECT i, md5(i::text) AS text FROM generate_series(1, 20000) AS i`,
  );
  standby = await scene.standbyOf(primary);
});
afterAll(() => scene[Symbol.asyncDispose]());

const both = () => ({ primary: primary.name, replica: standby.name });

function labelsOf({ records = [] }: BackupProgressReport): readonly string[] {
  return records.map(({ label }) => label);
}

/** Names of the segments that the archive holds. */
async function segments(): Promise<readonly string[]> {
  const objects = await scene.store.objects.list(`${scene.repository.path}/archive/`);
  return objects.flatMap(({ key }) => /\/([0-9A-F]{24})-[0-9a-f]+\.zst$/.exec(key)?.[1] ?? []).toSorted();
}

test('full, then incremental, from the replica; the oldest goes with what stands on it, and with its log', async () => {
  const first = await scene.backup(both());
  expect(first).toMatchObject({
    state: 'Succeeded',
    type: 'full',
    records: [{ type: 'full', error: false }],
  });
  expect(first.totalBytes).toBeGreaterThan(1e7);
  expect(first.doneBytes).toBe(first.totalBytes);

  await client.query('INSERT INTO item SELECT i FROM generate_series(20001, 20100) AS i');
  const second = await scene.backup({ ...both(), type: 'incremental' });
  const [full, incremental] = second.records ?? [];
  expect(second).toMatchObject({ state: 'Succeeded', type: 'incremental' });
  expect(incremental).toMatchObject({ type: 'incremental', prior: full?.label });
  expect(incremental?.storedBytes).toBeLessThan((full?.storedBytes ?? 0) / 3);

  // The last good one stays, whatever is asked for.
  const third = await scene.backup({ ...both(), expire: labelsOf(second).slice(0, 1) });
  expect(labelsOf(third)).toEqual([...labelsOf(second), expect.stringMatching(/F$/)]);

  const before = await segments();
  const fourth = await scene.backup({ ...both(), type: 'incremental', expire: [full?.label ?? ''] });
  expect(labelsOf(fourth)).toEqual([labelsOf(third)[2], expect.stringMatching(/I$/)]);
  const after = await segments();
  expect(after[0]! > before[0]!).toBe(true);
  expect(before).toEqual(expect.arrayContaining(after.filter(name => before.includes(name))));
  expect((await scene.drill()).state).toBe('Succeeded');
});

test('the first of a day stands on the full one alone: the day before goes without it', async () => {
  const made = async (type: BackupType, expire: readonly string[] = []) => {
    await client.query('UPDATE item SET text = md5(text) WHERE i % 50 = 0');
    const report = await scene.backup({ ...both(), type, expire });
    expect(report).toMatchObject({ state: 'Succeeded', type });
    return report;
  };
  const full = labelsOf(await made('full')).at(-1);
  await made('differential');
  await made('incremental');
  await made('incremental');
  await made('differential');
  const { records = [] } = await made('incremental');
  const [first, ...rest] = records.slice(-5);
  const [second, third, next, last] = rest;
  expect(records.slice(-5).map(({ type, prior }) => [type, prior])).toEqual([
    ['differential', full],
    ['incremental', first?.label],
    ['incremental', second?.label],
    ['differential', full],
    ['incremental', next?.label],
  ]);
  // As they are asked for: the newest first.
  const yesterday = [third, second, first].map(record => record?.label ?? '');
  const left = await made('incremental', yesterday);
  const today = [full, next?.label, last?.label, left.records?.at(-1)?.label];
  expect(labelsOf(left).slice(labelsOf(left).indexOf(full ?? ''))).toEqual(today);
  expect((await scene.drill()).state).toBe('Succeeded');
});

/** A backup that has begun and cannot go on: it waits for a replica that stands still. */
async function held(more: { readonly deadlineSeconds?: number } = {}) {
  const replica = await standby.connect();
  await replica.query('SELECT pg_wal_replay_pause()');
  const task = await scene.beginBackup({ ...both(), ...more });
  await task.logged('wait for replay on the standby');
  expect(await task.report()).toMatchObject({ kind: 'Backup', state: 'Running', type: 'full' });
  return { task, goOn: () => replica.query('SELECT pg_wal_replay_resume()') };
}

test('a second one beside it is told so, and the first goes on', async () => {
  const { task, goOn } = await held();
  expect(await scene.backup(both())).toMatchObject({
    state: 'Failed',
    failure: 'another backup of this shard is running',
  });
  await goOn();
  expect(await backupReport(task)).toMatchObject({ state: 'Succeeded' });
});

test('one that is stopped says so, leaves nothing running in the database, and the next one works', async () => {
  const { task, goOn } = await held();
  await task.stop();
  expect(await backupReport(task)).toMatchObject({
    state: 'Failed',
    failure: 'it was stopped before it had ended',
  });
  await goOn();
  await eventually(async () => {
    const { rows } = await client.query(
      `SELECT FROM pg_stat_activity WHERE application_name LIKE 'pgBackRest%'`,
    );
    return rows.length === 0 ? true : undefined;
  });
  expect(await scene.backup(both())).toMatchObject({ state: 'Succeeded' });
});

test('time that is up is the cause that is told', async () => {
  const { task, goOn } = await held({ deadlineSeconds: 5 });
  expect(await backupReport(task)).toMatchObject({ state: 'Failed', failure: 'it did not end within 5 s' });
  await goOn();
});

test('without an answer from the store it fails at once', async () => {
  await scene.store.stop();
  try {
    expect(await scene.backup(both())).toMatchObject({
      state: 'Failed',
      failure: expect.stringMatching(/^cannot connect to .*: Connection refused$/),
    });
  } finally {
    await scene.store.resume();
  }
});

test('without a replica that answers, the primary is read', async () => {
  expect(await scene.backup({ primary: primary.name, replica: 'social-0-9' })).toMatchObject({
    state: 'Succeeded',
  });
  expect(await scene.backup({ primary: primary.name })).toMatchObject({ state: 'Succeeded' });
});

test('the primary dies during a full backup: it fails with the cause, and the next one works from the new primary at once', async () => {
  const promoted = await standby.connect();
  const { task, goOn } = await held();
  await primary.destroy();
  await goOn();
  const lost = await backupReport(task);
  expect(lost.state).toBe('Failed');
  expect(lost.failure).toMatch(primary.name);

  // No checkpoint on the new timeline ends before the backup has begun.
  await standby.shell('pkill -STOP -f "[c]heckpointer"');
  await standby.promote();
  await standby.until(({ timeline }) => timeline === 2);
  const next = await scene.beginBackup({ primary: standby.name });
  await eventually(async () => {
    const waiting = `SELECT FROM pg_stat_activity WHERE query LIKE '%backup_start%' AND wait_event ~ '^Checkpoint'`;
    const { rowCount } = await promoted.query(waiting);
    return rowCount === 1 ? true : undefined;
  });
  await standby.shell('pkill -CONT -f "[c]heckpointer"');
  await next.logged('beginning again after the first checkpoint since a promotion');
  expect(await backupReport(next)).toMatchObject({ state: 'Succeeded', type: 'full' });
  expect(await scene.drill()).toMatchObject({ state: 'Succeeded' });
});
