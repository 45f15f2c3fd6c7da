import { beforeEach, describe, expect, test } from 'vitest';
import { backup, firstClaim, RebuildWorld, slots } from '#controllers/testing/rebuild-world.ts';
import { annotations } from '#crds/api/names.ts';
import { decideRebuild } from './decide.ts';

let world: RebuildWorld;
beforeEach(() => {
  world = new RebuildWorld();
});

describe('a rebuild', () => {
  test('goes step by step, and ends with all members and a full backup asked for', () => {
    expect(world.settle()).toEqual([
      'taken up',
      'stopping what is left of its members; a pod on a node that is gone must be deleted by force',
      `filling ${firstClaim} from the newest backup`,
      'forgetting the members of before',
      `${firstClaim} is filled`,
      'its first member starts on what came back',
      'volumes of before are let go: data-social-0-1',
      'clearing away its Job',
    ]);
    expect(world.rebuild).toMatchObject({
      state: 'Done',
      safeBefore: '2026-03-01T11:58:56.000Z',
      lastCommit: '2026-03-01T11:58:58Z',
      message:
        'brought back from its backups: all that was committed before 2026-03-01T11:58:56.000Z is there; ' +
        'the newest commit that came back is of 2026-03-01T11:58:58Z',
    });
    expect(world.marks).toEqual({ [annotations.backupNow]: 'full' });
    expect(world).toMatchObject({ replicas: 2, running: [0, 1], state: 'active', job: undefined, jobs: 1 });
  });

  test('a claim that was lost with its volume is made anew', () => {
    world.pass();
    world.pass();
    world.claims = [];
    expect(world.settle()).toContain(`making ${firstClaim} anew`);
    expect(world.rebuild?.state).toBe('Done');
  });

  test('nobody is let in on what came back before the map says maintenance', () => {
    for (let i = 0; i < 4; i++) world.pass();
    const facts = world.facts()!;
    const open = { ...facts.shard, spec: { ...facts.shard.spec, state: 'active' as const } };
    expect(decideRebuild({ ...facts, shard: open })).toMatchObject({
      replicas: 0,
      progress: 'waiting until the map says that it is in maintenance',
    });
  });

  test('what was measured of the lost database is forgotten before the first member starts', () => {
    for (let i = 0; i < 4; i++) world.pass();
    world.remembers = false;
    const facts = world.facts()!;
    const status = { ...facts.shard.status, referenceVersion: '7' };
    const plan = decideRebuild({ ...facts, shard: { ...facts.shard, status } });
    expect(plan).toMatchObject({ actions: [], replicas: 0, blank: true });
  });

  test('volumes that come in its way while it is under way need a person, who is told', () => {
    delete world.marks[annotations.discardVolumes];
    const others = world.claims.filter(({ name }) => name !== firstClaim);
    world.claims = world.claims.filter(({ name }) => name === firstClaim);
    world.pass();
    world.claims = [...world.claims, ...others];
    world.settle();
    expect(world.pass()).toMatchObject({
      replicas: 1,
      actions: [],
      problem: { reason: 'VolumesInTheWay', message: expect.stringContaining('discard-volumes=true') },
    });
    world.marks[annotations.discardVolumes] = 'true';
    world.settle();
    expect(world.rebuild?.state).toBe('Done');
  });

  test('is tried again with a new value, and what failed is said with what to do', () => {
    world.failure = 'the archive has a hole';
    expect(world.settle().at(-1)).toMatch(
      /^Job social-0-recover: the archive has a hole\. Once that is put right: kubectl shardwright rebuild social-0 --yes; to give it up/,
    );
    expect(world.rebuild?.state).toBe('Failed');
    expect(world).toMatchObject({ replicas: 0, state: 'maintenance' });
    world.pass();
    expect(world.jobs).toBe(1);
    world.failure = undefined;
    world.marks = { ...world.marks, [annotations.retry]: 'again' };
    world.settle();
    expect(world.rebuild).toMatchObject({ state: 'Done', safeBefore: '2026-03-01T11:58:56.000Z' });
    expect(world.jobs).toBe(2);
  });

  test('asked for in the same words once it is over, it is another one', () => {
    const marks = { ...world.marks };
    world.settle();
    expect(world.rebuild).toMatchObject({ state: 'Done', ended: '2026-03-01T12:00:00Z' });
    world.marks = marks;
    world.settle();
    expect(world.rebuild).toMatchObject({ state: 'Done', follows: '2026-03-01T12:00:00Z' });
    expect(world.jobs).toBe(2);
  });

  test('what owned other keys at that time does not come back as this shard', () => {
    world.found = { ...world.found, partition: slots(0, 511) };
    expect(world.settle().at(-1)).toContain('owned other keys at latest than the map gives it now');
    expect(world).toMatchObject({ replicas: 0, rebuild: { state: 'Failed' } });
  });

  test('a transfer that came back in the middle counts for what its record says', () => {
    const moved = { id: 'x', migration: 'split', partition: slots(256, 511), markers: [] };
    const decision = { writes: 'target', generation: 4 } as const;
    world.found = {
      ...world.found,
      partition: slots(0, 511),
      transfers: [{ ...moved, side: 'source', decision }],
    };
    world.settle();
    expect(world.rebuild?.state).toBe('Done');
  });
});

