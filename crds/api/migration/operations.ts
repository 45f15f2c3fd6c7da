/** What a ShardMigration can do: one of these per object, never changed once it is there. */
import { z } from 'zod';
import { keyValue, objectName, regionName } from '../common.ts';
import { listAtomic, listSet, withRules } from '../rules.ts';

const slot = z.int().min(0).max(1_048_575);

export const split = withRules(
  z.object({
    shard: objectName.describe('The Shard to split.'),
    into: z
      .int()
      .min(2)
      .max(64)
      .default(2)
      .describe(
        'Shards that it becomes, itself included. The others are empty shards: raise spec.shards first.',
      ),
    at: listSet(z.array(keyValue).min(1).max(63))
      .exactOptional()
      .describe(
        'First key of each part but the lowest, which the shard keeps. With range; its ranges are dealt out whole if absent.',
      ),
  }),
  {
    rule: '!has(self.at) || self.at.size() == self.into - 1',
    message: 'split.into must be one more than there are keys in split.at',
    fieldPath: '.into',
  },
);

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

export const move = withRules(
  z.object({
    shard: objectName.describe(
      'The Shard to move: a new one is made, like it but for what is written here, and takes everything over.',
    ),
    region: regionName.exactOptional().describe('Region that it moves to; its own if absent.'),
    storageClassName: objectName
      .exactOptional()
      .describe('Storage class that it moves onto; its own if absent.'),
  }),
  {
    rule: 'has(self.region) || has(self.storageClassName)',
    message: 'write where to: move.region, move.storageClassName, or both',
  },
);

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
