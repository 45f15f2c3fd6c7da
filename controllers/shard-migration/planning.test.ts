/** What a move asks for, and what comes of it: the shard that is made, or what to write instead. */
import { describe, expect, test } from 'vitest';
import { factsWith, map } from '#controllers/testing/migration-facts.ts';
import { apiVersion } from '#crds/api/names.ts';
import { parseShardMigration, type ShardMigration } from '#crds/api/shard-migration.ts';
import { describeOperation, planMigration } from './planning.ts';

const placed = {
  ...map,
  shards: map.shards.map(shard => (shard.name === 'social-1' ? { ...shard, region: 'eu-west' } : shard)),
};

function migrationWith(operation: object): ShardMigration {
  const metadata = { name: 'm', namespace: 'default', uid: 'uid-m' };
  const spec = { cluster: { name: 'social' }, ...operation };
  return parseShardMigration({ apiVersion, kind: 'ShardMigration', metadata, spec });
}

function plan(move: object, storageClassName: string | undefined = 'standard') {
  const { regions, storageClasses } = factsWith();
  const storageClassOf = (shard: string) => (shard === 'social-1' ? storageClassName : undefined);
  const migration = migrationWith({ move });
  const input = { migration, map: placed, wantedShards: 5, reserved: new Set<string>() };
  return planMigration({ ...input, regions, storageClasses, storageClassOf });
}

describe('a move makes a shard like the old one', () => {
  test.each([
    [
      'in another region',
      { region: 'us-east' },
      { region: 'us-east', storageClassName: 'standard' },
      'make shard social-5 in us-east on storage class standard',
    ],
    [
      'on another storage class',
      { storageClassName: 'fast' },
      { region: 'eu-west', storageClassName: 'fast' },
      'make shard social-5 in eu-west on storage class fast',
    ],
    [
      'both',
      { region: 'us-east', storageClassName: 'fast' },
      { region: 'us-east', storageClassName: 'fast' },
      'make shard social-5 in us-east on storage class fast',
    ],
    [
      'in another region, although the class is its own already',
      { region: 'us-east', storageClassName: 'standard' },
      { region: 'us-east', storageClassName: 'standard' },
      'make shard social-5 in us-east on storage class standard',
    ],
  ])('%s', (_what, to, place, line) => {
    expect(plan({ shard: 'social-1', ...to })).toMatchObject({
      kind: 'Planned',
      plan: {
        newShard: { name: 'social-5', ordinal: 5, ...place },
        transfers: [{ source: 'social-1', target: 'social-5', whole: true, targetEmpty: true }],
        lines: expect.arrayContaining([line]),
      },
    });
  });

  test('on no class of its own where the old one has none', () => {
    const planned = plan({ shard: 'social-2', region: 'us-east' });
    expect(planned).toHaveProperty('plan.newShard', { name: 'social-5', ordinal: 5, region: 'us-east' });
  });
});

describe('refused', () => {
  test.each([
    [{ region: 'mars' }, 'RegionWithoutNodes', 'nodes are in: eu-west, us-east'],
    [{ storageClassName: 'slow' }, 'NoSuchStorageClass', 'Create it, or name another one'],
    [{ region: 'us-east', storageClassName: 'slow' }, 'NoSuchStorageClass', 'there are: fast, standard'],
    [{ region: 'eu-west' }, 'AlreadyThere', 'shard social-1 is in eu-west already'],
    [{ storageClassName: 'standard' }, 'AlreadyThere', 'shard social-1 is on storage class standard already'],
    [
      { region: 'eu-west', storageClassName: 'standard' },
      'AlreadyThere',
      'shard social-1 is in eu-west on storage class standard already',
    ],
  ])('a move to %j', (to, reason, says) => {
    expect(plan({ shard: 'social-1', ...to })).toMatchObject({
      kind: 'Refused',
      reason,
      message: expect.stringContaining(says),
    });
  });

  test('a move of a shard that there is not', () => {
    expect(plan({ shard: 'social-9', storageClassName: 'fast' })).toMatchObject({ reason: 'NoSuchShard' });
  });

  test('a split at something that is no key', () => {
    const { regions, storageClasses } = factsWith();
    const migration = migrationWith({ split: { shard: 'social-0', into: 2, at: ['ten'] } });
    const ranges = [{ write: 0, read: 0 }];
    const ofRanges = { ...map, ownership: { algorithm: 'range', ranges } } as const;
    const rest = { regions, storageClasses, storageClassOf: () => undefined };
    const input = { migration, map: ofRanges, wantedShards: 5, reserved: new Set<string>() };
    expect(planMigration({ ...input, ...rest })).toMatchObject({
      kind: 'Refused',
      reason: 'InvalidKey',
      message: expect.stringContaining('"ten" is not a whole number'),
    });
  });
});

function say(operation: object): string {
  return describeOperation(migrationWith(operation).spec);
}

test('an operation in words', () => {
  expect(say({ move: { shard: 'social-1', region: 'us-east', storageClassName: 'fast' } })).toBe(
    'move social-1 to us-east onto storage class fast',
  );
  expect(say({ split: { shard: 'social-0', into: 6, at: ['1', '2', '3', '4', '5'] } })).toBe(
    'split social-0 into 6 at 1, 2, 3, 4, ...',
  );
});
