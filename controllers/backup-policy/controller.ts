/** BackupPolicy is valid API already; backups are still to come, and it says so. */

import type { Caches } from '#controllers/caches.ts';
import { type NotYetDeps, notYetReconciler } from '#controllers/not-yet.ts';
import { parseBackupPolicy } from '#crds/api/backup-policy.ts';
import type { Reconcile } from '#kernel/controller.ts';

export function backupPolicyReconciler(
  caches: Caches,
  deps: Pick<NotYetDeps, 'applier' | 'events' | 'clock'>,
): Reconcile {
  return notYetReconciler({
    ...deps,
    cache: caches.backupPolicies,
    parse: parseBackupPolicy,
    message:
      'this version makes no backups yet: back the shards up by other means, and keep this object for a later version',
  });
}
