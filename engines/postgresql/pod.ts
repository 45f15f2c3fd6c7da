/** The pod of a member: where it runs, as whom, with which volumes. Fits the `restricted` Pod Security Standard. */
import { labels, shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { RenderContext } from '#engines/engine.ts';
import { databaseContainer, poolerContainer } from './containers.ts';
import { users } from './names.ts';

const hostname = 'kubernetes.io/hostname';
const region = 'topology.kubernetes.io/region';

/** Time for a last checkpoint and the hand-over of the lock. */
const STOP_SECONDS = 120;

export function podSpec(shard: Shard, context: RenderContext): Record<string, unknown> {
  const { name } = shard.metadata;
  return {
    serviceAccountName: name,
    // Only the database container gets the token, by a volume.
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: STOP_SECONDS,
    securityContext: podSecurity,
    containers: [databaseContainer(shard, context), poolerContainer(shard, context)],
    volumes: volumes(shard),
    ...placement(shard),
  };
}

export const podSecurity = {
  runAsNonRoot: true,
  runAsUser: users.database,
  runAsGroup: users.group,
  fsGroup: users.group,
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

/** Data stay in their regions, copies of them too. */
export function regionAffinity({ spec }: Shard): Record<string, unknown> {
  const regions = spec.spreadRegions ?? (spec.region === undefined ? [] : [spec.region]);
  if (regions.length === 0) return {};
  return {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: region, operator: 'In', values: [...regions] }] }],
      },
    },
  };
}

function placement(shard: Shard): Record<string, unknown> {
  const { spec } = shard;
  const pods = { matchLabels: { [labels.shard]: shard.metadata.name } };
  return {
    affinity: {
      ...regionAffinity(shard),
      podAntiAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 100, podAffinityTerm: { labelSelector: pods, topologyKey: hostname } },
        ],
      },
    },
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: hostname, whenUnsatisfiable: 'ScheduleAnyway', labelSelector: pods },
      ...(spec.spreadRegions === undefined
        ? []
        : [{ maxSkew: 1, topologyKey: region, whenUnsatisfiable: 'DoNotSchedule', labelSelector: pods }]),
    ],
  };
}

/** Mounted secrets belong to root and the group, who may read: PostgreSQL accepts a key with that mode, 0440. */
export const readable = 0o440;

function volumes(shard: Shard): readonly unknown[] {
  const { secrets } = shard.spec;
  return [
    { name: 'sockets', emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
    { name: 'database-tmp', emptyDir: {} },
    { name: 'pooler-tmp', emptyDir: { sizeLimit: '16Mi' } },
    { name: 'shared-memory', emptyDir: { medium: 'Memory' } },
    {
      name: 'settings',
      configMap: { name: shardChildren.settings(shard.metadata.name), defaultMode: readable },
    },
    certificateVolume(shard),
    {
      name: 'passwords',
      projected: {
        defaultMode: readable,
        sources: [
          secretFiles(secrets.internal, { superuser: 'superuser', replication: 'replication', rest: 'rest' }),
        ],
      },
    },
    {
      // Comes and goes with a BackupPolicy; members start without it.
      name: 'backup',
      secret: {
        secretName: shardChildren.backupSecret(shard.metadata.name),
        optional: true,
        defaultMode: readable,
      },
    },
    apiAccessVolume,
  ];
}

export function certificateVolume({ spec: { secrets } }: Shard): Record<string, unknown> {
  return {
    name: 'tls',
    projected: {
      defaultMode: readable,
      sources: [
        secretFiles(secrets.tls, { 'tls.crt': 'tls.crt', 'tls.key': 'tls.key' }),
        // Never the whole Secret: it holds the authority's key.
        secretFiles(secrets.ca, { 'ca.crt': 'ca.crt' }),
      ],
    },
  };
}

export const apiAccessVolume = {
  name: 'api-access',
  projected: {
    defaultMode: readable,
    sources: [
      { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      {
        downwardAPI: {
          items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
        },
      },
    ],
  },
};

function secretFiles(name: string, files: Readonly<Record<string, string>>): unknown {
  return { secret: { name, items: Object.entries(files).map(([key, path]) => ({ key, path })) } };
}
