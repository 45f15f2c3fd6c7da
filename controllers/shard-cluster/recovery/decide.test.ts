import { describe, expect, test } from 'vitest';
import type { RecoveryJob } from '#controllers/recovery-job.ts';
import type { ClusterAction } from '#controllers/shard-cluster/decide.ts';
import { nothingOf } from '#controllers/shard-cluster/partitions.ts';
import { projectShard, shardObject } from '#controllers/shard-cluster/project.ts';
import { recovery, storedShard } from '#controllers/testing/lost-fleet.ts';
import { clusterWith } from '#controllers/testing/objects.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import type { CatalogReport, FoundShard, RecoveryReport, StoredShard } from '#engines/recovery.ts';
import { partitionOf } from '#sharding/owners.ts';
import type { Partition } from '#sharding/partition.ts';
import { decideAfterwards } from './afterwards.ts';
import { AT_ONCE, decideRecovery, type RecoveryPlan } from './decide.ts';
import type { RecoveryFacts } from './facts.ts';

const now = new Date('2026-03-01T12:00:00Z');
const engine = postgresql.recovery!;

function cluster(spec: object = {}): ShardCluster {
  return clusterWith({ shards: 2, bootstrap: { recovery }, ...spec });
}

const stored = (ordinal: number, over: Partial<StoredShard> = {}) => storedShard(ordinal, 1024, over);

function job<R>(name: string, report: R | undefined, over: Partial<RecoveryJob<R>> = {}): RecoveryJob<R> {
  return {
    name,
    uid: `uid-${name}`,
    request: 'first',
    state: 'Running',
    message: undefined,
    report,
    ...over,
  };
}

const words = { request: 'first', at: now.toISOString() } as const;

function catalog(incarnations: CatalogReport['incarnations']): RecoveryJob<CatalogReport> {
  return job(
    'social-catalog-0',
    { kind: 'Catalog', ...words, state: 'Succeeded', incarnations: incarnations ?? [] },
    { state: 'Complete' },
  );
}

function back(name: string, found: Partial<FoundShard>): [string, RecoveryJob<RecoveryReport>] {
  const whole = { generation: 4, readerGeneration: 2, transfers: [], ...found };
  const result = { systemIdentifier: '7', found: whole };
  return [
    name,
    job(
      `${name}-recover`,
      { kind: 'Recovery', ...words, state: 'Succeeded', steps: [], result },
      { state: 'Complete' },
    ),
  ];
}

function decide(over: Partial<RecoveryFacts> = {}, of: ShardCluster = cluster()): RecoveryPlan {
  const { sharding } = of.spec;
  return decideRecovery({
    cluster: of,
    facts: {
      spec: of.spec.bootstrap!.recovery!,
      attempt: 'first',
      problem: undefined,
      sources: [{ index: 0, path: 'prod/default/lost', files: { 'pgbackrest.conf': 'x' } }],
      catalogs: new Map([[0, catalog([{ id: '0123abcd', shards: [stored(0), stored(1)] }])]]),
      recoveries: new Map(),
      claims: new Map(),
      ...over,
    },
    engine,
    context: {
      image: 'postgres:17',
      imagePullPolicy: 'IfNotPresent',
      operator: { namespace: 'shardwright', labels: {} },
    },
    now,
    draft: ({ ordinal, region }) => {
      const entry = {
        name: `social-${ordinal}`,
        ordinal,
        ...(region === undefined ? {} : { region }),
        generation: 1,
        readerGeneration: 1,
        state: 'active',
      } as const;
      const partition = nothingOf(sharding.algorithm, sharding.slots);
      return shardObject(
        of,
        entry,
        projectShard({ cluster: of, partition, defaultImage: 'i', secretsVersion: 'v' }, entry),
      );
    },
  });
}

function said(actions: readonly ClusterAction[]): readonly string[] {
  return actions.flatMap((action): readonly string[] => {
    if (action.kind === 'ApplyForRecovery')
      return action.objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    if (action.kind === 'CreateJob') return [`create ${action.object.metadata.name}`];
    return 'name' in action ? [`${action.kind} ${action.name}`] : [action.kind];
  });
}

const slots = (first: number, last: number): Partition => ({
  kind: 'slots',
  slots: 1024,
  ranges: [{ first, last }],
});

const at = (targetTime: string) => cluster({ bootstrap: { recovery: { ...recovery, targetTime } } });

const shardsSince = (day: string) =>
  [0, 1].map(ordinal => stored(ordinal, { since: `${day}T01:00:00Z`, until: `${day}T20:00:00Z` }));

const owns = (region: string): Partition => ({
  kind: 'regions',
  slots: 256,
  regions: [{ region, ranges: [{ first: 0, last: 255 }] }],
});

