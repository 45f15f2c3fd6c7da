/** How fast a copy may go, and what it makes way for. */
import { z } from 'zod';
import { duration, quantity } from '../common.ts';
import { withRules } from '../rules.ts';

const speed = withRules(quantity, {
  rule: "!isQuantity(string(self)) || quantity(string(self)).compareTo(quantity('64Ki')) >= 0",
  message: 'must be at least 64Ki: a copy that stands still holds write-ahead log back at its source',
});

export const pace = z.object({
  maxBytesPerSecond: speed
    .exactOptional()
    .describe(
      'Bytes of rows that the whole migration may copy in a second, such as 20Mi; no limit if absent.',
    ),
  parallel: z
    .int()
    .min(1)
    .max(8)
    .default(2)
    .describe(
      'Sessions that copy at once from one shard to another, large tables by ranges of their blocks.',
    ),
  maxReplicaLag: quantity
    .prefault('64Mi')
    .describe('Write-ahead log that a replica of the source may be behind; beyond it the copy slows down.'),
  maxCommitLatency: duration
    .default('250ms')
    .describe('Time that a commit at the source may take; beyond it the copy slows down.'),
});

export type MigrationPace = z.infer<typeof pace>;
