/** The main stories of a BackupPolicy as transcripts, reviewed as files: what is done and said, in order. */
import { expect, test, vi } from 'vitest';
import { BackupWorld } from '#controllers/testing/backup-world.ts';
import { annotations } from '#crds/api/names.ts';

// Hours pass in them, second by second.
vi.setConfig({ testTimeout: 30_000 });

const file = (name: string) => `testdata/${name}.txt`;
const told = (world: BackupWorld) => `${world.transcript.join('\n')}\n`;
const isProtected = (world: BackupWorld) => () => world.status('nightly').phase === 'Protected';

test('a fleet is bound, archived and backed up at once, then by schedule', async () => {
  const world = new BackupWorld({ shards: 3 });
  await world.until(isProtected(world));
  expect(world.repository.get('social-2')?.map(({ type }) => type)).toEqual(['full']);
  // An hour later, an incremental one each.
  await world.until(() => (world.repository.get('social-2')?.length ?? 0) > 1, 10);
  await world.run(10);
  expect([...world.repository.values()].map(records => records.map(({ type }) => type))).toEqual([
    ['full', 'incremental'],
    ['full', 'incremental'],
    ['full', 'incremental'],
  ]);
  await expect(told(world)).toMatchFileSnapshot(file('bound-and-backed-up'));
});

test('archiving stops, is told of within twice the objective, and catches up alone', async () => {
  const world = new BackupWorld();
  await world.until(isProtected(world));
  const since = world.clock.now().getTime();
  world.meters.set('social-1', { rpoSeconds: 12, failure: 'the store does not answer' });
  await world.until(() => world.condition('RPOMet')?.startsWith('False') === true);
  expect(world.clock.now().getTime() - since).toBeLessThanOrEqual(20_000);
  expect(world.condition('RPOMet')).toContain('social-1: archiving is 12s behind: the store does not answer');
  expect(world.condition('RPOMet')).not.toContain('social-0');
  world.meters.delete('social-1');
  await world.until(() => world.condition('RPOMet')?.startsWith('True') === true);
  await expect(told(world)).toMatchFileSnapshot(file('archiving-stops'));
});

test('a primary that tells nothing any more is no good news', async () => {
  const world = new BackupWorld();
  await world.until(isProtected(world));
  const since = world.clock.now().getTime();
  world.meters.set('social-0', undefined);
  await world.until(() => world.condition('RPOMet')?.startsWith('False') === true);
  expect(world.clock.now().getTime() - since).toBeLessThanOrEqual(20_000);
  expect(world.condition('RPOMet')).toContain('social-0: its primary has told nothing for');
  expect(world.status('nightly').achieved?.rpoShard).toBe('social-0');
});

test('a hole in the archive is closed by a full backup', async () => {
  const world = new BackupWorld();
  await world.until(isProtected(world));
  world.meters.set('social-0', { continuity: 'Broken' });
  await world.until(() => (world.repository.get('social-0')?.length ?? 0) > 1);
  world.meters.delete('social-0');
  await world.until(isProtected(world));
  expect(world.repository.get('social-0')?.map(({ type }) => type)).toEqual(['full', 'full']);
  expect(world.repository.get('social-1')?.map(({ type }) => type)).toEqual(['full']);
  await expect(told(world)).toMatchFileSnapshot(file('a-hole'));
});

test('a backup that fails is tried again later each time, and told of', async () => {
  const world = new BackupWorld({ shards: 1 });
  world.ends = () => 'fails';
  await world.until(() => (world.backup('social-0')?.failed?.attempts ?? 0) === 3, 5);
  expect(world.condition('BackupsCurrent')).toBe('False BackupFailed: social-0: the store said no');
  world.ends = () => 'ok';
  await world.until(isProtected(world));
  expect(world.backup('social-0')?.failed).toBeUndefined();
  await expect(told(world)).toMatchFileSnapshot(file('a-backup-that-fails'));
});

