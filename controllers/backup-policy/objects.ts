/** What the BackupPolicy controller writes to the API server. */

import { isBackupField } from '#controllers/backup-fields.ts';
import { BackupPolicies, Shards } from '#controllers/caches.ts';
import { labels } from '#crds/api/names.ts';
import type { Applier } from '#kernel/apply.ts';
import { AlreadyExistsError, ConflictError, InvalidError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { Jobs, Pods, Secrets } from '#kernel/resources.ts';
import type { BackupObjects } from './deps.ts';

export function backupObjects(client: KubeClient, applier: Applier): BackupObjects {
  return {
    async shardStatus(raw, status, signal) {
      return (await applier.applyStatus(raw, status, { signal, owns: isBackupField })).object;
    },
    async policyStatus(raw, status, signal) {
      return (await applier.applyStatus(raw, status, { signal })).object;
    },
    async applySecret(secret, signal) {
      const { object } = await applier.apply(secret, { signal });
      return object.metadata.resourceVersion ?? '';
    },
    async annotatePod({ metadata }, annotation, value, signal) {
      const body = { metadata: { annotations: { [annotation]: value } } };
      await orUndefined(client.patch(Pods, metadata, { type: 'merge', body }, { signal }));
    },
    async deleteSecret(key, signal) {
      const found = await orUndefined(client.get(Secrets, key, { signal }));
      const { uid, labels: marks } = found?.metadata ?? {};
      if (!uid || marks?.[labels.managedBy] !== labels.managedByValue) return;
      await gone(client.delete(Secrets, key, { signal, preconditions: { uid } }));
    },
    async createJob(job, signal) {
      try {
        await client.create(job, { signal, fieldValidation: 'Strict' });
        return true;
      } catch (error) {
        if (error instanceof AlreadyExistsError) return false;
        throw error;
      }
    },
    async deleteJob({ namespace, name, uid }, signal) {
      await gone(
        client.delete(
          Jobs,
          { namespace, name },
          { signal, propagationPolicy: 'Background', ...(uid ? { preconditions: { uid } } : {}) },
        ),
      );
    },
    async removeAnnotation(raw, annotation, value, signal) {
      const path = `/metadata/annotations/${annotation.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      const resource = raw.kind === Shards.kind ? Shards : BackupPolicies;
      const body = [
        { op: 'test', path, value },
        { op: 'remove', path },
      ];
      try {
        return await orUndefined(client.patch(resource, raw.metadata, { type: 'json', body }, { signal }));
      } catch (error) {
        // Somebody has written another value, or taken it away.
        if (error instanceof InvalidError) return undefined;
        throw error;
      }
    },
  };
}

async function gone(deletion: Promise<void>): Promise<void> {
  try {
    await orUndefined(deletion);
  } catch (error) {
    // Another one bears the name now.
    if (!(error instanceof ConflictError)) throw error;
  }
}
