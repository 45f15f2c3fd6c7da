/**
 * What a person would write without an operator: one Patroni StatefulSet with the Kubernetes API as its store. It is the
 * yardstick of the provision and failover benches, so it is spared everything that costs time: no TLS, no pooler, no
 * NetworkPolicy, readiness asked every second. What decides how long a fail-over takes is the same as in a shard.
 */
import { stringify } from 'yaml';
import type { KubeObject } from '#kernel/object.ts';

export interface BarePatroniOptions {
  readonly name: string;
  readonly namespace: string;
  readonly image: string;
  readonly members: number;
  readonly password: string;
  readonly synchronous: boolean;
  /** Patroni's dynamic configuration: ttl, loop_wait, retry_timeout (seconds), and PostgreSQL's parameters. */
  readonly ttl: number;
  readonly loopWait: number;
  readonly retryTimeout: number;
  readonly parameters: Readonly<Record<string, string | number>>;
  readonly storageSize: string;
}

/** The objects for `kubectl apply`. Writes go to the Service of that name, whose Endpoints Patroni keeps. */
export function barePatroni(options: BarePatroniOptions): KubeObject[] {
  const { name, namespace } = options;
  const labels = { app: 'bare-patroni', cluster: name };
  const meta = { name, namespace, labels };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: meta,
      rules: [
        {
          apiGroups: [''],
          resources: ['endpoints', 'configmaps'],
          verbs: ['get', 'list', 'watch', 'create', 'patch', 'update', 'delete', 'deletecollection'],
        },
        { apiGroups: [''], resources: ['endpoints/restricted'], verbs: ['create'] },
        { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch', 'patch', 'update'] },
        { apiGroups: [''], resources: ['services'], verbs: ['create'] },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: meta,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: meta,
      data: { 'patroni.yaml': stringify(patroni(options)) },
    },
    service(meta, { ports: [{ name: 'postgresql', port: 5432 }] }),
    service(
      { ...meta, name: `${name}-members` },
      { clusterIP: 'None', publishNotReadyAddresses: true, selector: labels, ports: [{ port: 5432 }] },
    ),
    statefulSet(options, labels),
  ];
}

function service(metadata: KubeObject['metadata'], spec: Record<string, unknown>): KubeObject {
  return { apiVersion: 'v1', kind: 'Service', metadata, spec };
}

const dataDir = '/var/lib/postgresql/data';

function patroni(options: BarePatroniOptions): Record<string, unknown> {
  const login = (username: string): Record<string, string> => ({ username, password: options.password });
  return {
    scope: options.name,
    kubernetes: {
      namespace: options.namespace,
      use_endpoints: true,
      scope_label: 'cluster',
      labels: { app: 'bare-patroni' },
      ports: [{ name: 'postgresql', port: 5432 }],
    },
    restapi: { listen: '0.0.0.0:8008' },
    bootstrap: {
      dcs: {
        ttl: options.ttl,
        loop_wait: options.loopWait,
        retry_timeout: options.retryTimeout,
        synchronous_mode: options.synchronous,
        failsafe_mode: true,
        postgresql: { use_pg_rewind: true, use_slots: true, parameters: options.parameters },
      },
      initdb: [
        'data-checksums',
        { encoding: 'UTF8' },
        { 'locale-provider': 'builtin' },
        { locale: 'C.UTF-8' },
      ],
    },
    postgresql: {
      listen: '0.0.0.0:5432',
      data_dir: dataDir,
      bin_dir: '/usr/lib/postgresql/17/bin',
      pgpass: '/tmp/pgpass',
      parameters: { unix_socket_directories: '/run/postgresql' },
      pg_hba: [
        'local all all trust',
        'host all all 0.0.0.0/0 scram-sha-256',
        'host replication standby 0.0.0.0/0 scram-sha-256',
      ],
      authentication: {
        superuser: login('postgres'),
        replication: login('standby'),
        rewind: login('rewind'),
      },
    },
  };
}

function fromField(fieldPath: string): Record<string, unknown> {
  return { valueFrom: { fieldRef: { fieldPath } } };
}

function statefulSet(options: BarePatroniOptions, labels: Record<string, string>): KubeObject {
  const { name, namespace } = options;
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name, namespace, labels },
    spec: {
      replicas: options.members,
      serviceName: `${name}-members`,
      podManagementPolicy: 'Parallel',
      selector: { matchLabels: labels },
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Delete' },
      template: {
        metadata: { labels },
        spec: {
          serviceAccountName: name,
          terminationGracePeriodSeconds: 30,
          securityContext: { runAsNonRoot: true, runAsUser: 999, runAsGroup: 999, fsGroup: 999 },
          affinity: {
            podAntiAffinity: {
              preferredDuringSchedulingIgnoredDuringExecution: [
                {
                  weight: 100,
                  podAffinityTerm: {
                    topologyKey: 'kubernetes.io/hostname',
                    labelSelector: { matchLabels: labels },
                  },
                },
              ],
            },
          },
          containers: [
            {
              name: 'postgres',
              image: options.image,
              imagePullPolicy: 'IfNotPresent',
              command: ['patroni', '/etc/patroni/patroni.yaml'],
              env: [
                { name: 'PATRONI_NAME', ...fromField('metadata.name') },
                { name: 'POD_IP', ...fromField('status.podIP') },
                { name: 'PATRONI_KUBERNETES_POD_IP', value: '$(POD_IP)' },
                { name: 'PATRONI_POSTGRESQL_CONNECT_ADDRESS', value: '$(POD_IP):5432' },
                { name: 'PATRONI_RESTAPI_CONNECT_ADDRESS', value: '$(POD_IP):8008' },
              ],
              ports: [{ containerPort: 5432, name: 'postgresql' }],
              readinessProbe: { httpGet: { path: '/readiness', port: 8008 }, periodSeconds: 1 },
              resources: { requests: { cpu: '25m', memory: '96Mi' } },
              volumeMounts: [
                { name: 'data', mountPath: '/var/lib/postgresql' },
                { name: 'config', mountPath: '/etc/patroni' },
              ],
            },
          ],
          volumes: [{ name: 'config', configMap: { name } }],
        },
      },
      volumeClaimTemplates: [
        {
          metadata: { name: 'data', labels },
          spec: {
            accessModes: ['ReadWriteOnce'],
            resources: { requests: { storage: options.storageSize } },
          },
        },
      ],
    },
  };
}
