/**
 * What is written to a ShardMigration: its status, and the finalizer that keeps it until nothing of it is left in the databases.
 * The finalizer comes before anything is touched, and goes when all is clean, when the fleet is gone, or when a person says so.
 */
import { ShardMigrations } from '#controllers/caches.ts';
import type { Applier } from '#kernel/apply.ts';
import { ConflictError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { MigrationObjects } from './deps.ts';
import { FINALIZER } from './facts.ts';

export function migrationObjects(client: KubeClient, applier: Applier): MigrationObjects {
  const live: MigrationObjects['live'] = ({ metadata: { namespace, name } }, signal) =>
    orUndefined(client.get(ShardMigrations, { namespace, name }, { signal }));
  return {
    live,
    async applyStatus(raw, status, over, signal) {
      return (await applier.applyStatus(raw, status, { signal, over })).object;
    },
    async setFinalizer(raw, wanted, signal) {
      const found = await live(raw, signal);
      if (!found || found.metadata.uid !== raw.metadata.uid) return undefined;
      const { finalizers = [], resourceVersion, namespace, name } = found.metadata;
      if (finalizers.includes(FINALIZER) === wanted) return undefined;
      if (wanted && found.metadata.deletionTimestamp !== undefined) {
        throw new ConflictError(409, { message: 'it is being deleted' }, { verb: 'patch', path: name });
      }
      const others = finalizers.filter(finalizer => finalizer !== FINALIZER);
      // Compare-and-swap: another finalizer that comes or goes meanwhile is not overwritten.
      const body = { metadata: { resourceVersion, finalizers: wanted ? [...others, FINALIZER] : others } };
      return orUndefined(
        client.patch(ShardMigrations, { namespace, name }, { type: 'merge', body }, { signal }),
      );
    },
  };
}