describe('is called off', () => {
  test('while nothing has come back: members start on what there is', () => {
    world.failure = 'no';
    world.settle();
    world.marks = {};
    world.settle();
    expect(world.rebuild?.state).toBe('Cancelled');
    expect(world).toMatchObject({ replicas: 2, running: [0, 1], state: 'active', job: undefined });
    expect(world.claims).toHaveLength(2);
  });

  test('not once the volume holds what came back: it is carried through', () => {
    for (let i = 0; i < 4; i++) world.pass();
    expect(world.filled).toBeDefined();
    world.marks = {};
    world.settle();
    expect(world.rebuild?.state).toBe('Done');
    expect(world.running).toEqual([0, 1]);
  });
});

describe('is refused, and nothing is touched:', () => {
  const refused: readonly (readonly [string, (world: RebuildWorld) => void, string, RegExp])[] = [
    ['no time', w => mark(w, 'yesterday'), 'InvalidRebuild', /write latest, or a time such as/],
    ['a time to come', w => mark(w, '2026-03-02T00:00:00Z'), 'InvalidRebuild', /is still to come/],
    [
      'before the first backup',
      w => mark(w, '2026-03-01T00:30:00Z'),
      'InvalidRebuild',
      /ended at 2026-03-01T01:00/,
    ],
    [
      'after the end of the archive',
      w => mark(w, '2026-03-01T11:59:30Z'),
      'InvalidRebuild',
      /after the end of the archive/,
    ],
    ['no backup', w => (w.status = {}), 'NoBackup', /put its fleet under the BackupPolicy/],
    [
      'a damaged backup alone',
      w => (w.status = { backup: { ...backup, records: [{ ...backup.records![0]!, error: true }] } }),
      'NoBackup',
      /no backup/,
    ],
    ['a migration', w => (w.inUse = true), 'MigrationUnderWay', /abort it or finish it first/],
    [
      'volumes whose data nobody gave up',
      w => delete w.marks[annotations.discardVolumes],
      'VolumesInTheWay',
      /data-social-0-1 .*discard-volumes=true/,
    ],
  ];
  test.each(refused)('%s', (_what, prepare, reason, message) => {
    prepare(world);
    const plan = world.pass();
    expect(plan?.problem).toEqual({ reason, message: expect.stringMatching(message) });
    expect(plan).toMatchObject({ actions: [], status: undefined });
    expect(plan).not.toHaveProperty('replicas');
    expect(world).toMatchObject({
      state: 'active',
      replicas: 2,
      status: expect.not.objectContaining({ rebuild: {} }),
    });
  });

  test('a refused second order leaves a first that failed as it stands', () => {
    world.failure = 'no';
    world.settle();
    mark(world, 'yesterday');
    expect(world.pass()).toMatchObject({ replicas: 0, problem: { reason: 'InvalidRebuild' } });
    expect(world.state).toBe('maintenance');
  });
});

test('killed after any write of any pass, it comes to the same, with one Job and no member on a volume that is not its own', () => {
  let points = 0;
  const misled: string[] = [];
  for (let pass = 0; pass < 14; pass++)
    for (let writes = 0; writes < 4; writes++) {
      points++;
      const each = new RebuildWorld();
      for (let i = 0; i < 40 && each.facts(); i++) {
        each.pass(i === pass ? writes : Number.POSITIVE_INFINITY);
        const first = each.claims.find(({ name }) => name === firstClaim);
        if (each.replicas === 1 && (first === undefined || first.uid !== each.filled))
          misled.push(`killed in pass ${pass} after ${writes}`);
      }
      each.pass();
      expect(each.rebuild?.state, `killed in pass ${pass} after ${writes}`).toBe('Done');
      expect(each).toMatchObject({ running: [0, 1], state: 'active', jobs: 1, job: undefined });
      expect(each.claims.map(({ name }) => name).toSorted()).toEqual(['data-social-0-0', 'data-social-0-1']);
      expect(each.claims.find(({ name }) => name === firstClaim)?.uid).toBe(each.filled);
    }
  expect(misled).toEqual([]);
  expect(points).toBe(56);
});

function mark(of: RebuildWorld, value: string): void {
  of.marks = { ...of.marks, [annotations.rebuild]: value };
}
