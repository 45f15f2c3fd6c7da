/**
 * The operator is killed at every point of the main stories - before each action, each step inside a verb and each write to the
 * API server - and another one goes on. The rules of MigrationWorld hold at every instant, and the same end is reached.
 */
import { describe, expect, test } from 'vitest';
import { MigrationWorld } from '#controllers/testing/migration-world.ts';
import type { MigrationPhase } from '#crds/api/migration/status.ts';

interface Story {
  readonly name: string;
  readonly world: Parameters<typeof MigrationWorld.create>[0];
  readonly spec: object;
  /** What a person does once it is at the phase. */
  readonly change?: { readonly at: MigrationPhase; readonly spec: object };
  readonly ends: MigrationPhase;
}

const stories: readonly Story[] = [
  {
    name: 'split into three',
    world: { shards: 1, wanted: 3, empty: 2 },
    spec: { split: { shard: 'social-0', into: 3 } },
    ends: 'Completed',
  },
  {
    name: 'merge of three',
    world: { shards: 3, wanted: 1 },
    spec: { merge: { shards: ['social-0', 'social-1', 'social-2'] } },
    ends: 'Completed',
  },
  {
    name: 'move',
    world: { shards: 2 },
    spec: { move: { shard: 'social-1', region: 'us-east' } },
    ends: 'Completed',
  },
  {
    name: 'split of a lone range at two keys',
    world: { shards: 1, wanted: 3, empty: 2, splitPoints: [] },
    spec: { split: { shard: 'social-0', into: 3, at: ['64', '128'] } },
    ends: 'Completed',
  },
  {
    name: 'roll back of such a split',
    world: { shards: 1, wanted: 2, empty: 1, splitPoints: [] },
    spec: { split: { shard: 'social-0', into: 2, at: ['64'] } },
    change: { at: 'VerifyAndCleanup', spec: { abort: true } },
    ends: 'RolledBack',
  },
  {
    name: 'roll back',
    world: { shards: 1, wanted: 3, empty: 2 },
    spec: { split: { shard: 'social-0', into: 3 } },
    change: { at: 'VerifyAndCleanup', spec: { abort: true } },
    ends: 'RolledBack',
  },
  {
    name: 'abort after reads have switched',
    world: { shards: 1, wanted: 3, empty: 2 },
    spec: { split: { shard: 'social-0', into: 3 }, cutover: { mode: 'Manual' } },
    change: { at: 'SwitchWrites', spec: { abort: true } },
    ends: 'Aborted',
  },
];

async function run(story: Story, crashAt: number): Promise<MigrationWorld> {
  const world = await MigrationWorld.create(story.world);
  world.crashAt = crashAt;
  world.create('it', story.spec);
  const { change } = story;
  if (change) {
    await world.until(['it'], () => world.status('it').phase === change.at);
    world.edit('it', change.spec);
  }
  await world.until(['it'], () => world.status('it').phase === story.ends);
  world.checkEnd();
  return world;
}

describe.each(stories)('$name', story => {
  test('killed at any point, it ends as it would have', { timeout: 120_000 }, async () => {
    const whole = await run(story, Number.POSITIVE_INFINITY);
    expect(whole.points).toBeGreaterThan(40);
    const owners = whole.map.ownership;
    for (let point = 0; point < whole.points; point++) {
      const world = await run(story, point);
      expect(world.map.ownership, `killed at point ${point}`).toEqual(owners);
    }
  });
});
