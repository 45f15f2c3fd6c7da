/** What spec.pace means for one transfer. Pure. */
import { durationMs } from '#controllers/duration.ts';
import { parseQuantity } from '#controllers/quantity.ts';
import type { MigrationPace } from '#crds/api/migration/pace.ts';
import type { CopyPace } from '#engines/migration.ts';

/** Transfers copy side by side: the limit of the whole is shared out evenly, so that it holds also while nobody looks. */
export function paceOf(
  { maxBytesPerSecond, parallel, maxReplicaLag, maxCommitLatency }: MigrationPace,
  transfers: number,
): CopyPace {
  const limit = maxBytesPerSecond === undefined ? undefined : parseQuantity(maxBytesPerSecond);
  return {
    parallel,
    ...(limit === undefined ? {} : { maxBytesPerSecond: Math.floor(limit / Math.max(1, transfers)) }),
    maxReplicaLagBytes: parseQuantity(maxReplicaLag) ?? 0,
    maxCommitLatencyMs: durationMs(maxCommitLatency),
  };
}
