import { describe, expect, test } from 'vitest';
import { clusterWith, condition, settled } from '#controllers/testing/objects.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { ConfigMap } from '#kernel/resources.ts';
import { type ClusterAction, type ClusterPlan, decideCluster } from './decide.ts';
import type { ClusterFacts } from './facts.ts';
import { type MapFacts, readMap } from './map-config-maps.ts';

const settings = { defaultImage: 'postgres:17', secretsVersion: 'v1' };
const nowhere: MapFacts = { kind: 'Absent', strayPages: [] };

function facts(cluster: ShardCluster, over: Partial<ClusterFacts> = {}): ClusterFacts {
  return {
    cluster,
    shards: [],
    map: nowhere,
    nodesByRegion: new Map([
      ['eu-west', 1],
      ['us-east', 1],
    ]),
    storageClassExists: true,
    schema: { kind: 'None' },
    missingSecrets: [],
    ...over,
  };
}

const words = (action: ClusterAction): string => `${action.kind} ${action.object.metadata.name}`;

/** The facts once the plan is carried out, every shard Ready. */
function after(before: ClusterFacts, plan: ClusterPlan): ClusterFacts {
  const pages = new Map<string, ConfigMap>();
  if (before.map.kind === 'Present') {
    for (const object of before.map.stored.objects.values()) pages.set(object.metadata.name, object);
  }
  const shards = new Map(before.shards.map(shard => [shard.metadata.name, shard]));
  for (const action of plan.actions) {
    if (action.kind === 'ApplyShard') {
      const { object } = action;
      const metadata = { ...object.metadata, generation: 1, uid: `uid-${object.metadata.name}` };
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a status as tests need it
      shards.set(object.metadata.name, { ...object, metadata, status: settled } as unknown as Shard);
    } else {
      const { object } = action;
      pages.set(object.metadata.name, { ...object, metadata: { ...object.metadata, resourceVersion: '1' } });
    }
  }
  return { ...before, map: readMap([...pages.values()]), shards: [...shards.values()] };
}

function decide(input: ClusterFacts): ClusterPlan {
  return decideCluster(input, settings);
}

/** A fleet that is up. */
function running(spec: object = {}): ClusterFacts {
  const first = facts(clusterWith(spec));
  return after(first, decide(first));
}

const withSpec = (before: ClusterFacts, spec: object): ClusterFacts => ({
  ...before,
  cluster: clusterWith(spec),
});

describe('a new fleet', () => {
  test('the map comes before the shards, its header last', () => {
    expect(decide(facts(clusterWith({ shards: 2 }))).actions.map(words)).toEqual([
      'CreatePage social-map-shards-0',
      'CreatePage social-map-slots-0',
      'CreatePage social-map',
      'ApplyShard social-0',
      'ApplyShard social-1',
    ]);
  });

  test('once it is there, nothing is left to do', () => {
    expect(decide(running())).toMatchObject({ actions: [], problem: undefined, waiting: 0 });
  });

  test('shards are placed by weight, and each knows what it owns', () => {
    const regions = [
      { name: 'eu-west', weight: 3 },
      { name: 'us-east', weight: 1 },
    ];
    const { shards } = running({ placement: { regions } });
    expect(shards.filter(shard => shard.spec.region === 'eu-west')).toHaveLength(3);
    expect(shards.map(shard => shard.spec.sharding.slotCount)).toEqual([256, 256, 256, 256]);
    expect(shards[0]?.spec.image).toBe('postgres:17');
  });

  test('spread over regions, a shard has no home', () => {
    const placement = { regions: [{ name: 'eu-west' }, { name: 'us-east' }], spread: 'region' };
    const [shard] = running({ placement }).shards;
    expect(shard?.spec.region).toBeUndefined();
    expect(shard?.spec.spreadRegions).toEqual(['eu-west', 'us-east']);
  });

  test.each([
    ['range', { algorithm: 'range', range: { splitPoints: ['100', '200', '300'] } }, 'keys'],
    [
      'directory',
      { algorithm: 'directory', directory: { defaultShard: 1, entries: [{ key: '7', shard: 2 }] } },
      'directory',
    ],
    ['geo', { algorithm: 'geo', slots: 256, geo: { column: 'region' } }, 'regions'],
  ])('%s', (_name, sharding, kind) => {
    const regions = [{ name: 'eu-west' }, { name: 'us-east' }];
    const { shards } = running({ sharding, placement: { regions } });
    expect(shards.map(shard => shard.spec.sharding.partition.kind)).toEqual([kind, kind, kind, kind]);
  });

  test('what contradicts itself is a problem, not an exception', () => {
    const sharding = { algorithm: 'range', range: { splitPoints: ['300', '200', '100'] } };
    expect(decide(facts(clusterWith({ sharding }))).problem).toMatchObject({ reason: 'InvalidSharding' });
  });
});

