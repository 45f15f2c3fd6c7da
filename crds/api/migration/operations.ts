/** What a ShardMigration can do: one of these per object, never changed once it is there. */
import { z } from 'zod';
import { objectName, regionName } from '../common.ts';
import { listAtomic, listSet, withRules } from '../rules.ts';

const slot = z.int().min(0).max(1_048_575);

export const split = z.object({
  shard: objectName.describe('The Shard to split.'),
  into: z
    .int()
    .min(2)
    .max(64)
    .default(2)
    .describe(
      'Shards that it becomes, itself included. The others are empty shards: raise spec.shards first.',
    ),
});

export const merge = withRules(
  z.object({
    shards: listSet(z.array(objectName).min(2).max(64)).describe(
      'The Shards to merge. Those that become empty are removed once spec.shards is lower.',
    ),
    into: objectName.exactOptional().describe('The one that remains; the first of them if absent.'),
  }),
  {
    rule: '!has(self.into) || self.into in self.shards',
    message: 'merge.into must be one of merge.shards',
    fieldPath: '.into',
  },
);

export const move = z.object({
  shard: objectName.describe('The Shard to move.'),
  region: regionName.describe(
    'Region that it moves to: a new shard is made there, and takes everything over. Another storage class is not there yet.',
  ),
});

const range = withRules(
  z.object({
    first: slot.describe('First slot.'),
    last: slot.describe('Last slot, itself included.'),
  }),
  { rule: 'self.first <= self.last', message: 'a range of slots is written with the lower one as first' },
);

export const slots = withRules(
  z.object({
    from: objectName.describe('Shard that owns the slots.'),
    to: objectName.describe('Shard that is to own them.'),
    ranges: withRules(listAtomic(z.array(range).min(1).max(512)), {
      rule: 'self.all(a, self.exists_one(b, a.first <= b.last && b.first <= a.last))',
      message: 'slots.ranges overlap: write each slot once',
    }).describe('The slots to move.'),
  }),
  {
    rule: 'self.from != self.to',
    message: 'slots.from and slots.to must be two different shards',
    fieldPath: '.to',
  },
);

export const operations = ['split', 'merge', 'move', 'slots'] as const;
