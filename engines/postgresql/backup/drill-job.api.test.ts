import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Client } from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { z } from 'zod';
import type { BackupSession, DrillReport, DrillRequest } from '#engines/backup.ts';
import { openBackupSession } from './session.ts';
import type { Member } from './testing/member.ts';
import { bridgeAddress } from './testing/object-store.ts';
import { BackupScene } from './testing/scene.ts';

// Several containers start and end in each.
vi.setConfig({ testTimeout: 180_000 });

let scene: BackupScene;
let primary: Member;
let standby: Member;
let client: Client;
let session: BackupSession;

beforeAll(async () => {
  scene = await BackupScene.start();
  primary = await scene.primary();
  client = await primary.connect();
  await client.query(`
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE item AS SELECT i, md5(i::text) AS text FROM generate_series(1, 20000) AS i;
    CREATE INDEX ON item (text);
    CREATE TABLE "Odd ""name""" ("A b" numeric, m mood, t timestamptz, f float8, j jsonb, a int[], gone int);
    ALTER TABLE "Odd ""name""" DROP COLUMN gone;
    INSERT INTO "Odd ""name""" VALUES (1.10, 'bad', now(), 'NaN', '{"a": 1}', '{1,NULL}'), (NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE part (k int) PARTITION BY LIST (k);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
    CREATE UNLOGGED TABLE scratch AS SELECT 1;
    INSERT INTO part VALUES (1), (1);
  `);
  standby = await scene.standbyOf(primary);
  await scene.backup({ primary: primary.name, replica: standby.name });
  session = await openBackupSession(
    scene.shard,
    scene.target(primary, standby),
    AbortSignal.timeout(600_000),
  );
});
afterAll(async () => {
  await session?.[Symbol.asyncDispose]();
  await scene[Symbol.asyncDispose]();
});

const passed = ({ checks }: DrillReport) => checks.filter(check => check.passed).map(({ name }) => name);
const failed = ({ checks }: DrillReport) => checks.filter(check => !check.passed).map(({ name }) => name);

/** Rows that only the archive has. */
async function write(rows = 50): Promise<void> {
  await client.query('INSERT INTO item SELECT i, random()::text FROM generate_series(1, $1) AS i', [rows]);
}

async function archived(): Promise<readonly string[]> {
  const objects = await scene.store.objects.list(`${scene.repository.path}/archive/`);
  return objects
    .map(({ key }) => key)
    .filter(key => /\/[0-9A-F]{24}-[0-9a-f]+\.zst$/.test(key))
    .toSorted();
}

/** Archives everything, and waits for it. */
async function endSegment(): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    'SELECT pg_walfile_name(pg_current_wal_insert_lsn()) AS name FROM pg_logical_emit_message(true, $1, $1)',
    ['test'],
  );
  const name = rows[0]?.name ?? '';
  await expect
    .poll(async () => (await archived()).some(key => key.includes(name)), { timeout: 20_000 })
    .toBe(true);
}

test('what was restored is what the source held, while the source goes on', async () => {
  await write();
  const request = await scene.expectation(session);
  expect(request.expect?.contents?.map(({ table, rows }) => [table, rows])).toEqual(
    expect.arrayContaining([
      ['public.item', '20050'],
      ['public."Odd ""name"""', '2'],
      ['public.part_1', '2'],
      ['shardwright.backup_mark', '1'],
    ]),
  );
  expect(JSON.stringify(request)).not.toContain('scratch');
  await write();
  const report = await scene.drill(request);
  expect(report).toMatchObject({ kind: 'Drill', state: 'Succeeded' });
  expect(passed(report)).toEqual(['Archive', 'Mark', 'Contents', 'Structure', 'Checksums']);
  expect(report.steps.map(({ name }) => name)).toEqual(['Start', 'Fetch', 'Recover', 'Check']);
  expect(report.rtoSeconds).toBeGreaterThan(0);
  expect(report.rpoSeconds).toBeGreaterThan(0);
  expect(report.bytes).toBeGreaterThan(1e7);
});

/** A replica, whether it stands still, and another session that asks it. */
async function replicaAndSession() {
  const replica = await standby.connect();
  const paused = async () => {
    const { rows } = await replica.query<{ is: boolean }>('SELECT pg_is_wal_replay_paused() AS is');
    return rows[0]?.is;
  };
  const open = () =>
    openBackupSession(scene.shard, scene.target(primary, standby), AbortSignal.timeout(60_000));
  return { replica, paused, open };
}

