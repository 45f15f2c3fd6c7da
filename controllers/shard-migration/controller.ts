/** ShardMigration is valid API already; moving data is still to come, and it says so. */

import type { Caches } from '#controllers/caches.ts';
import { type NotYetDeps, notYetReconciler } from '#controllers/not-yet.ts';
import { parseShardMigration } from '#crds/api/shard-migration.ts';
import type { Reconcile } from '#kernel/controller.ts';

export function migrationReconciler(
  caches: Caches,
  deps: Pick<NotYetDeps, 'applier' | 'events' | 'clock'>,
): Reconcile {
  return notYetReconciler({
    ...deps,
    cache: caches.shardMigrations,
    parse: parseShardMigration,
    message:
      'this version does not move data between shards yet: nothing is touched; delete it, or keep it for a later version',
  });
}
