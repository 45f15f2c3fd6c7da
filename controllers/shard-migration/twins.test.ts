/** Twins of the stories with something left out: the rules must notice, or they would prove nothing. */
import { expect, test } from 'vitest';
import { MigrationWorld } from '#controllers/testing/migration-world.ts';

const begin = async () => {
  const world = await MigrationWorld.create({ shards: 2, wanted: 3, empty: 1 });
  world.create('split', { split: { shard: 'social-0', into: 2 } });
  return world;
};

const ends = async (world: MigrationWorld) => {
  await world.until(['split'], () => world.status('split').phase === 'Completed');
  world.checkEnd();
};

/** Row 2656 is in slot 96, which moves; nobody wrote it, so no stream will ever heal it. */
const damage = async (world: MigrationWorld) => {
  await world.until(['split'], () => world.status('split').cutover?.time !== undefined);
  world.transfers.of('social-2').rows.set(2656, 'nobody wrote this');
};

test('without the second comparison a damaged row would be kept and its original deleted', async () => {
  const whole = await begin();
  await damage(whole);
  await expect(ends(whole)).rejects.toThrow('VerificationFailed');
  const twin = await begin();
  await damage(twin);
  twin.transfers.sabotage = 'comparing';
  await expect(ends(twin)).rejects.toThrow('there are rows that nobody wrote');
});

const crash = async (sabotage: 'the decision record' | undefined) => {
  const world = await begin();
  world.transfers.sabotage = sabotage;
  // The step after the commit.
  world.crashBefore = 'decided';
  await ends(world);
};

test('without the decision record nobody would know after a crash who has the writes', async () => {
  await expect(crash(undefined)).resolves.toBeUndefined();
  await expect(crash('the decision record')).rejects.toThrow(
    'rows were to be deleted at the source, which has the writes',
  );
});