test('the replica goes on after it was asked, also when that failed', async () => {
  const { paused } = await replicaAndSession();
  expect((await session.contents(2 ** 30))?.contents?.length).toBeGreaterThanOrEqual(3);
  expect(await paused()).toBe(false);
  const column = `attrelid = 'broken'::regclass AND attname = 'i'`;
  await client.query(
    `CREATE TABLE broken AS SELECT 1 AS i; UPDATE pg_attribute SET atttypid = 0 WHERE ${column}`,
  );
  await expect(session.contents(2 ** 30)).rejects.toThrow(/type/);
  expect(await paused()).toBe(false);
  await client.query(`UPDATE pg_attribute SET atttypid = 23 WHERE ${column}; DROP TABLE broken`);
});

test('whom somebody ended by force leaves a replica standing, and the next one makes it go on', async () => {
  const { replica, paused, open } = await replicaAndSession();
  const other = await primary.connect();
  // Replayed, it stops whoever reads the table on the replica.
  await other.query('BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE');
  await client.query(`SELECT pg_logical_emit_message(true, 'test', 'sent with what came before')`);
  const asked = open().then(async another => {
    await using mine = another;
    return await mine.contents(2 ** 30);
  });
  await expect
    .poll(
      async () => {
        const { rows } = await replica.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'`,
        );
        return rows.length;
      },
      { timeout: 10_000 },
    )
    .toBe(1);
  expect(await asked).toBeUndefined();
  expect(await paused()).toBe(true);
  await other.query('ROLLBACK');
  await client.query(`SELECT pg_logical_emit_message(true, 'test', 'sent with what came before')`);
  await using again = await open();
  expect(await paused()).toBe(false);
  expect(await again.contents(2 ** 30)).toBeDefined();
});

test('a replica that a person has paused is left alone', async () => {
  const { replica, paused, open } = await replicaAndSession();
  await replica.query('SELECT pg_wal_replay_pause()');
  await using mine = await open();
  expect(await mine.contents(2 ** 30)).toBeUndefined();
  expect(await paused()).toBe(true);
  await replica.query('SELECT pg_wal_replay_resume()');
});

test('without a replica there is a mark only, and the end of the archive is recovered to', async () => {
  await using alone = await openBackupSession(
    scene.shard,
    scene.target(primary),
    AbortSignal.timeout(60_000),
  );
  await write();
  const request = await scene.expectation(alone);
  expect(request).toEqual({ expect: { mark: expect.stringMatching(/^\d{4}-.*Z_[0-9a-f-]+@/) } });
  const report = await scene.drill(request);
  expect(report).toMatchObject({ state: 'Succeeded' });
  expect(passed(report)).toEqual(['Archive', 'Mark', 'Structure', 'Checksums']);
});

test('content that is not the source’s is noticed', async () => {
  const request = await scene.expectation(session);
  const contents = request.expect?.contents?.map(each =>
    each.table === 'public.item' ? { ...each, hash: `${each.hash}1` } : each,
  );
  const report = await scene.drill({
    ...request,
    expect: { ...request.expect, ...(contents && { contents }) },
  });
  expect(failed(report)).toEqual(['Contents']);
  expect(report.failure).toBe('Contents: public.item has other content');
});

test('a mark that is not there is noticed', async () => {
  const mark = await session.mark();
  const later = mark.replace(/^\d{4}/, '9999');
  const report = await scene.drill({ expect: { mark: later } });
  expect(failed(report)).toEqual(['Mark']);
});

test('a subscription that comes back with the data dials nobody', async () => {
  const callers = new Set<string>();
  await using server = createServer(socket => {
    callers.add(socket.remoteAddress ?? '');
    socket.on('error', () => undefined);
    socket.destroy();
  });
  const host = await bridgeAddress();
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = z.object({ port: z.int() }).parse(server.address());
  await client.query(
    `CREATE SUBSCRIPTION moving CONNECTION 'host=${host} port=${port}' PUBLICATION none WITH (connect = false)`,
  );
  await client.query('ALTER SUBSCRIPTION moving ENABLE');
  await expect.poll(() => [...callers], { timeout: 20_000 }).toEqual([primary.address]);
  expect((await scene.drill(await scene.expectation(session))).state).toBe('Succeeded');
  expect([...callers]).toEqual([primary.address]);
  await client.query('ALTER SUBSCRIPTION moving DISABLE');
});

test('a drill that is stopped says so', async () => {
  const task = await scene.beginDrill({ target: 'FF/0' });
  await task.logged('restore command end: completed');
  await task.stop();
  const { code, report } = await task.ended();
  expect(code).toBe(1);
  expect(report).toMatchObject({ state: 'Failed', failure: 'it was stopped before it had ended' });
});