test('a Job without last words, and one that somebody removes, have failed', async () => {
  const world = new BackupWorld({ shards: 1 });
  world.ends = () => 'silent';
  await world.until(() => world.backup('social-0')?.failed !== undefined);
  expect(world.backup('social-0')?.failed?.message).toBe('BackoffLimitExceeded: its pod failed');
  world.ends = () => 'stuck';
  await world.until(() => world.backup('social-0')?.running !== undefined);
  await world.second(5);
  // 50 of 100 bytes, since it began.
  expect(world.backup('social-0')?.running).toMatchObject({
    type: 'full',
    doneBytes: 50,
    totalBytes: 100,
    percent: 50,
    bytesPerSecond: expect.toSatisfy((rate: number) => rate > 0 && rate <= 50),
  });
  world.jobs.remove('social-0-backup');
  await world.until(() => world.backup('social-0')?.failed?.attempts === 2);
  expect(world.backup('social-0')?.failed?.message).toContain('was removed');
});

test('a backup of all, one of one shard, and a drill are asked for by hand', async () => {
  const world = new BackupWorld();
  await world.until(isProtected(world));
  world.annotate(world.policies, 'nightly', annotations.backupNow, 'full');
  await world.until(() => [...world.repository.values()].every(records => records.length === 2));
  await world.run(10);
  world.annotate(world.shards, 'social-1', annotations.backupNow, 'incremental');
  await world.until(() => world.repository.get('social-1')?.length === 3);
  await world.run(10);
  world.annotate(world.policies, 'nightly', annotations.drillNow, 'true');
  await world.until(() => world.backup('social-0')?.drill?.last !== undefined);
  await world.run(30);
  world.annotate(world.shards, 'social-1', annotations.drillNow, 'true');
  await world.until(() => world.backup('social-1')?.drill?.last !== undefined);
  await world.run(60);
  expect(world.policies.need('nightly').metadata.annotations).toEqual({});
  expect(world.shards.need('social-1').metadata.annotations).toEqual({});
  expect(world.repository.get('social-0')?.length).toBe(2);
  expect(world.repository.get('social-1')?.length).toBe(3);
  await expect(told(world)).toMatchFileSnapshot(file('asked-for-by-hand'));
});

test('drills by schedule take turns; one that fails is told of until that shard has passed', async () => {
  const world = new BackupWorld({ shards: 2, policy: { drill: { schedule: '*/10 * * * *', sample: 1 } } });
  await world.until(isProtected(world));
  world.ends = job => (job.endsWith('-drill') ? 'fails' : 'ok');
  await world.until(() => world.condition('RTOMet')?.startsWith('False') === true, 5);
  expect(world.condition('RTOMet')).toBe('False DrillFailed: social-0: mark: the mark is missing');
  expect(world.jobs.get('social-0-drill')).toBeUndefined();
  world.ends = () => 'ok';
  world.rtoSeconds = 301;
  await world.until(() => world.condition('RTOMet')?.startsWith('False TooSlow') === true, 5);
  world.rtoSeconds = 99;
  await world.until(() => world.backup('social-1')?.drill?.last !== undefined, 5);
  await world.until(() => world.condition('RTOMet')?.startsWith('True') === true, 5);
  expect(world.status('nightly').achieved).toMatchObject({ rtoSeconds: 99 });
  await expect(told(world)).toMatchFileSnapshot(file('drills-by-schedule'));
});

test('a shard that does not answer is drilled without a comparison', async () => {
  const world = new BackupWorld({ shards: 1 });
  await world.until(isProtected(world));
  world.unreachable = true;
  world.ends = job => (job.endsWith('-drill') ? 'stuck' : 'ok');
  world.annotate(world.shards, 'social-0', annotations.drillNow, 'now');
  await world.until(() => world.jobs.get('social-0-drill') !== undefined);
  expect(world.jobs.get('social-0-drill')?.metadata.annotations?.['test/expect']).toBe('{}');
  // An orphan: nobody wants it any more.
  world.policies.remove('nightly');
  await world.run(3);
  expect(world.jobs.all()).toEqual([]);
});

