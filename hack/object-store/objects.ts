/**
 * An S3 server in a cluster, as objects to apply: one pod over TLS, with an authority and credentials of its own. What a
 * BackupPolicy needs to know of it is in two Secrets: `<name>-credentials` (access-key-id, secret-access-key) and `<name>-ca` (ca.crt).
 */
import { randomBytes } from 'node:crypto';
import { createAuthority, issueCertificate } from '#controllers/pki/authority.ts';
import type { KubeObject } from '#kernel/object.ts';

export interface ObjectStoreOptions {
  readonly namespace: string;
  readonly name: string;
  readonly image: string;
  readonly bucket: string;
  /** Size of a volume that outlives the pod; a scratch volume if absent. */
  readonly volume?: string;
  readonly now: Date;
  /** Of the server's certificate, in days. */
  readonly certificateDays?: number;
}

export const objectStorePort = 7070;

/** `https://host:port`, as pods of the cluster reach it. */
export function objectStoreEndpoint({
  name,
  namespace,
}: Pick<ObjectStoreOptions, 'name' | 'namespace'>): string {
  return `https://${name}.${namespace}.svc:${objectStorePort}`;
}

export const newCredentials = () => ({
  'access-key-id': `AK${randomBytes(8).toString('hex')}`,
  'secret-access-key': randomBytes(20).toString('hex'),
});

/** Secrets first: they are made once and kept, so that what was stored can be read again. */
export async function objectStoreSecrets(options: ObjectStoreOptions): Promise<readonly KubeObject[]> {
  const { name, namespace, now } = options;
  const authority = await createAuthority(`${name} object store`, now);
  const names = [`${name}.${namespace}.svc`, `${name}.${namespace}.svc.cluster.local`, name, 'localhost'];
  const server = await issueCertificate(authority, names, now, options.certificateDays ?? 365);
  const secret = (suffix: string, stringData: Record<string, string>): KubeObject => ({
    ...meta(options, 'v1', 'Secret', `${name}-${suffix}`),
    stringData,
  });
  return [
    secret('credentials', newCredentials()),
    secret('ca', { 'ca.crt': authority.certificate }),
    secret('tls', { 'tls.crt': server.certificate, 'tls.key': server.key }),
  ];
}

export function objectStoreServer(options: ObjectStoreOptions): readonly KubeObject[] {
  const { name, volume } = options;
  const pod = { app: name };
  const claim: KubeObject = {
    ...meta(options, 'v1', 'PersistentVolumeClaim', name),
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: volume } } },
  };
  return [
    ...(volume === undefined ? [] : [claim]),
    {
      ...meta(options, 'v1', 'Service', name),
      spec: { selector: pod, ports: [{ name: 's3', port: objectStorePort, targetPort: 's3' }] },
    },
    {
      ...meta(options, 'apps/v1', 'Deployment', name),
      spec: {
        replicas: 1,
        // The folder is one process's at a time.
        strategy: { type: 'Recreate' },
        selector: { matchLabels: pod },
        template: { metadata: { labels: pod }, spec: podSpec(options) },
      },
    },
  ];
}

function podSpec({ name, image, bucket, volume }: ObjectStoreOptions): object {
  const locked = {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  };
  const credential = (variable: string, key: string) => ({
    name: variable,
    valueFrom: { secretKeyRef: { name: `${name}-credentials`, key } },
  });
  const data = { name: 'data', mountPath: '/data' };
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 2,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 65_532,
      fsGroup: 65_532,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    // A bucket is a folder.
    initContainers: [
      {
        name: 'bucket',
        image,
        command: ['mkdir', '-p', `/data/${bucket}`],
        securityContext: locked,
        volumeMounts: [data],
      },
    ],
    containers: [
      {
        name: 's3',
        image,
        args: [
          `--port=:${objectStorePort}`,
          '--cert=/etc/tls/tls.crt',
          '--key=/etc/tls/tls.key',
          '--keep-alive',
          '--quiet',
          'posix',
          '/data',
        ],
        env: [
          credential('ROOT_ACCESS_KEY', 'access-key-id'),
          credential('ROOT_SECRET_KEY', 'secret-access-key'),
        ],
        ports: [{ name: 's3', containerPort: objectStorePort }],
        readinessProbe: { tcpSocket: { port: 's3' }, periodSeconds: 1 },
        resources: { requests: { cpu: '20m', memory: '32Mi' } },
        securityContext: locked,
        volumeMounts: [
          data,
          { name: 'tls', mountPath: '/etc/tls', readOnly: true },
          { name: 'tmp', mountPath: '/tmp' },
        ],
      },
    ],
    volumes: [
      {
        name: 'data',
        ...(volume === undefined ? { emptyDir: {} } : { persistentVolumeClaim: { claimName: name } }),
      },
      { name: 'tls', secret: { secretName: `${name}-tls`, defaultMode: 0o440 } },
      { name: 'tmp', emptyDir: {} },
    ],
  };
}

function meta(
  { namespace, name }: Pick<ObjectStoreOptions, 'namespace' | 'name'>,
  apiVersion: string,
  kind: string,
  own: string,
): KubeObject {
  return { apiVersion, kind, metadata: { name: own, namespace, labels: { 'app.kubernetes.io/name': name } } };
}
