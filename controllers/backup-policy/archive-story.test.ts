/** The stories of old rows that leave a fleet, as transcripts and in words: when, which of them not, and what is said of it. */
import { expect, test, vi } from 'vitest';
import { BackupWorld, policySpec } from '#controllers/testing/backup-world.ts';
import type { ColdTier } from '#crds/api/backup/cold-tier.ts';
import { annotations, apiVersion } from '#crds/api/names.ts';

// Hours pass in them, second by second.
vi.setConfig({ testTimeout: 30_000 });

const archive = {
  schedule: '30 11 * * *',
  tables: [{ name: 'messages', column: 'created_at', olderThan: '366d' }],
  deleteAfter: true,
};

const told = (world: BackupWorld) =>
  `${world.transcript.filter(line => /archive|Archive/.test(line)).join('\n')}\n`;
const cold = (world: BackupWorld, shard: string): ColdTier | undefined => world.backup(shard)?.coldTier;
const runs = (world: BackupWorld) =>
  world.transcript.filter(line => line.includes('  archive social-')).length;

/** Of three shards, with a run of the archive at 11:30; the clock stands at 10:07. Backed up already. */
async function fleet(over: object = {}, policy: object = {}): Promise<BackupWorld> {
  const world = new BackupWorld({ shards: 3, policy: { archive: { ...archive, ...over }, ...policy } });
  for (let i = 0; i < 3; i++) world.oldRows.set(`social-${i}`, 100 + i);
  await world.until(() => world.status('nightly').phase === 'Protected');
  return world;
}

async function ask(world: BackupWorld): Promise<void> {
  world.annotate(world.policies, 'nightly', annotations.archiveNow, 'now');
  await world.run(3);
}

test('old rows go at the moment of the schedule, a few shards at a time, and once a day', async () => {
  const world = await fleet();
  expect(world.condition('Archived')).toBe(
    'Unknown FirstRun: the first run is still to come, or under way, on social-0; social-1; social-2',
  );
  expect(runs(world)).toBe(0);
  await world.until(() => world.condition('Archived')?.startsWith('True') === true, 5);
  expect([...world.archivedRows]).toEqual([
    ['social-0', 100],
    ['social-1', 101],
    ['social-2', 102],
  ]);
  expect(cold(world, 'social-1')?.last).toMatchObject({
    succeeded: true,
    rows: 101,
    files: 1,
    bytes: 6464,
    deleted: 101,
    tables: [{ table: 'messages', rows: 101 }],
  });
  expect(world.status('nightly').archive).toEqual({ running: 0, failed: 0, waiting: 0 });
  for (let hour = 0; hour < 20; hour++) await world.second(3600);
  expect(runs(world)).toBe(3);
  await expect(told(world)).toMatchFileSnapshot('testdata/old-rows-by-schedule.txt');
});

test('it is asked for by hand: of all, and of one shard', async () => {
  const world = await fleet();
  await ask(world);
  await world.until(() => world.condition('Archived')?.startsWith('True') === true);
  world.oldRows.set('social-1', 7);
  world.annotate(world.shards, 'social-1', annotations.archiveNow, 'now');
  await world.until(() => world.archivedRows.get('social-1') === 108);
  await world.run(10);
  expect(runs(world)).toBe(4);
  expect(cold(world, 'social-1')?.asked).toBeUndefined();
  expect(world.policies.need('nightly').metadata.annotations).toEqual({});
  expect(world.shards.need('social-1').metadata.annotations).toEqual({});
});

test('a run that fails is told of with its remedy, and tried again later each time', async () => {
  const world = await fleet();
  world.ends = job => (job === 'social-1-archive' ? 'fails' : 'ok');
  await ask(world);
  await world.until(() => cold(world, 'social-1')?.attempts === 3, 5);
  expect(world.condition('Archived')).toBe(
    'False ObjectStore: social-1: HTTP 503. Check that the object store answers.',
  );
  expect(world.condition('Stalled')).toBe('False NotStalled: ');
  expect(world.status('nightly')).toMatchObject({ phase: 'Protected', archive: { failed: 1 } });
  world.ends = () => 'ok';
  await world.until(() => world.condition('Archived')?.startsWith('True') === true, 5);
  expect(cold(world, 'social-1')?.attempts).toBeUndefined();
  await expect(told(world)).toMatchFileSnapshot('testdata/old-rows-that-fail.txt');
});

