/** What is told when the object store will not have it: each cause in words, no secret among them, and an end once it is put right. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Repository } from '#engines/backup.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { ensureTool } from '#hack/tools.ts';
import { serverIdentity } from './testing/authority.ts';
import { Member } from './testing/member.ts';
import { type ObjectStore, startObjectStore } from './testing/object-store.ts';
import { filesFor, protect, startWriter } from './testing/shard-life.ts';

let image: string;
let program: string;
let store: ObjectStore;

beforeAll(async () => {
  image = await ensurePostgresImage();
  program = await ensureTool('versitygw');
  store = await startObjectStore({ program });
}, 600_000);

afterAll(async () => {
  await store[Symbol.asyncDispose]();
});

const s3 = (change: Partial<Repository['s3']>): Partial<Repository> => ({
  s3: { ...store.repository('', '').s3, ...change },
});

test('wrong settings are each told by their cause, and forgotten once they are right', async () => {
  await using member = await Member.primary({ image });
  const told = async (change: Partial<Repository>, cause: RegExp) => {
    await member.bind(filesFor(store, { path: 'wrong', change }));
    const report = await member.until(({ failure }) => failure !== undefined && cause.test(failure));
    expect(report.continuity).toBe('Unverified');
  };
  await told(s3({ accessKeyId: 'AKWRONG' }), /access key/);
  await told(s3({ secretAccessKey: 'not the secret' }), /403 \(Forbidden\)/);
  await told(s3({ bucket: 'nonesuch' }), /NoSuchBucket/);
  await told(
    s3({ ca: (await serverIdentity({ dns: ['other'], ip: [] })).ca }),
    /^the certificate of .* is not trusted: .*issuer/,
  );
  await told(s3({ endpoint: 'https://nobody.invalid' }), /^cannot connect to nobody\.invalid:443: /);

  await member.bind(filesFor(store, { path: 'wrong' }));
  await member.until(report => report.failure === undefined && report.archivedTo !== undefined);
}, 240_000);

test('an authority that has expired is told as that', async () => {
  await using expired = await startObjectStore({
    program,
    certificateEnds: new Date(Date.now() - 3_600_000),
  });
  await using member = await Member.primary({ image });
  await member.bind(filesFor(expired, { path: 'expired' }));
  const report = await member.until(({ failure }) => failure !== undefined);
  expect(report.failure).toMatch(/^the certificate of .* is not trusted: certificate has expired$/);
}, 240_000);

test('credentials that are revoked under way grow into a late shard with its cause; new ones end it', async () => {
  await using own = await startObjectStore({ program });
  await using member = await Member.primary({ image });
  await protect(member, filesFor(own, { path: 'revoked' }));
  await own.changeCredentials();
  const client = await member.connect();
  await client.query('CREATE TABLE one AS SELECT 1 AS id');
  const late = await member.until(
    ({ rpoSeconds, failure = '' }) => rpoSeconds > 4 && failure.includes('access key'),
    60_000,
  );
  expect(late.continuity).toBe('Verified');
  await member.bind(filesFor(own, { path: 'revoked' }));
  await member.until(({ rpoSeconds, failure }) => rpoSeconds === 0 && failure === undefined, 60_000);
}, 240_000);

test('a full disk of the store is told, however long it lasts; once there is room, all of it is caught up with', async () => {
  await using own = await startObjectStore({ program, disk: { image, megabytes: 48 } });
  await using member = await Member.primary({ image });
  const files = filesFor(own, { path: 'full' });
  await protect(member, files);
  const writer = await startWriter(await member.connect());
  await member.until(({ rpoSeconds }) => rpoSeconds > 0);
  await own.fillDisk();
  const late = await member.until(
    ({ rpoSeconds, failure }) => rpoSeconds > 8 && failure !== undefined,
    120_000,
  );
  expect(late.failure).toMatch(/^\[507\] Insufficient Storage/);
  expect(late.continuity).toBe('Verified');

  await own.makeRoom();
  await member.until(({ rpoSeconds, failure }) => rpoSeconds <= 4 && failure === undefined, 120_000);
  const acknowledged = await writer.stop();
  await member.until(({ rpoSeconds }) => rpoSeconds === 0, 60_000);
  await member.destroy();
  await using back = await Member.restored({ image }, files);
  expect(await back.shell(`psql -XAtqh /run/postgresql -c 'SELECT count(*) FROM written'`)).toBe(
    String(acknowledged.length),
  );
}, 360_000);

test('a full volume of the primary is no good news: what was told before it fell silent is what is lost', async () => {
  await using member = await Member.primary({ image, volumeMegabytes: 192 });
  const files = filesFor(store, { path: 'volume' });
  await protect(member, files);
  const writer = await startWriter(await member.connect(), 5);
  await member.until(({ rpoSeconds }) => rpoSeconds > 0);
  await member.shell(
    'dd if=/dev/zero of=/var/lib/postgresql/fill bs=64k 2>/dev/null; [ -s /var/lib/postgresql/fill ]',
  );
  // Commits end when there is no room for log any more, and with them the server.
  const acknowledged = await writer.ended();
  const last = await member.report();
  await member.destroy();
  await using back = await Member.restored({ image }, files);
  const there = Number(await back.shell(`psql -XAtqh /run/postgresql -c 'SELECT max(id) FROM written'`));
  const promised = acknowledged.filter(
    ({ at }) => at < Date.parse(last?.at ?? '') - (last?.rpoSeconds ?? 0) * 1000,
  );
  expect(promised.length).toBeGreaterThan(10);
  expect(promised.filter(({ id }) => id > there)).toEqual([]);
}, 240_000);

test('another database under the same name is refused: its log would be mixed with the first one’s', async () => {
  const files = filesFor(store, { path: 'twice' });
  {
    await using first = await Member.primary({ image });
    await protect(first, files);
  }
  const before = await store.objects.list('twice/archive/');
  await using second = await Member.primary({ image });
  await second.bind(files);
  const report = await second.until(({ failure }) => failure !== undefined);
  expect(report.failure).toMatch(/do not match the database/);
  expect(report.continuity).toBe('Unverified');
  const client = await second.connect();
  await client.query('CREATE TABLE one AS SELECT 1 AS id');
  await client.query('SELECT pg_switch_wal()');
  await second.until(({ failure = '', rpoSeconds }) => failure !== '' && rpoSeconds > 4);
  expect(await store.objects.list('twice/archive/')).toEqual(before);
}, 240_000);

test('no secret is in a report, a log, an environment or an argument', async () => {
  const passphrase = 'open sesame';
  await using member = await Member.primary({ image });
  await protect(member, filesFor(store, { path: 'secret', change: { passphrase } }));
  const { secretAccessKey } = store.credentials;
  const seen = [
    JSON.stringify(await member.report()),
    await member.logs(),
    await member.shell(
      'cat /tmp/report.json; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr "\\0" " "; true',
    ),
    await member.shell('cat /tmp/archive/* 2>/dev/null; true'),
  ].join('\n');
  expect(seen).toContain('meter.py');
  expect(seen).not.toContain(secretAccessKey);
  expect(seen).not.toContain(passphrase);
  // And what is stored is of use to nobody without it.
  const [segment] = (await store.objects.list('secret/archive/')).filter(({ key }) => key.endsWith('.zst'));
  const magic = Buffer.from(await store.objects.get(segment?.key ?? ''))
    .subarray(0, 8)
    .toString();
  expect(magic).toBe('Salted__');
}, 240_000);
