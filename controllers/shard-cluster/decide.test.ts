import { describe, expect, test } from 'vitest';
import { type MapFacts, marked, newPages, pageWrites, readMap } from '#controllers/shard-map/config-maps.ts';
import { clusterWith, condition, settled } from '#controllers/testing/objects.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { ConfigMap } from '#kernel/resources.ts';
import { withShardState } from '#sharding/change.ts';
import { ownerOrdinals, partitionOf } from '#sharding/owners.ts';
import { move } from '#sharding/testing/moves.ts';
import { type ClusterAction, type ClusterPlan, decideCluster } from './decide.ts';
import type { ClusterFacts } from './facts.ts';
import { ownerOf } from './project.ts';
import { retiring } from './retire.ts';

const settings = { defaultImage: 'postgres:17', secretsVersion: 'v1' };
const nowhere: MapFacts = { kind: 'Absent', strayPages: [] };

function facts(cluster: ShardCluster, over: Partial<ClusterFacts> = {}): ClusterFacts {
  return {
    cluster,
    shards: [],
    map: nowhere,
    migrations: {
      shards: new Set(),
      emptying: false,
      storageClasses: new Map(),
      uids: new Set(['someone']),
    },
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

function words(action: ClusterAction): string {
  switch (action.kind) {
    case 'ApplyShard':
    case 'DeleteShard':
      return `${action.kind} ${action.object.metadata.name}`;
    case 'PublishMap':
      return ['PublishMap', ...action.retire.map(name => `without ${name}`)].join(' ');
    case 'CreateMap':
    case 'ReleaseMap':
    case 'ApplyForRecovery':
      return action.kind;
    case 'CreateJob':
      return `CreateJob ${action.object.metadata.name}`;
    case 'DeleteJob':
    case 'DeleteSecret':
      return `${action.kind} ${action.name}`;
    default:
      return assertNever(action);
  }
}

/** The facts once the plan is carried out, every shard Ready. */
function after(before: ClusterFacts, plan: ClusterPlan): ClusterFacts {
  const pages = new Map<string, ConfigMap>();
  const store = (object: ConfigMap): unknown => pages.set(object.metadata.name, object);
  if (before.map.kind === 'Present') before.map.stored.objects.values().forEach(store);
  const shards = new Map(before.shards.map(shard => [shard.metadata.name, shard]));
  for (const action of plan.actions) {
    switch (action.kind) {
      case 'CreateMap':
        newPages(action.map, ownerOf(before.cluster)).forEach(store);
        break;
      case 'PublishMap': {
        if (before.map.kind !== 'Present' || !plan.map) throw new Error('no map to change');
        const { created, replaced, header } = pageWrites(before.map.stored, plan.map);
        [...created, ...replaced, ...(header ? [header] : [])].forEach(store);
        break;
      }
      case 'ApplyShard': {
        const { object } = action;
        const metadata = { ...object.metadata, generation: 1, uid: `uid-${object.metadata.name}` };
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a status as tests need it
        shards.set(object.metadata.name, { ...object, metadata, status: settled } as unknown as Shard);
        break;
      }
      case 'ReleaseMap':
      case 'ApplyForRecovery':
      case 'CreateJob':
      case 'DeleteJob':
      case 'DeleteSecret':
        break;
      case 'DeleteShard':
        shards.delete(action.object.metadata.name);
        break;
      default:
        assertNever(action);
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
  test('the map comes before the shards', () => {
    expect(decide(facts(clusterWith({ shards: 2 }))).actions.map(words)).toEqual([
      'CreateMap',
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
    expect(plan.actions.map(words)).toEqual(['PublishMap', 'ApplyShard social-4', 'ApplyShard social-5']);
    expect(plan.map?.epoch).toBe(2);
  });

  test('all that a spec asks of the map is one change', () => {
    const tables = [
      { name: 'users', key: 'id' },
      { name: 'more', key: 'user_id' },
    ];
    const before = withSpec(running(), {
      shards: 5,
      shardStates: [{ shard: 0, state: 'readonly' }],
      sharding: { algorithm: 'hash', slots: 1024, tables },
    });
    const state = after(before, decide(before));
    expect(state.map).toMatchObject({ stored: { map: { epoch: 2, tables, nextOrdinal: 5 } } });
    expect(state.shards.map(shard => shard.spec.state)).toEqual([
      'readonly',
      'active',
      'active',
      'active',
      'active',
    ]);
    expect(decide(state).actions).toEqual([]);
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

  test('a paused shard for which a spec waits holds up nobody else', () => {
    const state = running();
    const annotations = { 'shardwright.io/paused': 'true' };
    const shards = state.shards.map((shard, i) =>
      i === 0 ? { ...shard, metadata: { ...shard.metadata, annotations, generation: 2 } } : shard,
    );
    const plan = decide({ ...withSpec(state, { members: 3 }), shards });
    expect(plan.actions.map(words)).toEqual(['ApplyShard social-1']);
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

const on = (storageClassName: string) => ({ storage: { size: '1Gi', storageClassName } });
const classes = ({ shards }: ClusterFacts) => shards.map(({ spec }) => spec.storage.storageClassName);

describe('a storage class', () => {
  test('that the spec names later is for shards to come, their size for all', () => {
    const state = withSpec(running(on('old')), {
      shards: 5,
      storage: { size: '2Gi', storageClassName: 'new' },
    });
    let later = state;
    for (let plan = decide(state); plan.actions.length > 0; plan = decide(later)) later = after(later, plan);
    expect(classes(later)).toEqual(['old', 'old', 'old', 'old', 'new']);
    expect(new Set(later.shards.map(({ spec }) => spec.storage.size))).toEqual(new Set(['2Gi']));
  });

  test('that the spec names no more stays where it is', () => {
    const state = withSpec(running(on('old')), { storage: { size: '1Gi' } });
    expect(decide(state).actions).toEqual([]);
  });

  test('that a move has chosen is that of the shard which it makes, also when the move is forgotten', () => {
    const { migrations, ...state } = running({ shards: 2, ...on('old') });
    const storageClasses = new Map([
      ['social-2', 'fast'],
      ['social-3', undefined],
    ]);
    const moving = { ...state, cluster: clusterWith({ shards: 4, ...on('old') }) };
    const known = { ...moving, migrations: { ...migrations, storageClasses } };
    const made = after(known, decide(known));
    expect(classes(made)).toEqual(['old', 'old', 'fast', undefined]);
    expect(decide({ ...made, migrations }).actions).toEqual([]);
  });
});

describe('what only a person can put right', () => {
  const cases: [what: string, facts: () => ClusterFacts, reason: string, says: string][] = [
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
    const stray = newPages(first.map!, ownerOf(clusterWith())).slice(0, 1);
    const again = decide(facts(clusterWith(), { map: readMap(stray) }));
    expect(again.actions.map(words)).toEqual(first.actions.map(words));
  });
});

/** Of 4 shards, what `social-<from>` owns went to social-0. */
function emptied(...from: readonly number[]): ClusterFacts {
  const state = running();
  if (state.map.kind !== 'Present') throw new Error('no map');
  const { stored } = state.map;
  const map = from.reduce((rest, ordinal) => {
    const partition = partitionOf(rest, ordinal);
    const toFirst = { partition, from: `social-${ordinal}`, to: 'social-0' };
    return move(move(rest, { ...toFirst, side: 'read' }), { ...toFirst, side: 'write' });
  }, stored.map);
  const { replaced, header } = pageWrites(stored, map);
  const pages = new Map(
    [...stored.objects.values(), ...replaced, header!].map(each => [each.metadata.name, each]),
  );
  const moved = { ...state, map: readMap([...pages.values()]) };
  return after(moved, decide(moved));
}

describe('fewer shards', () => {
  test('one that is empty leaves the map, then its Shard goes; its ordinal is not used again', () => {
    const before = withSpec(emptied(1), { shards: 3 });
    const plan = decide(before);
    expect(plan.actions.map(words)).toEqual(['PublishMap without social-1', 'DeleteShard social-1']);
    expect(plan.problem).toBeUndefined();
    const state = after(before, plan);
    expect(decide(state).actions).toEqual([]);
    const more = decide(withSpec(state, { shards: 4 }));
    expect(more.map?.shards.map(shard => shard.name)).toEqual([
      'social-0',
      'social-2',
      'social-3',
      'social-4',
    ]);
  });

  test('a Shard that the operator did not get to delete is deleted later', () => {
    const before = withSpec(emptied(1), { shards: 3 });
    const state = { ...after(before, decide(before)), shards: before.shards };
    expect(decide(state).actions.map(words)).toEqual(['DeleteShard social-1']);
  });

  test('emptied ones go before new ones, and those before older ones', () => {
    const grown = withSpec(emptied(1), { shards: 6 });
    const six = after(grown, decide(grown));
    expect(decide(withSpec(six, { shards: 5 })).actions[0]).toMatchObject({ retire: ['social-1'] });
    expect(decide(withSpec(six, { shards: 4 })).actions[0]).toMatchObject({
      retire: ['social-1', 'social-5'],
    });
  });

  test('shard 0 stays, also empty', () => {
    const state = running();
    if (state.map.kind !== 'Present') throw new Error('no map');
    const map = ['write', 'read'].reduce(
      (rest, side) =>
        move(rest, {
          partition: partitionOf(rest, 0),
          from: 'social-0',
          to: 'social-1',
          side: side === 'write' ? 'write' : 'read',
        }),
      state.map.stored.map,
    );
    expect(ownerOrdinals(map, 'write').has(0)).toBe(false);
    expect(retiring({ map, wantedShards: 3, shards: [], inUse: new Set() })).toEqual([]);
  });

  test('one that a migration counts on stays until that has ended', () => {
    const before = withSpec(emptied(1), { shards: 3 });
    const plan = decide({ ...before, migrations: { ...before.migrations, shards: new Set(['social-1']) } });
    expect(plan.actions).toEqual([]);
    expect(plan.problem).toMatchObject({ reason: 'ShardsCannotShrink' });
    expect(plan.problem?.message).toContain('social-1 is in use by a ShardMigration');
  });

  test('while none is empty it says how to merge, and goes on with all else', () => {
    const shardStates = [{ shard: 0, state: 'readonly' }];
    const plan = decide(withSpec(running(), { shards: 2, shardStates }));
    expect(plan.actions.map(words)).toEqual(['PublishMap', 'ApplyShard social-0']);
    expect(plan.problem?.reason).toBe('ShardsCannotShrink');
    expect(plan.problem?.message).toContain('spec.merge.shards: [social-0, social-2, social-3]');
    expect(plan.problem?.message).toContain('or set spec.shards to 4');
  });

  test('a merge that is under way needs nobody', () => {
    const state = withSpec(running(), { shards: 3 });
    const migrations = { ...state.migrations, shards: new Set(['social-0', 'social-3']), emptying: true };
    expect(decide({ ...state, migrations })).toMatchObject({ actions: [], problem: undefined });
  });

  test('a Shard that the map has never heard of is left alone', () => {
    const grown = withSpec(running(), { shards: 5 });
    const five = after(grown, decide(grown));
    // The map was restored from before social-4.
    expect(decide({ ...five, map: running().map, cluster: clusterWith() }).actions).toEqual([]);
  });

  test('a Shard that was told to own something is not deleted, whatever the map says', () => {
    const before = withSpec(emptied(1), { shards: 3 });
    const state = after(before, decide(before));
    const told = running().shards.filter(shard => shard.metadata.name === 'social-1');
    expect(decide({ ...state, shards: [...state.shards, ...told] }).actions).toEqual([]);
  });
});

/** The same, while somebody changes the map. */
function marking(state: ClusterFacts, by: string): ClusterFacts {
  if (state.map.kind !== 'Present') throw new Error('no map');
  const objects = [...state.map.stored.objects.values()].map(object =>
    object.metadata.name === 'social-map' ? marked(object, by) : object,
  );
  return { ...state, map: readMap(objects) };
}

/** The same, with one page of a change written and the header not. */
function torn(state: ClusterFacts, by?: string): ClusterFacts {
  if (state.map.kind !== 'Present') throw new Error('no map');
  const { stored } = state.map;
  const next = withShardState(stored.map, 'social-1', 'readonly');
  const pages = new Map([...stored.objects.values()].map(each => [each.metadata.name, each]));
  for (const page of pageWrites(stored, next).replaced) pages.set(page.metadata.name, page);
  const header = pages.get('social-map')!;
  pages.set('social-map', marked(header, by));
  return { ...state, map: readMap([...pages.values()]) };
}

describe('a map that somebody is changing', () => {
  test('is left alone, while its shards get what does not concern it', () => {
    const state = withSpec(marking(running(), 'someone/and/how'), {
      shards: 6,
      access: { stableLogin: true },
    });
    const plan = decide(state);
    expect(plan.map?.shards).toHaveLength(4);
    expect(plan.actions.map(words)).toEqual([0, 1, 2, 3].map(i => `ApplyShard social-${i}`));
  });

  test('is not touched in between, nor is any shard told what a mixture says', () => {
    const plan = decide(torn(running(), 'someone/and/how'));
    expect(plan).toMatchObject({ actions: [], problem: undefined });
    expect(plan.map?.shards).toHaveLength(4);
  });

  test.each([undefined, 'uid-social'])('is finished by the fleet itself when it left it so (%s)', by => {
    expect(decide(torn(running(), by)).actions.map(words)).toEqual(['PublishMap']);
  });

  test('is released when whoever marked it is gone', () => {
    expect(decide(marking(running(), 'nobody/more')).actions.map(words)).toEqual(['ReleaseMap']);
  });

  test('is a matter for a person when whoever is gone left it in between', () => {
    const plan = decide(torn(running(), 'nobody/more'));
    expect(plan.actions).toEqual([]);
    expect(plan.problem).toMatchObject({ reason: 'MapChangeLost' });
  });

  test('gets rid of a mark of its own', () => {
    expect(decide(marking(running(), 'uid-social')).actions.map(words)).toEqual(['PublishMap']);
  });
});