test('what only a person can put right makes the policy Stalled, and backups go on', async () => {
  const world = await fleet();
  world.archiveFailure = {
    code: 'UnsuitableTable',
    message: 'there is no table public.messages',
    remedy: 'Correct the name in archive.tables of the BackupPolicy.',
  };
  world.ends = job => (job.endsWith('-archive') ? 'fails' : 'ok');
  await ask(world);
  const stalled =
    'True UnsuitableTable: spec.archive on social-0, social-1, social-2: there is no table public.messages. ' +
    'Correct the name in archive.tables of the BackupPolicy.';
  await world.until(() => world.condition('Stalled') === stalled, 5);
  world.annotate(world.policies, 'nightly', annotations.backupNow, 'full');
  await world.until(() => world.repository.get('social-2')?.length === 2);
  world.ends = () => 'ok';
  await ask(world);
  await world.until(() => world.condition('Archived')?.startsWith('True') === true, 5);
  await world.run(1);
  expect(world.condition('Stalled')).toBe('False NotStalled: ');
});

test('a Job that ends without a word, and one that somebody removes, are made again', async () => {
  const world = await fleet();
  world.ends = job => (job.endsWith('-archive') ? 'silent' : 'ok');
  await ask(world);
  await world.until(() => cold(world, 'social-0')?.attempts === 1);
  expect(cold(world, 'social-0')?.last?.failure).toEqual({
    code: 'JobFailed',
    message: 'BackoffLimitExceeded: its pod failed',
  });
  world.ends = job => (job.endsWith('-archive') ? 'stuck' : 'ok');
  await world.until(() => cold(world, 'social-0')?.running !== undefined, 5);
  world.jobs.remove('social-0-archive');
  world.ends = () => 'ok';
  await world.until(() => cold(world, 'social-0')?.attempts === 2);
  expect(cold(world, 'social-0')?.last?.failure?.message).toBe('its Job was removed before it had ended');
  await world.until(() => world.condition('Archived')?.startsWith('True') === true, 5);
});

function migrate(world: BackupWorld, phase: string): void {
  world.migrations.put({
    apiVersion,
    kind: 'ShardMigration',
    metadata: { name: 'split', namespace: 'default' },
    spec: { cluster: { name: 'social' }, split: { shard: 'social-1' } },
    status: { phase },
  });
}

test('a shard that a migration has a part in is left alone until that has ended, and told of after a day', async () => {
  const world = await fleet();
  migrate(world, 'BulkCopy');
  await ask(world);
  await world.until(() => world.archivedRows.has('social-2'));
  await world.run(30);
  expect([...world.archivedRows.keys()]).toEqual(['social-0', 'social-2']);
  expect(world.condition('Archived')).toMatch(/^Unknown FirstRun: .* on social-1$/);
  await world.until(() => world.condition('Archived')?.startsWith('False') === true, 60);
  expect(world.condition('Archived')).toBe('False Late: social-1: ShardMigration split has a part in it');
  migrate(world, 'Completed');
  await world.until(() => world.archivedRows.has('social-1'));
  await world.until(() => world.condition('Archived')?.startsWith('True') === true);
});

test('a run that meets a migration has not failed; it goes on afterwards', async () => {
  const world = await fleet();
  world.archiveFailure = {
    code: 'Migrating',
    message: 'ShardMigration split has a part in this shard',
    remedy: 'None is needed: it goes on after the ShardMigration.',
  };
  world.ends = job => (job === 'social-1-archive' ? 'fails' : 'ok');
  await ask(world);
  await world.until(() => cold(world, 'social-1')?.attempts === 1);
  expect(world.condition('Archived')).toMatch(/^Unknown FirstRun/);
  expect(told(world)).not.toContain('Warning');
  world.ends = () => 'ok';
  await world.until(() => world.condition('Archived')?.startsWith('True') === true, 5);
});

test.each<[string, (world: BackupWorld) => void]>([
  ['paused', world => world.annotate(world.shards, 'social-1', annotations.paused, 'true')],
  ['being rebuilt', world => world.annotate(world.shards, 'social-1', annotations.rebuild, 'latest')],
  [
    'readonly',
    world => {
      const raw = world.shards.need('social-1');
      world.shards.put({ ...raw, spec: { ...Object(raw['spec']), state: 'readonly' } });
    },
  ],
  [
    'without a primary',
    world => {
      const raw = world.shards.need('social-1');
      const { primary: _, ...status } = Object(raw['status']);
      world.shards.put({ ...raw, status });
    },
  ],
])('a shard that is %s is left alone', async (_, change) => {
  const world = await fleet();
  change(world);
  await ask(world);
  await world.until(() => world.archivedRows.has('social-2'));
  await world.run(60);
  expect([...world.archivedRows.keys()]).toEqual(['social-0', 'social-2']);
});

