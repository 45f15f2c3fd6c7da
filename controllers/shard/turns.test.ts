import { expect, test } from 'vitest';
import { condition, shardWith } from '#controllers/testing/objects.ts';
import type { Shard } from '#crds/api/shard.ts';
import { Turns } from './turns.ts';

const shard = (ordinal: number, status: object = {}): Shard =>
  shardWith({ ordinal }, { name: `social-${ordinal}` }, status);

function turnsWith(options: { budget?: number; shards?: readonly Shard[] } = {}) {
  const { budget = 1, shards = [] } = options;
  const turns = new Turns({ shardsOf: () => shards, budgetOf: () => budget });
  const woken: string[] = [];
  turns.subscribe(({ namespace, name }) => woken.push(`${namespace}/${name}`));
  return { turns, woken };
}

test('so many at a time; one who has a turn keeps it', () => {
  const { turns } = turnsWith({ budget: 2 });
  expect([0, 1, 2, 0, 1].map(i => turns.take(shard(i)))).toEqual([true, true, false, true, true]);
});

test('who asked in vain is woken when a turn is free, in the order of asking', () => {
  const { turns, woken } = turnsWith();
  for (const i of [0, 2, 1]) turns.take(shard(i));
  expect(woken).toEqual([]);
  turns.giveBack(shard(0));
  expect(woken).toEqual(['default/social-2']);
  expect(turns.take(shard(2))).toBe(true);
  turns.giveBack(shard(2));
  expect(woken).toEqual(['default/social-2', 'default/social-1']);
  expect(turns.take(shard(1))).toBe(true);
});

test('giving back what one does not have wakes nobody', () => {
  const { turns, woken } = turnsWith();
  for (const i of [0, 1]) turns.take(shard(i));
  turns.giveBack(shard(1));
  expect(woken).toEqual([]);
});

test('a shard that is gone has no turn', () => {
  const { turns, woken } = turnsWith();
  for (const i of [0, 1]) turns.take(shard(i));
  turns.forget('default', 'social-0');
  expect(woken).toEqual(['default/social-1']);
});

test('after a restart, those that were at it keep their turns', () => {
  const rolling = shard(3, { conditions: [condition('Reconciling', 'True', { reason: 'RollingOut' })] });
  const waiting = shard(4, { conditions: [condition('Reconciling', 'True', { reason: 'WaitingForTurn' })] });
  const settling = shard(5, { conditions: [condition('Reconciling', 'True', { reason: 'Settling' })] });
  const { turns } = turnsWith({ shards: [rolling, waiting, settling] });
  expect(turns.take(waiting)).toBe(false);
  expect(turns.take(settling)).toBe(false);
  expect(turns.take(rolling)).toBe(true);
});
