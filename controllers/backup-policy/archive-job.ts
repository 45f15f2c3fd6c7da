/**
 * The Job that archives old rows of one shard. It talks to the database and the object store only: no access to the API server, and
 * secrets as files, of which it gets those that it needs. Pure. The owner reference is the caller's to add.
 */

import { type ArchiveSettings, secretFiles, settingsVariable } from '#archive/settings.ts';
import { durationMs } from '#controllers/duration.ts';
import type { BackupDestination } from '#crds/api/backup/destination.ts';
import type { BackupPolicySpec } from '#crds/api/backup-policy.ts';
import { annotations, clusterLabels, labels, shardChildren, shardLabels } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import { environmentJson } from '#kernel/json-text.ts';
import type { KubeObject } from '#kernel/object.ts';

export interface ArchiveRequest {
  /** Of the moment that it stands for. */
  readonly name: string;
  readonly archive: NonNullable<BackupPolicySpec['archive']>;
  readonly destination: Pick<BackupDestination, 's3'>;
  /** In the bucket, of the fleet's incarnation: that of its backups. */
  readonly path: string;
}

/** The operator's own image: the program is beside the operator. */
export interface ArchiveImage {
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Names of Secrets with registry credentials, in the namespace of the fleet. */
  readonly pullSecrets: readonly string[];
}

const program = '/opt/shardwright/archive.mjs';
const secretsFolder = '/etc/shardwright/archive';
/** What is left is done by the next one. */
const DEADLINE_SECONDS = 6 * 3600;
/** A statement ends, and what was done is said. */
const STOP_SECONDS = 30;
const USER = 65532;

/** `serverName`: what the server's certificate is checked for. */
export function archiveJob(
  shard: Shard,
  request: ArchiveRequest,
  serverName: string,
  image: ArchiveImage,
): KubeObject {
  const { name, namespace = '' } = shard.metadata;
  const cluster = shard.spec.cluster.name;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: shardChildren.archiveJob(name),
      namespace,
      labels: { ...shardLabels(cluster, name), [labels.task]: 'archive' },
      annotations: { [annotations.request]: request.name },
    },
    spec: {
      backoffLimit: 0,
      completions: 1,
      parallelism: 1,
      activeDeadlineSeconds: DEADLINE_SECONDS,
      template: {
        metadata: {
          labels: { ...clusterLabels(cluster), [labels.task]: 'archive', [labels.taskOf]: name },
        },
        spec: {
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: STOP_SECONDS,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: USER,
            runAsGroup: USER,
            fsGroup: USER,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          ...(image.pullSecrets.length > 0
            ? { imagePullSecrets: image.pullSecrets.map(secret => ({ name: secret })) }
            : {}),
          containers: [container(shard, request, serverName, image)],
          volumes: [{ name: 'secrets', projected: { defaultMode: 0o440, sources: secrets(shard, request) } }],
        },
      },
    },
  };
}

function container(
  shard: Shard,
  request: ArchiveRequest,
  serverName: string,
  image: ArchiveImage,
): Record<string, unknown> {
  return {
    name: 'archive',
    image: image.image,
    imagePullPolicy: image.imagePullPolicy,
    command: ['/usr/local/bin/node', '--max-old-space-size=512', program],
    env: [{ name: settingsVariable, value: environmentJson(settings(shard, request, serverName)) }],
    // Kubernetes takes what the program says at its end from there.
    terminationMessagePolicy: 'File',
    resources: { requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '1Gi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [{ name: 'secrets', mountPath: secretsFolder, readOnly: true }],
  };
}

function settings(
  shard: Shard,
  { archive, destination, path }: ArchiveRequest,
  serverName: string,
): ArchiveSettings {
  const { name, namespace = '' } = shard.metadata;
  const { endpoint, bucket, region } = destination.s3;
  return {
    shard: name,
    // The read-write Service bears the shard's name and leads to the primary.
    database: { host: `${name}.${namespace}.svc`, serverName, name: shard.spec.engine.database },
    store: { ...(endpoint !== undefined && { endpoint }), bucket, region, path },
    tables: archive.tables.map(({ name: table, column, olderThan }) => ({
      name: table,
      column,
      olderThanSeconds: durationMs(olderThan) / 1000,
    })),
    deleteAfter: archive.deleteAfter,
    secretsFolder,
  };
}

/** Single keys, never whole Secrets: those of the fleet hold more than this program may know. */
function secrets({ spec }: Shard, { destination: { s3 } }: ArchiveRequest): readonly unknown[] {
  return [
    file(spec.secrets.internal, 'superuser', secretFiles.databasePassword),
    file(spec.secrets.ca, 'ca.crt', secretFiles.databaseCa),
    file(s3.credentials.secretName, 'access-key-id', secretFiles.accessKeyId),
    file(s3.credentials.secretName, 'secret-access-key', secretFiles.secretAccessKey),
    ...(s3.ca ? [file(s3.ca.secretName, s3.ca.key, secretFiles.storeCa)] : []),
  ];
}

function file(name: string, key: string, path: string): unknown {
  return { secret: { name, items: [{ key, path }] } };
}
