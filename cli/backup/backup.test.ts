import { beforeEach, describe, expect, test } from 'vitest';
import type { ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import type { KubeObject } from '#kernel/object.ts';
import { sampleMaps } from '#sharding/testing/fixtures.ts';
import { describeError } from '../errors.ts';
import { FakeCluster } from '../testing/fake-cluster.ts';
import { clusterOf, shardsOf } from '../testing/fleets.ts';

const { even } = sampleMaps();

const under: ShardBackupStatus = {
  policy: 'nightly',
  since: '2026-01-01T20:00:00Z',
  place: 'here',
  archive: {
    at: '2026-01-01T23:59:58Z',
    rpoSeconds: 2,
    continuity: 'Verified',
    since: '2026-01-01T21:00:00Z',
    settingsVersion: 'here.10',
    timeline: 3,
    objects: 12,
    bytes: 200,
  },
  lastFull: { label: '20260101-210000F', time: '2026-01-01T21:00:00Z' },
  records: [
    {
      label: '20260101-210000F',
      type: 'full',
      started: '2026-01-01T20:59:00Z',
      stopped: '2026-01-01T21:00:00Z',
      databaseBytes: 30_000_000,
      storedBytes: 4_000_000,
      error: false,
    },
    {
      label: '20260101-210000F_20260101-230000I',
      type: 'incremental',
      started: '2026-01-01T22:59:00Z',
      stopped: '2026-01-01T23:00:00Z',
      databaseBytes: 30_000_000,
      storedBytes: 90_000,
      prior: '20260101-210000F',
      error: false,
    },
  ],
};

const condition = (type: string, status: string, message: string) => ({
  type,
  status,
  reason: 'Test',
  message,
  lastTransitionTime: '2026-01-01T22:00:00Z',
});

function policy(): KubeObject {
  return {
    apiVersion: 'shardwright.io/v1alpha1',
    kind: 'BackupPolicy',
    metadata: { name: 'nightly', namespace: 'demo' },
    spec: {
      clusters: { names: ['social'] },
      objectives: { rpo: '10s', rto: '5m' },
      schedule: { full: '0 2 * * 0' },
      destinations: [{ s3: { bucket: 'backups', credentials: { secretName: 's3' } } }],
    },
    status: {
      phase: 'Protected',
      shards: 2,
      achieved: { rpoSeconds: 2.4, rpoShard: 'social-0', rpoMedianSeconds: 0, rtoSeconds: 130 },
      lastBackupTime: '2026-01-01T23:00:00Z',
      conditions: [
        condition('RPOMet', 'True', 'no shard would lose more than 10s'),
        condition('RTOMet', 'False', 'social-1: the mark is missing'),
        condition('BackupsCurrent', 'True', '2 shards have their backups'),
      ],
    },
  };
}

let cluster: FakeCluster;
let shards: KubeObject[];
beforeEach(() => {
  cluster = new FakeCluster();
  const namespace = 'demo';
  const map = { ...even, namespace, cluster: 'social' };
  cluster.add(clusterOf(map), policy(), ...shardsOf(map));
  shards = cluster.objects.filter(({ kind }) => kind === 'Shard').slice(0, 2);
  for (const shard of shards) Object.assign(shard, { status: { achievedRpoSeconds: 2.4, backup: under } });
});

function change(shard: number, over: Partial<ShardBackupStatus>): void {
  const object = shards[shard];
  if (object) object['status'] = { achievedRpoSeconds: 2.4, backup: { ...under, ...over } };
}

const names = () => shards.map(({ metadata }) => metadata.name);
const annotationsOf = (kind: string) =>
  cluster.objects.find(each => each.kind === kind)?.metadata.annotations;

describe('backups', () => {
  test('all policies', async () => {
    const { out } = await cluster.run('backups');
    expect(out).toMatch(/^nightly +2 +10s +2\.4s +yes +5m +2\.2m +NO +yes +60m +- +Protected$/m);
  });

  test('one policy with its shards', async () => {
    change(1, {
      running: { request: 'full-1', type: 'full', started: '', percent: 42, bytesPerSecond: 2_097_152 },
    });
    const { out } = await cluster.run('backups', 'nightly');
    const [first, second] = names();
    expect(out).toContain('RTO:     5m: NOT MET, social-1: the mark is missing');
    expect(out).toMatch(new RegExp(`^${first} +2\\.4s +Verified +3h +- +2 +- +- +-$`, 'm'));
    expect(out).toMatch(new RegExp(`^${second} +.* full 42 %, 2\\.0 MiB/s`, 'm'));
  });

  test('the backups of one shard, the newest first', async () => {
    const { out } = await cluster.run('backups', names()[0] ?? '');
    expect(out).toMatch(
      /20260101-230000I +incremental +60m +29 MiB +88 KiB +20260101-210000F\n20260101-210000F +full/,
    );
  });

  test('as JSON', async () => {
    const { out } = await cluster.run('-o', 'json', 'backups', 'nightly');
    expect(JSON.parse(out)).toMatchObject({
      name: 'nightly',
      rpo: '10s',
      shards: [{ policy: 'nightly' }, {}],
    });
  });

  test('a name that nothing bears', async () => {
    const error: unknown = await cluster.run('backups', 'none').catch((caught: unknown) => caught);
    expect(describeError(error)).toContain('neither a BackupPolicy nor a Shard none');
  });
});

describe('backup and drill', () => {
  test('are asked for by an annotation', async () => {
    await cluster.run('backup', 'nightly', '--type', 'full');
    expect(annotationsOf('BackupPolicy')).toMatchObject({ 'shardwright.io/backup-now': 'full' });
    await cluster.run('drill', names()[0] ?? '');
    expect(annotationsOf('Shard')).toHaveProperty(['shardwright.io/drill-now']);
  });

  test('a shard under no policy has nobody to take it up', async () => {
    Object.assign(shards[0] ?? {}, { status: {} });
    const error: unknown = await cluster.run('backup', names()[0] ?? '').catch((caught: unknown) => caught);
    expect(describeError(error)).toContain('is under no BackupPolicy');
  });

  test('a backup is waited for, and its failure is told by the exit code', async () => {
    const name = names()[0] ?? '';
    const asked = { type: 'incremental', time: '2026-01-02T00:00:01Z' } as const;
    const steps = [
      () => {
        delete shards[0]?.metadata.annotations;
        change(0, { asked });
      },
      () =>
        change(0, {
          asked,
          running: { request: 'incremental-1', type: 'incremental', started: '', percent: 50 },
        }),
      () =>
        change(0, {
          asked,
          failed: {
            request: 'incremental-1',
            attempts: 1,
            time: '2026-01-02T00:00:03Z',
            message: 'HTTP 403',
          },
        }),
    ];
    cluster.onSleep = () => steps.shift()?.();
    const { out, code } = await cluster.run('backup', name, '--wait');
    expect(code).toBe(1);
    expect(out.split('\n').map(line => line.replace(/^[\d:]+ /, ''))).toEqual([
      `${name}: an incremental backup will be made`,
      `${name}: waiting`,
      `${name}: 50 %`,
      `${name}: failed: HTTP 403; it will be tried again`,
      '',
    ]);
  });

  test('a drill is waited for, of the sample alone', async () => {
    const [, second = ''] = names();
    const steps = [
      () => {
        const found = cluster.objects.find(({ kind }) => kind === 'BackupPolicy');
        delete found?.metadata.annotations;
        change(1, { drill: { wanted: '2026-01-02T00:00:01Z' } });
      },
      () => change(1, { drill: { wanted: '2026-01-02T00:00:01Z', running: true } }),
      () =>
        change(1, {
          drill: {
            last: {
              request: 'drill-1',
              time: '2026-01-02T00:02:00Z',
              passed: true,
              rtoSeconds: 41.26,
              steps: [
                { name: 'Fetch', seconds: 30 },
                { name: 'Recover', seconds: 11 },
              ],
              checks: [],
            },
          },
        }),
    ];
    cluster.onSleep = () => steps.shift()?.();
    const { out, code } = await cluster.run('drill', 'nightly', '--wait');
    expect(code).toBe(0);
    expect(out.split('\n').map(line => line.replace(/^[\d:]+ /, ''))).toEqual([
      'nightly: a drill will be made',
      `${second}: preparing`,
      `${second}: restoring`,
      `${second}: restored in 41.3s and as it should be (Fetch 30s, Recover 11s)`,
      '',
    ]);
  });
});

/** The policy, which archives old rows from now on. */
function archivesRows(): KubeObject | undefined {
  const found = cluster.objects.find(({ kind }) => kind === 'BackupPolicy');
  Object.assign(Object(found?.['spec']), {
    archive: { tables: [{ name: 'messages', column: 'created_at', olderThan: '366d' }] },
  });
  return found;
}

describe('archive', () => {
  const run = {
    request: 'archive-1',
    time: '2026-01-02T00:00:09Z',
    succeeded: true,
    rows: 1200,
    files: 1,
    bytes: 2_097_152,
    deleted: 1199,
    kept: 1,
    tables: [
      {
        table: 'messages',
        rows: 1200,
        files: 1,
        bytes: 2_097_152,
        deleted: 1199,
        kept: 1,
        upTo: '2025-01-01',
      },
    ],
  };
  test('is shown with the policy and with the shard', async () => {
    archivesRows();
    change(0, {
      coldTier: { served: '2026-01-01T01:00:00Z', last: { ...run, time: '2026-01-01T22:00:00Z' } },
    });
    const { out } = await cluster.run('backups', 'nightly');
    expect(out).toMatch(/^Old rows: +not known yet$/m);
    expect(out).toMatch(new RegExp(`^${names()[0]} .* archived 2h ago$`, 'm'));
    const { out: shard } = await cluster.run('backups', names()[0] ?? '');
    expect(shard).toContain(
      'archived: 1200 rows in 1 file (2.0 MiB), 1199 deleted, 1 left since they had changed, all before 2025-01-01, 2h ago',
    );
  });

  test('of a policy without it is refused with what to write', async () => {
    for (const name of ['nightly', names()[0] ?? '']) {
      const error: unknown = await cluster.run('archive', name).catch((caught: unknown) => caught);
      expect(describeError(error)).toContain('has no spec.archive');
    }
  });

  test('is waited for, and a failure is told by the exit code', async () => {
    const found = archivesRows();
    const asked = '2026-01-02T00:00:01Z';
    const served = { served: '2026-01-01T01:00:00Z' };
    const failure = { code: 'ObjectStore', message: 'HTTP 503. Look at it.' };
    const steps = [
      () => {
        delete found?.metadata.annotations;
        Object.assign(Object(found?.['status']), { archiveAsked: asked });
        change(0, { coldTier: { ...served, running: { request: 'archive-1', started: asked } } });
        change(1, { coldTier: served });
      },
      () => {
        change(0, { coldTier: { served: asked, last: run } });
        change(1, { coldTier: { ...served, attempts: 1, last: { ...run, succeeded: false, failure } } });
      },
    ];
    cluster.onSleep = () => steps.shift()?.();
    const { out, code } = await cluster.run('archive', 'nightly', '--wait');
    expect(code).toBe(1);
    const [first, second] = names();
    expect(out.split('\n').map(line => line.replace(/^[\d:]+ /, ''))).toEqual([
      'nightly: old rows will be archived',
      `${first}: archiving`,
      `${second}: waiting`,
      expect.stringMatching(`^${first}: archived: 1200 rows`),
      expect.stringMatching(`^${second}: failed: HTTP 503. Look at it. .*; it will be tried again$`),
      '',
    ]);
  });
});
