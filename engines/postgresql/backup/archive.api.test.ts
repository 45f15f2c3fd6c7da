/** Continuous archiving with real members and a real object store: what the meter says is held against what comes back. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { ensureTool } from '#hack/tools.ts';
import { Member } from './testing/member.ts';
import { type ObjectStore, startObjectStore } from './testing/object-store.ts';
import { type Acknowledged, filesFor, protect, startWriter, storedSegments } from './testing/shard-life.ts';

let image: string;
let store: ObjectStore;

beforeAll(async () => {
  image = await ensurePostgresImage();
  store = await startObjectStore({ program: await ensureTool('versitygw') });
}, 600_000);

afterAll(async () => {
  await store[Symbol.asyncDispose]();
});

const lsn = async (member: Member) => {
  const client = await member.connect();
  const { rows } = await client.query<{ name: string }>(
    'SELECT pg_walfile_name(pg_current_wal_lsn()) AS name',
  );
  return rows[0]!.name;
};
const idsOf = async (member: Member) => {
  const client = await member.connect();
  const { rows } = await client.query<{ id: string }>('SELECT id FROM written ORDER BY id');
  return new Set(rows.map(({ id }) => Number(id)));
};

test('every commit older than the achieved RPO comes back from the store alone', async () => {
  const files = filesFor(store, { path: 'bound' });
  const member = await Member.primary({ image });
  await using _ = member;
  await protect(member, files);

  const writer = await startWriter(await member.connect());
  // Through several segments, and at any moment within one.
  const first = await member.report();
  await member.until(({ objects }) => objects >= (first?.objects ?? 0) + 3, 60_000);
  const report = await member.until(({ rpoSeconds }) => rpoSeconds > 0);
  await member.destroy();
  const acknowledged = await writer.stop();

  await using back = await Member.restored({ image }, files);
  const there = await idsOf(back);
  const safe = (one: Acknowledged) => one.at < Date.parse(report.at) - report.rpoSeconds * 1000;
  expect(acknowledged.filter(safe).length).toBeGreaterThan(10);
  expect(acknowledged.filter(one => safe(one) && !there.has(one.id))).toEqual([]);
  // The bound is worth something: it is within the objective, and what came after it was in danger.
  expect(report.rpoSeconds).toBeLessThanOrEqual(4);
  expect(acknowledged.some(one => !there.has(one.id))).toBe(true);
}, 240_000);

test('an idle shard stores nothing, whatever the server itself writes to its log', async () => {
  // It would analyze the new table, some time: that is a commit. And what the server writes itself may fill a small segment.
  await using member = await Member.primary({
    image,
    walSegmentSizeMB: 16,
    parameters: { autovacuum: 'off' },
  });
  await protect(member, filesFor(store, { path: 'idle' }));
  const client = await member.connect();
  // So does the supervisor, once, as initdb gave the superuser no password.
  const hasPassword = "SELECT rolpassword IS NOT NULL AS yes FROM pg_authid WHERE rolname = 'postgres'";
  const looks = { timeout: 60_000, interval: 200 };
  await expect.poll(async () => (await client.query(hasPassword)).rows[0], looks).toEqual({ yes: true });
  await client.query('CREATE TABLE one AS SELECT 1 AS id');
  const made = Date.now();
  await member.until(({ rpoSeconds, at }) => rpoSeconds === 0 && Date.parse(at) > made);
  const before = await storedSegments(store, 'idle');

  const reports = new Set<string>();
  while (reports.size < 4) {
    await client.query('CHECKPOINT');
    await client.query('SELECT pg_log_standby_snapshot()');
    const report = await member.until(({ at }) => !reports.has(at));
    reports.add(report.at);
    expect(report).toMatchObject({ rpoSeconds: 0, continuity: 'Verified' });
  }
  expect(await storedSegments(store, 'idle')).toEqual(before);
}, 240_000);

test('a store that is down for two minutes is told with its cause; commits grow old, and are caught up with alone', async () => {
  await using own = await startObjectStore({ program: await ensureTool('versitygw') });
  await using member = await Member.primary({ image });
  const files = filesFor(own, { path: 'down' });
  await protect(member, files);
  const writer = await startWriter(await member.connect());
  await member.until(({ rpoSeconds }) => rpoSeconds > 0);

  await own.stop();
  const late = await member.until(
    ({ rpoSeconds, failure }) => rpoSeconds > 4 && failure !== undefined,
    60_000,
  );
  expect(late.failure).toMatch(/^cannot connect to 172\.[\d.]+:\d+: Connection refused$/);
  await member.until(({ rpoSeconds }) => rpoSeconds > 120, 180_000);

  await own.resume();
  const caught = await member.until(
    ({ rpoSeconds, failure }) => rpoSeconds <= 4 && failure === undefined,
    60_000,
  );
  expect(caught.continuity).toBe('Verified');
  const acknowledged = await writer.stop();
  await member.until(({ rpoSeconds }) => rpoSeconds === 0);
  const segments = (await storedSegments(own, 'down')).map(name => Number.parseInt(name.slice(16), 16));
  expect(segments).toEqual(segments.map((_, index) => (segments[0] ?? 0) + index));
  await member.destroy();
  await using back = await Member.restored({ image }, files);
  expect(await idsOf(back)).toEqual(new Set(acknowledged.map(({ id }) => id)));
}, 420_000);

test('a server that is stopped leaves nothing behind that is not archived', async () => {
  await using member = await Member.primary({ image });
  // An objective that does nothing on its own here.
  await protect(member, filesFor(store, { path: 'stopped', rpoSeconds: 3600 }));
  const client = await member.connect();
  await client.query('CREATE TABLE written AS SELECT 1 AS id');
  const segment = await lsn(member);
  expect(await storedSegments(store, 'stopped')).not.toContain(segment);
  await member.stop();
  expect(await storedSegments(store, 'stopped')).toContain(segment);
}, 240_000);

test('a repository comes and goes without a restart, and what it missed meanwhile is mended', async () => {
  const files = filesFor(store, { path: 'binding' });
  await using member = await Member.primary({ image });
  const client = await member.connect();
  const started = async () =>
    (await client.query<{ at: string }>('SELECT pg_postmaster_start_time()::text AS at')).rows[0]?.at;
  const since = await started();
  // Marked as archived while there is nowhere to archive to.
  await client.query('CREATE TABLE early AS SELECT 1 AS id');
  await client.query('SELECT pg_switch_wal()');
  await protect(member, files);

  await member.unbind();
  await client.query('CREATE TABLE meanwhile AS SELECT 1 AS id');
  const missed = await lsn(member);
  await client.query('SELECT pg_switch_wal()');
  await expect
    .poll(() => member.shell('ls /var/lib/postgresql/data/pg_wal/archive_status'))
    .toContain(`${missed}.done`);
  expect(await storedSegments(store, 'binding')).not.toContain(missed);
  await expect.poll(() => member.shell('pgrep -fc "[m]eter.py|[p]gbackrest server" || true')).toBe('0');

  await member.bind(files);
  await expect.poll(() => storedSegments(store, 'binding'), { timeout: 30_000 }).toContain(missed);
  await member.until(({ continuity, rpoSeconds }) => continuity === 'Verified' && rpoSeconds === 0);
  // Another objective is no reason to look at everything anew.
  await member.bind(filesFor(store, { path: 'binding', rpoSeconds: 3600, version: 'v2' }));
  const renewed = await member.until(({ settingsVersion }) => settingsVersion === 'v2');
  expect(renewed.continuity).toBe('Verified');
  expect(await started()).toBe(since);
}, 240_000);
