/** The two containers of a member. No secret is in their environment or arguments: all of them are mounted files. */
import type { Shard } from '#crds/api/shard.ts';
import type { RenderContext } from '#engines/engine.ts';
import { containers, paths, ports, users } from './names.ts';
import { namespaceOf } from './object.ts';

export const locked = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};

export function databaseContainer(shard: Shard, context: RenderContext): Record<string, unknown> {
  return {
    name: containers.database,
    ...imageOf(shard, context),
    args: ['database'],
    env: [
      { name: 'POD_IP', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.podIP' } } },
      { name: 'PATRONI_NAME', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } },
      { name: 'PATRONI_KUBERNETES_POD_IP', value: '$(POD_IP)' },
      { name: 'PATRONI_KUBERNETES_NAMESPACE', value: namespaceOf(shard) },
      { name: 'PATRONI_RESTAPI_CONNECT_ADDRESS', value: `$(POD_IP):${ports.rest}` },
      { name: 'PATRONI_POSTGRESQL_CONNECT_ADDRESS', value: `$(POD_IP):${ports.postgresql}` },
    ],
    ports: [
      { name: 'postgresql', containerPort: ports.postgresql, protocol: 'TCP' },
      { name: 'rest', containerPort: ports.rest, protocol: 'TCP' },
      { name: 'backup', containerPort: ports.backup, protocol: 'TCP' },
    ],
    // Looked at every second until it is ready for the first time, which a large copy may take a day to be; the readiness
    // probe then runs at once, and seldom.
    startupProbe: { ...rest('/readiness'), periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 86_400 },
    readinessProbe: { ...rest('/readiness'), periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 2 },
    // Fails only when Patroni's loop has stood still for more than the ttl. Killing a busy primary would be worse than
    // waiting another minute.
    livenessProbe: { ...rest('/liveness'), periodSeconds: 10, timeoutSeconds: 10, failureThreshold: 6 },
    resources: amounts(shard.spec.resources, { cpu: '50m', memory: '128Mi' }),
    securityContext: locked,
    volumeMounts: [
      { name: 'data', mountPath: paths.volume },
      { name: 'sockets', mountPath: paths.sockets },
      { name: 'database-tmp', mountPath: '/tmp' },
      { name: 'shared-memory', mountPath: '/dev/shm' },
      { name: 'settings', mountPath: paths.settings, readOnly: true },
      { name: 'tls', mountPath: paths.certificates, readOnly: true },
      { name: 'passwords', mountPath: paths.passwords, readOnly: true },
      { name: 'backup', mountPath: paths.backup, readOnly: true },
      { name: 'api-access', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true },
    ],
  };
}

export function poolerContainer(shard: Shard, context: RenderContext): Record<string, unknown> {
  const open = { tcpSocket: { port: 'pooler' } };
  return {
    name: containers.pooler,
    ...imageOf(shard, context),
    args: ['pooler'],
    ports: [{ name: 'pooler', containerPort: ports.pooler, protocol: 'TCP' }],
    startupProbe: { ...open, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 60 },
    readinessProbe: { ...open, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 2 },
    livenessProbe: { ...open, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    resources: amounts(shard.spec.pooler.resources, { cpu: '10m', memory: '16Mi' }),
    securityContext: { ...locked, runAsUser: users.pooler },
    volumeMounts: [
      { name: 'sockets', mountPath: paths.sockets },
      { name: 'pooler-tmp', mountPath: '/tmp' },
      { name: 'settings', mountPath: paths.settings, readOnly: true },
      { name: 'tls', mountPath: paths.certificates, readOnly: true },
    ],
  };
}

export function imageOf(shard: Shard, context: RenderContext): Record<string, unknown> {
  return {
    image: shard.spec.image ?? shard.spec.engine.image ?? context.image,
    imagePullPolicy: context.imagePullPolicy,
  };
}

/** A request is always there: pods without one are the first that a node under pressure throws out. */
export function amounts(
  spec: Shard['spec']['resources'],
  least: { cpu: string; memory: string },
): Record<string, unknown> {
  const requests = { ...least, ...spec.limits, ...spec.requests };
  return { requests, ...(spec.limits && { limits: { ...spec.limits } }) };
}

function rest(path: string): Record<string, unknown> {
  return { httpGet: { path, port: 'rest', scheme: 'HTTPS' } };
}
