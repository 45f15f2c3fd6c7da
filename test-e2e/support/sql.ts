/**
 * SQL as people run it: psql as an application from a pod beside the fleet, by the Services' names; and psql as the superuser
 * inside a member, for looking at what no login may see.
 */
import { Pods } from '#kernel/resources.ts';
import type { TestNamespace } from './namespace.ts';

/** First line of what psql said when it failed. */
export class SqlError extends Error {
  override readonly name = 'SqlError';
}

/** Rows as psql prints them unaligned: columns separated by `|`. */
export async function superuserSql(
  namespace: TestNamespace,
  pod: string,
  sql: string,
  database = 'app',
): Promise<string[]> {
  const target = ['--container=database', '--namespace', namespace.name, pod];
  return psql(namespace, target, [], `host=/run/postgresql user=postgres dbname=${database}`, sql);
}

const clientPod = 'client';

/** A pod with psql that has nothing of the fleet but the network. Call once before {@link applicationSql}. */
export async function startClientPod(namespace: TestNamespace): Promise<void> {
  await namespace.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: clientPod, labels: { app: 'client' } },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 999,
        runAsGroup: 999,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'client',
          image: namespace.operator.postgresImage,
          imagePullPolicy: 'IfNotPresent',
          command: ['sleep', 'infinity'],
          resources: { requests: { cpu: '5m', memory: '16Mi' } },
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
        },
      ],
      volumes: [{ name: 'tmp', emptyDir: {} }],
    },
  });
  await namespace.until(Pods, clientPod, pod =>
    pod?.status?.phase === 'Running' ? undefined : `it is ${pod?.status?.phase}`,
  );
}

export interface Login {
  /** Service, with or without port; the pooler's port by default. */
  readonly host: string;
  readonly port?: 5432 | 6432;
  readonly user: string;
  readonly password: string;
  readonly database?: string;
  readonly sslmode?: 'disable' | 'require' | 'verify-full';
  /** PEM; for verify-full. */
  readonly ca?: string;
}

/** Runs SQL from the client pod. Throws {@link SqlError} with the server's or libpq's message. */
export async function applicationSql(namespace: TestNamespace, login: Login, sql: string): Promise<string[]> {
  const { host, port = 6432, user, database = 'app', sslmode = 'require', ca } = login;
  if (ca !== undefined) {
    await namespace.cluster.kubectl(
      ['exec', '--stdin', '--namespace', namespace.name, clientPod, '--', 'tee', '/tmp/ca.crt'],
      { input: ca },
    );
  }
  const connection = [
    `host=${host} port=${port} user=${user} dbname=${database} sslmode=${sslmode} connect_timeout=10`,
    ...(ca === undefined ? [] : ['sslrootcert=/tmp/ca.crt']),
  ].join(' ');
  const environment = ['env', `PGPASSWORD=${login.password}`];
  return psql(namespace, ['--namespace', namespace.name, clientPod], environment, connection, sql);
}

async function psql(
  namespace: TestNamespace,
  target: readonly string[],
  environment: readonly string[],
  connection: string,
  sql: string,
): Promise<string[]> {
  const command = [...environment, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', sql, connection];
  const result = await namespace.cluster.tryKubectl(['exec', ...target, '--', ...command]);
  if (result.code !== 0) {
    const said = result.stderr.split('\n').filter(line => !line.startsWith('command terminated'));
    throw new SqlError(said.join('\n').trim() || `psql ended with code ${result.code}`);
  }
  return result.stdout.split('\n').filter(line => line !== '');
}
