/** A primary that is lost before it archived what its standby has: the standby mends the archive, or says that it cannot. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { ensureTool } from '#hack/tools.ts';
import { eventually } from './testing/docker.ts';
import { Member } from './testing/member.ts';
import { type ObjectStore, startObjectStore } from './testing/object-store.ts';
import { filesFor, fullBackup, protect, storedSegments } from './testing/shard-life.ts';

const log = '/var/lib/postgresql/data/pg_wal';

let image: string;
let store: ObjectStore;

beforeAll(async () => {
  image = await ensurePostgresImage();
  store = await startObjectStore({ program: await ensureTool('versitygw') });
}, 600_000);

afterAll(async () => {
  await store[Symbol.asyncDispose]();
});

/** A standby that has three segments, marked as archived, which its primary could not archive before it was lost. */
async function bereaved(files: Readonly<Record<string, string>>) {
  const primary = await Member.primary({ image });
  await using _ = primary;
  await protect(primary, files);
  const standby = await Member.standbyOf(primary);
  await standby.bind(files);
  const client = await primary.connect();
  await client.query('CREATE TABLE written (id int)');
  await store.stop();
  const missing: string[] = [];
  const writtenAt = Date.now();
  for (let id = 1; id <= 3; id++) {
    await client.query('INSERT INTO written VALUES ($1)', [id]);
    const { rows } = await client.query<{ name: string }>(
      'SELECT pg_walfile_name(pg_current_wal_lsn()) AS name, pg_switch_wal()',
    );
    missing.push(rows[0]!.name);
  }
  await client.query('INSERT INTO written VALUES (4)');
  await eventually(async () => {
    const seen = await standby.shell(`psql -XAtqh /run/postgresql -c 'SELECT count(*) FROM written'`);
    const marks = await standby.shell(`ls ${log}/archive_status`);
    return seen === '4' && missing.every(name => marks.includes(`${name}.done`)) ? true : undefined;
  });
  await primary.destroy();
  await store.resume();
  return { standby, missing, writtenAt };
}

test('what only the standby has is archived after the promotion, and the whole comes back', async () => {
  const files = filesFor(store, { path: 'mended' });
  const { standby, missing } = await bereaved(files);
  await using _ = standby;
  const before = await storedSegments(store, 'mended');
  expect(missing.filter(name => before.includes(name))).toEqual([]);

  await standby.promote();
  const report = await standby.until(
    ({ continuity, rpoSeconds }) => continuity === 'Verified' && rpoSeconds === 0,
    60_000,
  );
  expect(report).toMatchObject({ timeline: 2 });
  expect(await storedSegments(store, 'mended')).toEqual(expect.arrayContaining(missing));

  await standby.destroy();
  await using back = await Member.restored({ image }, files);
  expect(await back.shell(`psql -XAtqh /run/postgresql -c 'SELECT count(*) FROM written'`)).toBe('4');
}, 240_000);

test('what nobody has any more is told, with an honest age, until a new backup needs it no more', async () => {
  const { standby, missing, writtenAt } = await bereaved(filesFor(store, { path: 'broken' }));
  await using _ = standby;
  // As if a checkpoint had removed it.
  await standby.shell(`rm ${log}/${missing[1]} ${log}/archive_status/${missing[1]}.done`);
  await standby.promote();
  const broken = await standby.until(({ continuity }) => continuity === 'Broken', 60_000);
  expect(broken.failure).toContain(missing[1]);
  // No younger than what was lost with it; the time of a report is cut to whole seconds.
  expect(Date.parse(broken.at) - broken.rpoSeconds * 1000).toBeLessThan(writtenAt);

  await fullBackup(standby);
  const closed = await standby.until(
    ({ continuity, failure }) => continuity === 'Verified' && failure === undefined,
    60_000,
  );
  expect(closed.timeline).toBe(2);
}, 240_000);

test('a segment that is taken out of the store is put back, while the primary has it', async () => {
  await using member = await Member.primary({ image });
  await protect(member, filesFor(store, { path: 'taken' }));
  const client = await member.connect();
  await client.query('CREATE TABLE written AS SELECT 1 AS id');
  const { rows } = await client.query<{ name: string }>(
    'SELECT pg_walfile_name(pg_current_wal_lsn()) AS name, pg_switch_wal()',
  );
  const name = rows[0]!.name;
  const stored = await eventually(async () =>
    (await store.objects.list('taken/archive/')).find(({ key }) => key.includes(name)),
  );
  await store.objects.delete(stored.key);
  // Looked at anew when the meter starts; otherwise once an hour.
  await member.shell('pkill -TERM -f [m]eter.py');
  await expect.poll(() => storedSegments(store, 'taken'), { timeout: 60_000 }).toContain(name);
  await member.until(({ continuity, rpoSeconds }) => continuity === 'Verified' && rpoSeconds === 0);
}, 240_000);
