/** A BackupPolicy of the fleet `fleet`, and the Secret `s3` that its bucket wants. */
import { BackupPolicies } from '#controllers/caches.ts';
import type { BackupPolicySpec } from '#crds/api/backup-policy.ts';
import type { KubeObject } from '#kernel/object.ts';

export function backupPolicyManifest(
  metadata: KubeObject['metadata'],
  over: Partial<BackupPolicySpec> = {},
): KubeObject {
  return {
    apiVersion: BackupPolicies.apiVersion,
    kind: BackupPolicies.kind,
    metadata,
    spec: {
      clusters: { names: ['fleet'] },
      objectives: { rpo: '10s', rto: '5m' },
      schedule: { full: '0 2 * * 0' },
      destinations: [
        { s3: { endpoint: 'https://s3.example', bucket: 'backups', credentials: { secretName: 's3' } } },
      ],
      ...over,
    },
  };
}

export function storeSecretManifest(namespace: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace, name: 's3' },
    stringData: { 'access-key-id': 'id', 'secret-access-key': 'very-secret' },
  };
}