test('a destination with a passphrase is refused, and nothing leaves the database', async () => {
  const [destination] = policySpec.destinations;
  const world = new BackupWorld({
    policy: { archive, destinations: [{ ...destination, encryption: { secretName: 'key' } }] },
  });
  world.secret('key', { passphrase: 'secret' });
  await ask(world);
  await world.run(120);
  expect(world.condition('Stalled')).toContain(
    'True ArchiveNotEncrypted: files of spec.archive are not encrypted',
  );
  expect(world.condition('Archived')).toContain('False ArchiveNotEncrypted');
  expect(runs(world)).toBe(0);
  // Backups are made all the same.
  expect(world.repository.size).toBe(2);
});

test('a backup does not wait for the archive, and the archive waits for backups', async () => {
  const world = await fleet({}, { schedule: { ...policySpec.schedule, maxConcurrent: 1 } });
  world.ends = job => (job.endsWith('-archive') ? 'stuck' : 'ok');
  await ask(world);
  expect(world.jobs.all().filter(({ metadata }) => metadata.name.endsWith('-archive'))).toHaveLength(1);
  world.annotate(world.policies, 'nightly', annotations.backupNow, 'full');
  await world.until(() => [...world.repository.values()].every(records => records.length === 2));
  world.ends = () => 'ok';
  await world.until(() => world.condition('Archived')?.startsWith('True') === true, 5);
});

test('taken out of the policy, a run under way is ended and the status forgets it', async () => {
  const world = await fleet();
  world.ends = job => (job.endsWith('-archive') ? 'stuck' : 'ok');
  await ask(world);
  await world.until(() => cold(world, 'social-0')?.running !== undefined);
  const { archive: _, ...rest } = Object(world.policies.need('nightly')['spec']);
  const raw = world.policies.need('nightly');
  world.policies.put({ ...raw, metadata: { ...raw.metadata, generation: 2 }, spec: rest });
  await world.run(3);
  expect(world.jobs.all().filter(({ metadata }) => metadata.name.endsWith('-archive'))).toEqual([]);
  expect(cold(world, 'social-0')).toBeUndefined();
  expect(world.condition('Archived')).toBeUndefined();
  world.annotate(world.policies, 'nightly', annotations.archiveNow, 'now');
  await world.run(3);
  expect(world.policies.need('nightly').metadata.annotations).toEqual({});
  expect(runs(world)).toBe(2);
});

/** Two runs of every shard: by schedule and by hand, the second of which fails once on one. */
async function life(
  crashAt: number,
  crash: BackupWorld['crash'],
): Promise<{ world: BackupWorld; points: number }> {
  const world = new BackupWorld({
    shards: 3,
    policy: { archive, schedule: { full: '0 2 * * 0', jitter: '0s', maxConcurrent: 2 } },
  });
  await world.until(() => world.status('nightly').phase === 'Protected');
  for (let i = 0; i < 3; i++) world.oldRows.set(`social-${i}`, 10);
  const before = world.points;
  world.crashAt = before + crashAt;
  world.crash = crash;
  await world.until(() => world.condition('Archived')?.startsWith('True') === true, 60);
  await world.run(3);
  for (let i = 0; i < 3; i++) world.oldRows.set(`social-${i}`, 5);
  world.ends = (job, request) => (job === 'social-1-archive' && request.endsWith('-0') ? 'fails' : 'ok');
  world.annotate(world.policies, 'nightly', annotations.archiveNow, 'now');
  await world.until(() => [0, 1, 2].every(i => world.archivedRows.get(`social-${i}`) === 15), 2);
  await world.run(3);
  return { world, points: world.points - before };
}

test.each(['killed', 'refused'] as const)(
  'the operator is %s before any of its writes: each run is made once, and its end is noted once',
  { timeout: 120_000 },
  async crash => {
    const whole = await life(Number.POSITIVE_INFINITY, crash);
    const ends = ({ world }: typeof whole) => ({
      runs: new Set(world.transcript.flatMap(line => /archive (social-\d): (\S+)/.exec(line)?.[0] ?? []))
        .size,
      rows: Object.fromEntries(world.archivedRows),
      last: [0, 1, 2].map(i => cold(world, `social-${i}`)?.last?.rows),
      condition: world.condition('Archived'),
    });
    expect(ends(whole)).toMatchObject({ runs: 7, last: [5, 5, 5] });
    expect(whole.points).toBeGreaterThan(25);
    for (let point = 0; point < whole.points; point += crash === 'killed' ? 1 : 2) {
      expect(ends(await life(point, crash)), `${crash} at point ${point}`).toEqual(ends(whole));
    }
  },
);
