/** Copies of the API server's objects that are behind: its watches are cut off, or another operator's were when it took over. */
import { expect, test } from 'vitest';
import { MigrationWorld } from '#controllers/testing/migration-world.ts';

const begin = async () => {
  const world = await MigrationWorld.create({ shards: 2, wanted: 3, empty: 1 });
  world.create('split', { split: { shard: 'social-0', into: 2 } });
  await world.until(['split'], () => world.status('split').phase === 'SwitchWrites');
  world.cutWatch();
  return world;
};

test('what was written is believed for as long as the copy is the one that it was written over', async () => {
  const world = await begin();
  await world.until(['split'], () => world.status('split').phase === 'Completed');
  await world.clock.advance(600_000);
  await world.pass('split');
  expect(world.status('split').phase).toBe('Completed');
  world.checkEnd();
});

test('another operator that takes over with an old copy takes nothing back', async () => {
  const world = await begin();
  await world.until(['split'], () => world.status('split').phase === 'Completed');
  const ended = world.status('split');
  world.restart();
  await world.pass('split');
  await world.pass('split');
  expect(world.status('split')).toEqual(ended);
  world.restoreWatch();
  await world.pass('split');
  expect(world.status('split').phase).toBe('Completed');
  world.checkEnd();
});