test('a target that the archive does not reach is told', async () => {
  // It waits for the archive until then, and fetches before, which takes seconds on a busy machine.
  const report = await scene.drill({ target: 'FF/0', deadlineSeconds: 20 });
  expect(report.failure).toMatch(/^the archive does not reach .* its newest segment is [0-9A-F]{24}$/);
});

/** Damages the archive for as long as `work` takes. */
async function without(key: string, damage: (key: string) => Promise<void>, work: () => Promise<void>) {
  const content = await scene.store.objects.get(key);
  await damage(key);
  try {
    await work();
  } finally {
    await scene.store.objects.put(key, content);
  }
}

test.each([
  ['removed', (key: string) => scene.store.objects.delete(key)],
  ['damaged', (key: string) => scene.store.objects.corrupt(key)],
])('a segment of the log that was %s is noticed, with a target and without', async (_, damage) => {
  const begin = (await archived()).at(-1) ?? '';
  await write();
  await endSegment();
  const victim = (await archived()).find(key => key > begin) ?? '';
  await write();
  const request: Partial<DrillRequest> = await scene.expectation(session);
  await endSegment();
  // The primary's meter would put it back.
  const segment = /\/([0-9A-F]{24})-/.exec(victim)?.[1];
  await primary.shell(`rm /var/lib/postgresql/data/pg_wal/${segment}`);
  await without(victim, damage, async () => {
    const atTarget = await scene.drill(request);
    expect(atTarget.state).toBe('Failed');
    expect(atTarget.failure).toMatch(/^recovering failed: the archive ends before the target is reached/);
    const atEnd = await scene.drill({ expect: { mark: request.expect?.mark ?? '' } });
    expect(failed(atEnd)).toEqual(['Archive', 'Mark']);
    expect(atEnd.failure).toMatch(/^Archive: recovered to .*, but the archive goes on to segment/);
    // Also nobody's mark is needed to see it.
    expect(failed(await scene.drill())).toEqual(['Archive']);
  });
  expect((await scene.drill(request)).state).toBe('Succeeded');
});

test('a flipped bit in an object of the backup is noticed', async () => {
  const objects = await scene.store.objects.list(`${scene.repository.path}/backup/`);
  const [largest] = objects
    .filter(({ key }) => /\/(bundle|pg_data)\//.test(key))
    .toSorted((a, b) => b.bytes - a.bytes);
  const key = largest?.key ?? '';
  await without(
    key,
    victim => scene.store.objects.corrupt(victim),
    async () => {
      const report = await scene.drill();
      expect(report).toMatchObject({ state: 'Failed', steps: [{ name: 'Start' }] });
      expect(report.failure).toMatch(/^restoring failed: \S.{10,}/);
    },
  );
  await without(
    key,
    victim => scene.store.objects.delete(victim),
    async () => {
      const report = await scene.drill();
      expect(report).toMatchObject({
        state: 'Failed',
        failure: expect.stringMatching(/missing|unable to open/),
      });
    },
  );
});

test('wrong passphrase, wrong credentials, wrong bucket: each with its cause', async () => {
  const cause = async (change: Parameters<typeof scene.files>[0]) =>
    (await scene.drill({}, scene.files(change))).failure;
  const { s3 } = scene.repository;
  expect(await cause({ passphrase: 'another' })).toMatch(
    /^the repository cannot be read: it was not encrypted with this passphrase/,
  );
  expect(await cause({ s3: { ...s3, secretAccessKey: 'another' } })).toMatch(/SignatureDoesNotMatch/);
  expect(await cause({ s3: { ...s3, bucket: 'another' } })).toMatch(/NoSuchBucket|bucket/);
});

test('pages that are damaged in the source are noticed by the backup and by the drill', async () => {
  await client.query('CREATE TABLE rotten AS SELECT i FROM generate_series(1, 5000) AS i; CHECKPOINT');
  const { rows } = await client.query<{ path: string }>(`SELECT pg_relation_filepath('rotten') AS path`);
  await primary.shell(
    `printf X | dd of=/var/lib/postgresql/data/${rows[0]?.path} bs=1 seek=12000 conv=notrunc 2>/dev/null`,
  );
  const backup = await scene.backup({ primary: primary.name });
  expect(backup).toMatchObject({
    state: 'Failed',
    failure: expect.stringMatching(/holds pages with a wrong checksum$/),
  });
  expect(backup.records?.at(-1)).toMatchObject({ error: true });
  expect(failed(await scene.drill())).toEqual(['Structure', 'Checksums']);
});
