/** The volumes of a shard's members, and how safe what is on them must be. */
import { z } from 'zod';
import { objectName, quantity } from './common.ts';
import { listSet, withRules } from './rules.ts';

const size = withRules(
  quantity,
  {
    rule: "!isQuantity(string(self)) || (quantity(string(self)).compareTo(quantity('100Mi')) >= 0 && quantity(string(self)).compareTo(quantity('64Ti')) <= 0)",
    message: 'must be between 100Mi and 64Ti, such as 10Gi',
  },
  {
    rule: '!isQuantity(string(self)) || quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0',
    message: 'a volume cannot shrink: write the old size or a larger one',
  },
);

export const storageSpec = withRules(
  z.object({
    size: size.describe('Size of a member’s volume. It can grow where the storage class allows it.'),
    storageClassName: objectName
      .exactOptional()
      .describe(
        'Storage class; the cluster’s default class if absent. Of a fleet: that of shards made from now on. One that is there stays where it is until a ShardMigration moves it.',
      ),
    accessModes: listSet(
      z
        .array(z.enum(['ReadWriteOnce', 'ReadWriteOncePod']))
        .min(1)
        .max(2),
    )
      .default(['ReadWriteOnce'])
      .describe('Access modes of the volume. Immutable.'),
  }),
  {
    rule: 'self.accessModes == oldSelf.accessModes',
    message: 'accessModes is immutable: make a new ShardCluster and move the data',
    fieldPath: '.accessModes',
  },
);

export type StorageSpec = z.infer<typeof storageSpec>;

/** Of one shard, whose volumes are there. */
export const shardStorageSpec = withRules(storageSpec, {
  rule: 'has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)',
  message:
    'storageClassName of a shard is immutable: move it with a ShardMigration (spec.move.storageClassName)',
  fieldPath: '.storageClassName',
});

export const consistency = z
  .enum(['strong', 'eventual'])
  .describe(
    '`strong`: a commit is acknowledged when two members have it, so no single fault loses it. `eventual`: when the primary has it.',
  );

export const deletionPolicy = z
  .enum(['Forbid', 'Retain', 'Delete'])
  .describe(
    'The volumes when this is deleted. `Forbid`: deletion waits until the policy is changed. `Retain`: they stay. `Delete`: they go.',
  );
