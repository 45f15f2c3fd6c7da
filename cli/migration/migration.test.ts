import { beforeEach, describe, expect, test } from 'vitest';
import type { ShardMigrationStatus } from '#crds/api/migration/status.ts';
import type { KubeObject } from '#kernel/object.ts';
import { sampleMaps } from '#sharding/testing/fixtures.ts';
import { describeError } from '../errors.ts';
import { FakeCluster } from '../testing/fake-cluster.ts';
import { clusterOf, shardsOf } from '../testing/fleets.ts';
import { moments, splitOf } from '../testing/migrations.ts';

const { even } = sampleMaps();
const startMs = Date.parse('2026-01-02T00:00:00Z');
type Moment = keyof typeof moments;

let cluster: FakeCluster;
beforeEach(() => {
  cluster = new FakeCluster();
  cluster.add(clusterOf(even), ...shardsOf(even));
});

function text(name: string): string {
  return `testdata/${name}.txt`;
}

function present(moment: Moment, spec: object = {}): void {
  cluster.nowMs = startMs + moments[moment].second * 1000;
  cluster.add(splitOf(moments[moment].status, spec));
}

function migration(name = 'split-social-0'): KubeObject | undefined {
  return cluster.objects.find(({ kind, metadata }) => kind === 'ShardMigration' && metadata.name === name);
}

/** From one moment to the next, a second apart for whoever watches. */
function play(story: readonly Moment[]): void {
  const [first = 'pending', ...rest] = story;
  present(first);
  cluster.onSleep = () => {
    const next = rest.shift();
    const found = migration();
    if (next === undefined || found === undefined) return;
    cluster.nowMs = startMs + moments[next].second * 1000;
    found['status'] = moments[next].status;
  };
}

describe('migration watch', () => {
  test('says each change in a line where there is no terminal', async () => {
    play(['pending', 'copying', 'copying', 'waiting', 'kept', 'completed']);
    const { out, code } = await cluster.run('migration', 'watch', 'split-social-0');
    expect(code).toBe(0);
    await expect(out).toMatchFileSnapshot(text('watch-lines'));
  });

  test('draws one picture over the other on a terminal', async () => {
    cluster.columns = 110;
    play(['pending', 'copying', 'waiting', 'kept', 'completed']);
    const { out } = await cluster.run('migration', 'watch', 'split-social-0');
    await expect(out.replaceAll('\u001b', '<ESC>')).toMatchFileSnapshot(text('watch-terminal'));
  });

  test('never lets a line of the picture wrap', async () => {
    cluster.columns = 40;
    play(['copying', 'stalled', 'aborted']);
    const { out } = await cluster.run('migration', 'watch', 'split-social-0');
    const longest = Math.max(...out.split('\n').map(line => Array.from(line).length));
    expect(longest).toBeLessThanOrEqual(40 + '\u001b[10A\r\u001b[J'.length);
    expect(out).toContain('…');
  });

  test('can end with the cutover, and not before', async () => {
    play(['copying', 'waiting', 'kept', 'completed']);
    const { out, code } = await cluster.run('migration', 'watch', 'split-social-0', '--until-cutover');
    expect(out).toContain('VerifyAndCleanup');
    expect(out).not.toContain('Completed');
    expect(code).toBe(0);
  });

  test.each([
    ['aborted', { phase: 'Aborted' }, 3],
    ['rolled back', { phase: 'RolledBack' }, 4],
    ['failed', { phase: 'Failed' }, 1],
  ] as const)('tells by its exit code that it was %s', async (_, status, code) => {
    cluster.add(splitOf(status satisfies ShardMigrationStatus));
    expect((await cluster.run('migration', 'watch', 'split-social-0')).code).toBe(code);
  });

  test('says that the migration was deleted under it', async () => {
    present('copying');
    cluster.onSleep = () => void cluster.objects.splice(0);
    await expect(cluster.run('migration', 'watch', 'split-social-0')).rejects.toThrow(/was deleted/);
  });
});

describe('migration show', () => {
  test.each(Object.keys(moments))('of one that is %s', async name => {
    const moment = Object.keys(moments).find((each): each is Moment => each === name) ?? 'pending';
    present(moment, moment === 'waiting' ? { cutover: { mode: 'Manual' } } : {});
    const { out } = await cluster.run('migration', 'show', 'split-social-0');
    await expect(out).toMatchFileSnapshot(text(`show-${name}`));
  });

  test('as JSON is the object', async () => {
    present('kept');
    const { out } = await cluster.run('migration', 'show', 'split-social-0', '-o', 'json');
    expect(JSON.parse(out)).toMatchObject({
      spec: { split: { into: 2 } },
      status: { cutover: { writeStallMs: 12 } },
    });
  });
});

