/**
 * The operator is killed before every single write of the main stories, and another one goes on. What must hold at every moment
 * is checked at every write, each backup and drill is made once, and the same end is reached.
 */
import { expect, test } from 'vitest';
import { BackupWorld } from '#controllers/testing/backup-world.ts';
import { annotations } from '#crds/api/names.ts';

/** Everything that a policy does to a fleet, from the first binding to the release. */
async function life(crashAt: number, crash: BackupWorld['crash'] = 'killed'): Promise<BackupWorld> {
  const world = new BackupWorld({ shards: 3, policy: { schedule: { full: '0 2 * * 0', maxConcurrent: 2 } } });
  world.crashAt = crashAt;
  world.crash = crash;
  await world.until(() => world.status('nightly').phase === 'Protected');
  world.annotate(world.policies, 'nightly', annotations.backupNow, 'incremental');
  await world.until(() => [...world.repository.values()].every(records => records.length > 1));
  await world.run(5);
  world.annotate(world.policies, 'nightly', annotations.drillNow, 'yes');
  await world.run(5);
  world.annotate(world.shards, 'social-2', annotations.drillNow, 'yes');
  await world.until(() => world.status('nightly').drills?.passed === 2);
  world.ends = job => (job === 'social-1-backup' ? 'fails' : 'ok');
  world.annotate(world.shards, 'social-1', annotations.backupNow, 'full');
  await world.until(() => world.backup('social-1')?.failed !== undefined);
  world.ends = () => 'ok';
  await world.until(() => world.repository.get('social-1')?.length === 3, 5);
  await world.run(5);
  return world;
}

function end(world: BackupWorld): unknown {
  return {
    made: [...world.repository]
      .map(([shard, records]) => [shard, records.map(({ type }) => type)])
      .toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    told: world.toldOfSecrets(),
    drilled: [0, 1, 2].map(i => world.backup(`social-${i}`)?.drill?.last?.passed),
    phase: world.status('nightly').phase,
    left: world.jobs.all().flatMap(({ metadata }) => (metadata.name.endsWith('drill') ? metadata.name : [])),
  };
}

test('killed at any point, it ends as it would have', { timeout: 120_000 }, async () => {
  const whole = await life(Number.POSITIVE_INFINITY);
  const points = whole.points;
  expect(points).toBeGreaterThan(40);
  expect(end(whole)).toEqual({
    made: [
      ['social-0', ['full', 'incremental']],
      ['social-1', ['full', 'incremental', 'full']],
      ['social-2', ['full', 'incremental']],
    ],
    told: true,
    drilled: [true, undefined, true],
    phase: 'Protected',
    left: [],
  });
  for (let point = 0; point < points; point++) {
    const world = await life(point);
    expect(end(world), `killed at point ${point}`).toEqual(end(whole));
  }
});

async function letGo(crashAt: number): Promise<BackupWorld> {
  const world = new BackupWorld({ shards: 2 });
  await world.until(() => world.status('nightly').phase === 'Protected');
  world.ends = () => 'stuck';
  world.annotate(world.shards, 'social-0', annotations.drillNow, 'yes');
  world.annotate(world.shards, 'social-1', annotations.backupNow, 'full');
  await world.until(() => world.jobs.all().length === 3);
  world.crashAt = world.points + crashAt;
  world.policies.remove('nightly');
  await world.run(10);
  return world;
}

test('any single write that is refused changes nothing either', { timeout: 120_000 }, async () => {
  const whole = await life(Number.POSITIVE_INFINITY);
  for (let point = 0; point < whole.points; point += 2) {
    const world = await life(point, 'refused');
    expect(end(world), `refused at point ${point}`).toEqual(end(whole));
  }
});

test('killed at any point of letting go, nothing stays', { timeout: 60_000 }, async () => {
  for (let point = 0; point < 12; point++) {
    const world = await letGo(point);
    expect([...world.secrets.keys()], `killed at point ${point}`).toEqual(['s3']);
    expect(world.jobs.all()).toEqual([]);
    expect(world.backup('social-0')).toBeUndefined();
    expect(world.backup('social-1')).toBeUndefined();
  }
});