test('of two policies the older one has the fleet; when it goes, the other one takes over', async () => {
  const world = new BackupWorld();
  await world.until(isProtected(world));
  world.addPolicy('newer', { schedule: { full: '0 3 * * 0' } });
  await world.run(3);
  expect(world.condition('Stalled', 'newer')).toBe(
    'True UnderAnotherPolicy: ShardCluster social is under BackupPolicy nightly, which is older: ' +
      'take the fleet out of one of the two',
  );
  expect(world.condition('Stalled')).toBe('False NotStalled: ');
  world.policies.remove('nightly');
  await world.until(() => world.status('newer').phase === 'Protected');
  // The place is the same: what is there is known.
  expect(world.repository.get('social-0')?.length).toBe(1);
  world.policies.remove('newer');
  await world.run(5);
  expect([...world.secrets.keys()]).toEqual(['s3']);
  expect(world.backup('social-0')).toBeUndefined();
  await expect(told(world)).toMatchFileSnapshot(file('two-policies'));
});

test('another place knows nothing of the backups before', async () => {
  const world = new BackupWorld({ shards: 1 });
  await world.until(isProtected(world));
  const s3 = { endpoint: 'https://s3.example', bucket: 'elsewhere', credentials: { secretName: 's3' } };
  world.edit('nightly', { destinations: [{ s3 }] });
  await world.second();
  expect(world.condition('RPOMet')).toContain('has not taken up the present settings');
  await world.until(() => world.repository.get('social-0')?.length === 2);
  await world.until(isProtected(world));
});

test('Secrets that are missing or changed', async () => {
  const world = new BackupWorld({ shards: 1 });
  world.secrets.delete('s3');
  await world.run(2);
  expect(world.condition('Stalled')).toBe(
    'True SecretMissing: Secret s3 is missing: make it in namespace default',
  );
  world.secret('s3', { 'access-key-id': 'id' });
  await world.run(2);
  expect(world.condition('Stalled')).toBe(
    'True SecretIncomplete: Secret s3 has no secret-access-key: add it',
  );
  world.secret('s3', { 'access-key-id': 'id', 'secret-access-key': 'one\ntwo' });
  await world.run(2);
  expect(world.condition('Stalled')).toContain(
    'True SecretMalformed: Secret s3: secret-access-key is not one line',
  );
  world.secret('s3', { 'access-key-id': 'id', 'secret-access-key': 'secret' });
  await world.until(isProtected(world));
  world.secret('s3', { 'access-key-id': 'id', 'secret-access-key': 'rotated' });
  await world.run(2);
  const data = world.secrets.get('social-0-backup')?.['data'];
  const text = Buffer.from(String(Reflect.get(Object(data), 'repository')), 'base64').toString();
  expect(text).toContain('rotated');
  expect(world.toldOfSecrets()).toBe(true);
  expect(told(world)).not.toContain('rotated');
});

test('suspended, only what is asked for is made; archiving goes on', async () => {
  const world = new BackupWorld({ shards: 1, policy: { schedule: { full: '*/5 * * * *', suspend: true } } });
  const hour = world.clock.now().getHours();
  await world.run(60);
  await world.until(() => world.clock.now().getHours() !== hour, 5);
  expect(world.repository.size).toBe(0);
  expect(world.condition('RPOMet')).toContain('True');
  world.annotate(world.policies, 'nightly', annotations.backupNow, 'incremental');
  await world.until(() => world.repository.get('social-0')?.length === 1);
  expect(world.repository.get('social-0')?.[0]?.type).toBe('full');
});

test('backups are read from a replica where one is ready', async () => {
  const world = new BackupWorld({ shards: 1 });
  world.ends = () => 'stuck';
  await world.until(() => world.jobs.get('social-0-backup') !== undefined);
  expect(world.jobs.get('social-0-backup')?.metadata.annotations?.['test/source']).toBe('social-0-1');
});

test('a backlog is one backup, however many were missed', async () => {
  const world = new BackupWorld({ shards: 1 });
  await world.until(isProtected(world));
  // The operator is away over a Sunday.
  await world.clock.advance(8 * 24 * 3_600_000);
  world.restart();
  await world.run(120);
  expect(world.repository.get('social-0')?.map(({ type }) => type)).toEqual(['full', 'full']);
});

test('nothing is written while nothing happens', async () => {
  const world = new BackupWorld({ shards: 3, policy: { schedule: { full: '0 2 * * 0' } } });
  await world.until(isProtected(world));
  await world.run(120);
  const before = world.points;
  await world.run(600);
  expect(world.points - before).toBe(0);
});