test('migration list tells each story in a line', async () => {
  cluster.add(
    splitOf(moments.copying.status),
    splitOf(moments.kept.status, { split: { shard: 'social-1', into: 2 } }, 'split-social-1'),
    splitOf({ waitingFor: 'split-social-0' }, {}, 'later'),
  );
  await expect((await cluster.run('migration', 'list')).out).toMatchFileSnapshot(text('list'));
  expect((await cluster.run('migration', 'list', '--cluster', 'chat')).error).toMatch(/^No ShardMigrations/);
});

describe('a migration is steered', () => {
  test('by an approval of its cutover', async () => {
    present('waiting', { cutover: { mode: 'Manual' } });
    const { out } = await cluster.run('migration', 'cutover', 'split-social-0');
    expect(out).toMatch(/will cut over/);
    expect(migration()?.metadata.annotations).toEqual({
      'shardwright.io/cutover': '2026-01-02T00:00:56.000Z',
    });
  });

  test('by the end of the time in which it can be rolled back', async () => {
    present('kept');
    await cluster.run('migration', 'finish', 'split-social-0');
    expect(migration()?.metadata.annotations).toHaveProperty('shardwright.io/finish');
  });

  test.each([
    ['abort', 'copying', { abort: true }, /will be undone/],
    ['abort', 'kept', { abort: true }, /will be rolled back/],
    ['suspend', 'copying', { suspend: true }, /stays where it is/],
    ['resume', 'copying', { suspend: false }, /goes on/],
  ] as const)('%s while it is %s', async (order, moment, spec, says) => {
    present(moment);
    expect((await cluster.run('migration', order, 'split-social-0')).out).toMatch(says);
    expect(migration()?.['spec']).toMatchObject({ ...spec, split: { shard: 'social-0' } });
  });

  test.each([
    ['cutover', 'waiting', /cuts over by itself/, /migration show split-social-0/],
    ['cutover', 'kept', /has cut over already/, /migration show/],
    ['finish', 'copying', /has not cut over yet/, /migration show/],
    ['abort', 'completed', /has ended: Completed/, /kubectl shardwright split/],
    ['suspend', 'aborted', /has ended: Aborted/, /kubectl shardwright split/],
  ] as const)('%s is refused while it is %s', async (order, moment, message, remedy) => {
    present(moment);
    const said = await cluster.run('migration', order, 'split-social-0').then(String, describeError);
    expect(said).toMatch(message);
    expect(said).toMatch(remedy);
  });

  test('only if there is one', async () => {
    await expect(cluster.run('migration', 'abort', 'nope')).rejects.toThrow(/no ShardMigration nope/);
  });
});