describe('one after the other', () => {
  test('first a look into the store', () => {
    const plan = decide({ catalogs: new Map() });
    expect(said(plan.actions)).toEqual([
      'ServiceAccount social-recovery',
      'Role social-recovery',
      'RoleBinding social-recovery',
      'Secret social-recovery-0',
      'create social-catalog-0',
    ]);
    const running = decide({ catalogs: new Map([[0, job<CatalogReport>('social-catalog-0', undefined)]]) });
    expect(running).toMatchObject({ actions: [], progress: 'looking for backups in the object store' });
  });

  test('then a volume for each shard that there was, under the new name', () => {
    const plan = decide();
    expect(said(plan.actions)).toEqual([
      'ServiceAccount social-recovery',
      'Role social-recovery',
      'RoleBinding social-recovery',
      'Secret social-recovery-0',
      'PersistentVolumeClaim data-social-0-0',
      'create social-0-recover',
      'PersistentVolumeClaim data-social-1-0',
      'create social-1-recover',
    ]);
    expect(JSON.stringify(plan.actions)).toContain('prod/default/lost/0123abcd');
    // What was begun is not begun again, and a claim that is there is filled.
    const later = decide({
      recoveries: new Map([['social-0', job<RecoveryReport>('social-0-recover', undefined)]]),
      claims: new Map([
        ['data-social-0-0', { recoveredFor: 'uid-social' }],
        ['data-social-1-0', { recoveredFor: 'uid-social' }],
      ]),
    });
    expect(said(later.actions).slice(4)).toEqual(['create social-1-recover']);
    expect(later.progress).toBe('0 of 2 shards are back, of incarnation 0123abcd');
  });

  test('a few at a time', () => {
    const shards = Array.from({ length: 100 }, (_, ordinal) => stored(ordinal));
    const plan = decide({ catalogs: new Map([[0, catalog([{ id: '0123abcd', shards }])]]) });
    expect(plan.actions.filter(({ kind }) => kind === 'CreateJob')).toHaveLength(AT_ONCE);
  });

  test('at last the map of that time, with generations that the lost fleet never had', () => {
    const plan = decide({
      recoveries: new Map([
        back('social-0', { partition: slots(0, 99), generation: 7 }),
        back('social-1', { partition: slots(100, 1023) }),
      ]),
    });
    expect(plan.map).toMatchObject({
      namespace: 'default',
      cluster: 'social',
      epoch: 1,
      nextOrdinal: 2,
      shards: [
        { name: 'social-0', generation: 8, readerGeneration: 3 },
        { name: 'social-1', generation: 5, readerGeneration: 3 },
      ],
    });
    expect(partitionOf(plan.map!, 0)).toEqual(slots(0, 99));
    expect(plan.databases.get('social-1')).toBe('7');
  });

  test('and what it needed is taken away', () => {
    const jobs = [job('social-catalog-0', undefined), job('social-0-recover', undefined)];
    expect(said(decideAfterwards(cluster(), jobs))).toEqual([
      'DeleteSecret social-recovery-0',
      'DeleteJob social-catalog-0',
      'DeleteJob social-0-recover',
    ]);
    expect(decideAfterwards(cluster(), [])).toEqual([]);
  });
});