describe('a running fleet', () => {
  test('shards that are added own nothing and change the map by one epoch', () => {
    const plan = decide(withSpec(running(), { shards: 6 }));
    expect(plan.actions.map(words)).toEqual([
      'ReplacePage social-map-shards-0',
      'ApplyShard social-4',
      'ApplyShard social-5',
    ]);
    expect(plan.map?.epoch).toBe(2);
  });

  test('one kind of change at a time, so that nobody reads half of an epoch', () => {
    const tables = [
      { name: 'users', key: 'id' },
      { name: 'more', key: 'user_id' },
    ];
    let state = withSpec(running(), {
      shards: 5,
      shardStates: [{ shard: 0, state: 'readonly' }],
      sharding: { algorithm: 'hash', slots: 1024, tables },
    });
    const pages: string[][] = [];
    for (let plan = decide(state); plan.actions.length > 0; plan = decide(state)) {
      pages.push(plan.actions.filter(action => action.kind !== 'ApplyShard').map(words));
      state = after(state, plan);
    }
    expect(pages.filter(each => each.length > 0)).toEqual([
      ['ReplacePage social-map-shards-0'],
      ['ReplacePage social-map-shards-0'],
      ['ReplacePage social-map'],
    ]);
    expect(state.map).toMatchObject({ stored: { map: { epoch: 4 } } });
    expect(state.shards.map(shard => shard.spec.state)).toEqual([
      'readonly',
      'active',
      'active',
      'active',
      'active',
    ]);
  });

  test('the assignment is never looked at again', () => {
    const sharding = {
      algorithm: 'hash',
      slots: 1024,
      assignment: { strategy: 'ring' },
      tables: [{ name: 'users', key: 'id' }],
    };
    expect(decide(withSpec(running(), { sharding })).actions).toEqual([]);
  });

  test('a change that restarts members goes to one shard at a time', () => {
    let state = withSpec(running(), {
      engine: { type: 'postgresql', version: '17', database: 'social', image: 'postgres:18' },
    });
    const turns: string[] = [];
    for (let plan = decide(state); plan.actions.length > 0; plan = decide(state)) {
      turns.push(plan.actions.map(words).join());
      state = after(state, plan);
    }
    expect(turns).toEqual([0, 1, 2, 3].map(i => `ApplyShard social-${i}`));
  });

  test('also when another change makes every shard busy at the same time', () => {
    const state = running();
    const engine = { type: 'postgresql', version: '17', database: 'social', image: 'postgres:18' };
    const both = { ...withSpec(state, { engine, access: { stableLogin: true } }) };
    const first = decide(both);
    expect(first.actions).toHaveLength(4);
    // The API server has them; no shard has looked at its new spec yet.
    const busy = after(both, first).shards.map(
      (shard): Shard => ({
        ...shard,
        metadata: { ...shard.metadata, generation: 2 },
      }),
    );
    expect(busy.filter(shard => shard.spec.image === 'postgres:18')).toHaveLength(1);
    expect(decide({ ...both, shards: busy })).toMatchObject({ actions: [], waiting: 3 });
  });

  test('an unwell shard takes up the turn, and gets what may heal it at once', () => {
    const state = running();
    const unwell = { ...settled, conditions: [condition('Ready', 'False')] };
    const shards = state.shards.map(
      (shard, i): Shard =>
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a status as tests need it
        i === 2 ? ({ ...shard, status: unwell } as unknown as Shard) : shard,
    );
    const plan = decide({ ...withSpec(state, { members: 3 }), shards });
    expect(plan.actions.map(words)).toEqual(['ApplyShard social-2']);
    expect(plan.waiting).toBe(3);
  });

  test('a change that restarts nothing reaches all at once', () => {
    const plan = decide({
      ...running(),
      schema: { kind: 'Present', hash: 'h' },
      cluster: clusterWith({ schema: { configMaps: [{ name: 'sql' }] } }),
    });
    expect(plan.actions).toHaveLength(4);
  });

  test('a Shard that is on its way out is left alone until it is gone', () => {
    const state = running();
    const shards = state.shards.map((shard, i) =>
      i === 0
        ? { ...shard, metadata: { ...shard.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }
        : shard,
    );
    expect(
      decide({ ...withSpec(state, { access: { stableLogin: true } }), shards }).actions.map(words),
    ).not.toContain('ApplyShard social-0');
  });
});

describe('what only a person can put right', () => {
  const cases: [what: string, facts: () => ClusterFacts, reason: string, says: string][] = [
    ['fewer shards', () => withSpec(running(), { shards: 2 }), 'ShardsCannotShrink', 'set spec.shards to 4'],
    [
      'a state for no shard',
      () => withSpec(running(), { shardStates: [{ shard: 9, state: 'readonly' }] }),
      'NoSuchShard',
      'the highest is 3',
    ],
    [
      'a region without nodes',
      () => facts(clusterWith({ placement: { regions: [{ name: 'mars' }] } })),
      'RegionWithoutNodes',
      'nodes are in: eu-west, us-east',
    ],
    [
      'no such class',
      () =>
        facts(clusterWith({ storage: { size: '1Gi', storageClassName: 'x' } }), {
          storageClassExists: false,
        }),
      'NoSuchStorageClass',
      'StorageClass x',
    ],
    [
      'no schema',
      () => facts(clusterWith(), { schema: { kind: 'Missing', message: 'no ConfigMap' } }),
      'SchemaMissing',
      'no ConfigMap',
    ],
    [
      'recovery',
      () => facts(clusterWith({ bootstrap: { recovery: { policy: 'p', cluster: 'c' } } })),
      'NotYetSupported',
      'without it',
    ],
    ['a map that is gone, by its shards', () => ({ ...running(), map: nowhere }), 'MapLost', 'restore it'],
    [
      'a map that is gone, by the status',
      () => facts(clusterWith({}, {}, { map: { epoch: 3, pages: 3 } })),
      'MapLost',
      'restore it',
    ],
    [
      'a damaged map',
      () => ({ ...running(), map: { kind: 'Damaged', message: 'page x is missing', remedy: 'restore it' } }),
      'MapDamaged',
      'page x',
    ],
    [
      'lost passwords',
      () => ({ ...running(), missingSecrets: ['social-internal'] }),
      'SecretLost',
      'Secret social-internal',
    ],
  ];

  test.each(cases)('%s', (_what, make, reason, says) => {
    const plan = decide(make());
    expect(plan.actions).toEqual([]);
    expect(plan.problem?.reason).toBe(reason);
    expect(plan.problem?.message).toContain(says);
  });

  test('a region of weight 0 needs no nodes', () => {
    const regions = [{ name: 'eu-west' }, { name: 'mars', weight: 0 }];
    expect(decide(facts(clusterWith({ placement: { regions } }))).problem).toBeUndefined();
  });

  test('a map that was never finished is begun anew, over what is left of it', () => {
    const first = decide(facts(clusterWith()));
    const stray = first.actions
      .flatMap(action => (action.kind === 'CreatePage' ? [action.object] : []))
      .slice(0, 1);
    const again = decide(facts(clusterWith(), { map: readMap(stray) }));
    expect(again.actions.map(words)).toEqual(first.actions.map(words));
  });
});