describe('a migration is begun', () => {
  test.each([
    [['split', 'social-0', '--into', '3'], { split: { shard: 'social-0', into: 3 } }],
    [['split', 'social-0'], { split: { shard: 'social-0', into: 2 } }],
    [['merge', 'social-1', 'social-2'], { merge: { shards: ['social-1', 'social-2'] } }],
    [
      ['merge', 'social-1', 'social-2', '--into', 'social-2'],
      { merge: { shards: ['social-1', 'social-2'], into: 'social-2' } },
    ],
    [['split', 'social-0', '--at', '40', '80'], { split: { shard: 'social-0', into: 3, at: ['40', '80'] } }],
    [['split', 'social-0', '--at=-5'], { split: { shard: 'social-0', into: 2, at: ['-5'] } }],
    [['move', 'social-1', 'us-east'], { move: { shard: 'social-1', region: 'us-east' } }],
    [
      ['move', 'social-1', '--storage-class', 'fast'],
      { move: { shard: 'social-1', storageClassName: 'fast' } },
    ],
    [
      ['move', 'social-1', 'us-east', '--storage-class', 'fast'],
      { move: { shard: 'social-1', region: 'us-east', storageClassName: 'fast' } },
    ],
    [
      ['slots', 'social-0', 'social-1', '0-9,12'],
      {
        slots: {
          from: 'social-0',
          to: 'social-1',
          ranges: [
            { first: 0, last: 9 },
            { first: 12, last: 12 },
          ],
        },
      },
    ],
    [
      [
        'split',
        'social-0',
        '--manual',
        '--window',
        '* 1-4 * * *',
        '--max-lag',
        '2Mi',
        '--rollback-window',
        '1h',
      ],
      {
        split: { shard: 'social-0', into: 2 },
        cutover: { mode: 'Manual', window: '* 1-4 * * *', maxLag: '2Mi' },
        rollbackWindow: '1h',
      },
    ],
    [
      ['split', 'social-0', '--max-bytes-per-second', '20Mi', '--parallel', '4'],
      { split: { shard: 'social-0', into: 2 }, pace: { maxBytesPerSecond: '20Mi', parallel: 4 } },
    ],
    [
      ['split', 'social-0', '--max-replica-lag', '1Mi', '--max-commit-latency', '50ms'],
      {
        split: { shard: 'social-0', into: 2 },
        pace: { maxReplicaLag: '1Mi', maxCommitLatency: '50ms' },
      },
    ],
    [
      ['split', 'social-0', '--sample', '--ignore', 'A,B'],
      {
        split: { shard: 'social-0', into: 2 },
        verification: { mode: 'Sample' },
        preflight: { ignore: ['A', 'B'] },
      },
    ],
  ])('%j', async (args, spec) => {
    const { out } = await cluster.run(...args);
    const [, name = ''] = /^(\S+): /.exec(out) ?? [];
    expect(out).toContain(`kubectl shardwright migration watch ${name}`);
    expect(migration(name)?.['spec']).toEqual({ cluster: { name: 'social' }, ...spec });
    expect(migration(name)?.metadata.labels).toEqual({ 'shardwright.io/cluster': 'social' });
  });

  test('under a name that is free, or under the one that was asked for', async () => {
    await cluster.run('split', 'social-0');
    await cluster.run('split', 'social-0');
    expect(migration('split-social-0-2')).toBeDefined();
    await expect(cluster.run('split', 'social-0', '--name', 'split-social-0')).rejects.toThrow(/already/);
  });

  test('and followed until writes go to the new owner', async () => {
    const { kept } = moments;
    cluster.onSleep = () => {
      const found = migration();
      if (found !== undefined) found['status'] = kept.status;
    };
    const { out, code } = await cluster.run('split', 'social-0', '--watch');
    expect(out).toContain('VerifyAndCleanup');
    expect(code).toBe(0);
  });

  test('only for show: the plan is printed and nothing stays', async () => {
    cluster.onSleep = () => {
      const found = migration('split-social-0-dry-run');
      expect(found?.['spec']).toMatchObject({ dryRun: true });
      if (found !== undefined) found['status'] = moments.planned.status;
    };
    const { out } = await cluster.run('split', 'social-0', '--dry-run');
    await expect(out).toMatchFileSnapshot(text('dry-run'));
    expect(migration('split-social-0-dry-run')).toBeUndefined();
  });

  test('only for show, with what would stop it', async () => {
    const { planned } = moments;
    const [warning] = planned.status.preflight.findings;
    cluster.onSleep = () => {
      const found = migration('split-social-0-dry-run');
      const findings = [warning, { ...warning, check: 'PrimaryKey', severity: 'error' }];
      if (found !== undefined) found['status'] = { ...planned.status, preflight: { time: '', findings } };
    };
    await expect(cluster.run('split', 'social-0', '--dry-run')).rejects.toThrow(
      /would not begin: PrimaryKey/,
    );
    expect(cluster.lastOutput).toContain('error PrimaryKey');
    await cluster.run('split', 'social-0', '--dry-run', '--ignore', 'PrimaryKey');
  });

  test('and a plan that nobody makes is told, and leaves nothing either', async () => {
    await expect(cluster.run('split', 'social-0', '--dry-run')).rejects.toThrow(/made no plan/);
    expect(migration('split-social-0-dry-run')).toBeUndefined();
  });

  test.each([
    [['split', 'social-9'], /no shard social-9/],
    [['split', 'social-0', '--into', 'two'], /whole number above 0/],
    [['move', 'social-1'], /no place to move social-1 to/],
    [['slots', 'social-0', 'social-1', '9-3'], /no range of slots/],
    [['slots', 'social-0', 'social-1', 'x'], /no range of slots/],
  ])('not with %j', async (args, message) => {
    await expect(cluster.run(...args)).rejects.toThrow(message);
    expect(cluster.objects.filter(({ kind }) => kind === 'ShardMigration')).toEqual([]);
  });
});