describe('what fails says why, and what to do', () => {
  const failed = job<RecoveryReport>(
    'social-1-recover',
    { kind: 'Recovery', ...words, state: 'Failed', steps: [], failure: 'the store is on fire' },
    { state: 'Failed' },
  );
  const recoveries = new Map([back('social-0', { partition: slots(0, 99) }), ['social-1', failed] as const]);

  test('until somebody asks to try again: then what succeeded is not done again', () => {
    expect(decide({ recoveries })).toMatchObject({
      actions: [],
      problem: {
        reason: 'RecoveryFailed',
        message: expect.stringMatching(
          /^Job social-1-recover: the store is on fire\. .*kubectl annotate shardcluster social /,
        ),
      },
    });
    expect(said(decide({ recoveries, attempt: 'second' }).actions)).toEqual(['DeleteJob social-1-recover']);
    const again = decide({ recoveries: new Map([...recoveries].slice(0, 1)), attempt: 'second' });
    expect(said(again.actions).at(-1)).toBe('create social-1-recover');
    expect(JSON.stringify(again.actions)).toContain('second');
  });

  test('a Job that ended without a word', () => {
    const silent = job<RecoveryReport>('social-1-recover', undefined, {
      state: 'Failed',
      message: 'DeadlineExceeded: too long',
    });
    expect(decide({ recoveries: new Map([['social-1', silent]]) }).problem?.message).toContain(
      'DeadlineExceeded',
    );
  });

  const holding = (...shards: StoredShard[]) => new Map([[0, catalog([{ id: '0123abcd', shards }])]]);

  test.each<[string, RecoveryPlan, RegExp]>([
    [
      'nothing is stored',
      decide({ catalogs: new Map([[0, catalog([])]]) }),
      /no backup of ShardCluster lost/,
    ],
    ['too early', decide({}, at('2026-03-01T00:59:59Z')), /too early: .* from 2026-03-01T01:00:00.000Z/],
    [
      'after the end',
      decide({}, at('2026-03-01T11:59:30Z')),
      /after the end of the archive.* leave targetTime out/,
    ],
    ['still to come', decide({}, at('2026-03-01T12:00:01Z')), /still to come/],
    [
      'no home of reference tables',
      decide(
        { catalogs: holding(stored(0, { since: '2026-03-01T05:00:00Z' }), stored(1)) },
        at('2026-03-01T04:00:00Z'),
      ),
      /shard 0, the home/,
    ],
    [
      'sharded in another way',
      decide({
        catalogs: holding(
          stored(0, { about: { ordinal: 0, algorithm: 'hash', keyType: 'text', slots: 1024 } }),
        ),
      }),
      /spec.sharding.keyType is bigint, but the backups of lost-0 are of text/,
    ],
    [
      'the same shard in two destinations',
      decide({
        catalogs: new Map([
          [0, catalog([{ id: '0123abcd', shards: [stored(0)] }])],
          [1, catalog([{ id: '0123abcd', shards: [stored(0)] }])],
        ]),
      }),
      /two destinations hold backups of lost-0/,
    ],
    [
      'slots that nobody has',
      decide({
        recoveries: new Map([
          back('social-0', { partition: slots(0, 99) }),
          back('social-1', { partition: slots(200, 1023) }),
        ]),
      }),
      /slots 100-199 belong to nobody/,
    ],
    [
      'volumes of a fleet of this name',
      decide({ claims: new Map([['data-social-1-1', { recoveredFor: undefined }]]) }),
      /PersistentVolumeClaim data-social-1-1/,
    ],
  ])('%s', (_, plan, message) => {
    expect(plan.actions).toEqual([]);
    expect(plan.map).toBeUndefined();
    expect(plan.problem?.message).toMatch(message);
  });
});

describe('of several incarnations', () => {
  const catalogs = new Map([
    [
      0,
      catalog([
        { id: 'aaaaaaaa', shards: shardsSince('2026-02-01') },
        { id: 'bbbbbbbb', shards: shardsSince('2026-02-20') },
      ]),
    ],
  ]);
  const chosen = (spec: object) =>
    /lost\/([0-9a-z]{8})/.exec(
      JSON.stringify(
        decide({ catalogs }, cluster({ bootstrap: { recovery: { ...recovery, ...spec } } })).actions,
      ),
    )?.[1];

  test('the newest that reaches the time, or the one that is named', () => {
    expect(chosen({})).toBe('bbbbbbbb');
    expect(chosen({ targetTime: '2026-02-01T12:00:00Z' })).toBe('aaaaaaaa');
    expect(chosen({ incarnation: 'aaaaaaaa' })).toBe('aaaaaaaa');
  });
});

test('shards that came later than the time are left out, and their ordinals are not given out again', () => {
  const catalogs = new Map([
    [
      0,
      catalog([
        { id: '0123abcd', shards: [stored(0), stored(1), stored(5, { since: '2026-03-01T09:00:00Z' })] },
      ]),
    ],
  ]);
  const of = cluster({ bootstrap: { recovery: { ...recovery, targetTime: '2026-03-01T08:00:00Z' } } });
  const recoveries = new Map([back('social-0', { partition: slots(0, 1023) }), back('social-1', {})]);
  expect(decide({ catalogs, recoveries }, of).map).toMatchObject({
    nextOrdinal: 6,
    shards: [{ ordinal: 0 }, { ordinal: 1 }],
  });
});

test('regions come from what the backups say', () => {
  const of = cluster({
    sharding: {
      algorithm: 'geo',
      slots: 256,
      geo: { column: 'region' },
      tables: [{ name: 'users', key: 'id' }],
    },
    placement: { regions: [{ name: 'eu' }, { name: 'us' }] },
  });
  const regions = ['eu', 'us'];
  const about = (ordinal: number) => ({
    ordinal,
    region: regions[ordinal]!,
    algorithm: 'geo',
    keyType: 'bigint',
    slots: 256,
  });
  const catalogs = new Map(
    regions.map((_, ordinal) => [
      ordinal,
      catalog([{ id: '0123abcd', shards: [stored(ordinal, { about: about(ordinal) })] }]),
    ]),
  );
  const recoveries = new Map(regions.map((region, i) => back(`social-${i}`, { partition: owns(region) })));
  expect(decide({ catalogs, recoveries }, of).map?.shards.map(({ region }) => region)).toEqual(regions);
});
