/** One plain PostgreSQL with the same rows, to compare answers with. It lives for the comparison only. */
import type { KubeObject } from '#kernel/object.ts';
import type { Kubectl } from './fleet.ts';
import { type City, cityColumns } from './world.ts';

const pod = 'plain-postgresql';
const script = `
initdb --pgdata=/tmp/data --username=postgres --auth=trust >/dev/null
exec postgres -D /tmp/data -c listen_addresses='' -c unix_socket_directories=/tmp -c fsync=off`;

/** Runs `work` with a function that answers SQL with rows of text. The pod is gone afterwards, whatever happened. */
export async function withPlainPostgres<T>(
  kubectl: Kubectl,
  image: string,
  work: (
    query: (sql: string) => Promise<string[][]>,
    load: (cities: readonly City[]) => Promise<void>,
  ) => Promise<T>,
): Promise<T> {
  await remove(kubectl);
  await kubectl(['create', '--filename=-'], JSON.stringify(manifest(image)));
  try {
    await kubectl(['wait', `pod/${pod}`, '--for=condition=Ready', '--timeout=180s']);
    const psql = (args: readonly string[], input?: string) =>
      kubectl(
        [
          'exec',
          '--stdin',
          pod,
          '--',
          'psql',
          '--host=/tmp',
          '--username=postgres',
          '--no-psqlrc',
          '--quiet',
          '--set=ON_ERROR_STOP=1',
          '--tuples-only',
          '--no-align',
          '--field-separator=\t',
          ...args,
        ],
        input,
      );
    const query = async (sql: string) => {
      const text = await psql(['--file=-'], sql);
      return text === '' ? [] : text.split('\n').map(line => line.split('\t'));
    };
    const load = async (cities: readonly City[]) => {
      await query(createTable);
      await psql([`--command=COPY cities (${cityColumns}) FROM STDIN (FORMAT csv)`], csv(cities));
    };
    return await work(query, load);
  } finally {
    await remove(kubectl);
  }
}

/** The columns of manifests/samples/social.yaml. */
const createTable = `CREATE TABLE cities (id bigint PRIMARY KEY, name text, alt_name text, country char(2), muni text,
  muni_sub text, feature_code text, admin_code text, population bigint, longitude double precision,
  latitude double precision)`;

function csv(cities: readonly City[]): string {
  const columns = cityColumns.split(', ');
  return cities
    .map(city => {
      const row = new Map<string, string | number | null>(Object.entries(city));
      return columns.map(column => cell(row.get(column))).join(',');
    })
    .join('\n');
}

function cell(value: string | number | null = null): string {
  return value === null ? '' : `"${String(value).replaceAll('"', '""')}"`;
}

function remove(kubectl: Kubectl): Promise<string> {
  return kubectl(['delete', 'pod', pod, '--ignore-not-found', '--grace-period=1', '--wait']);
}

function manifest(image: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: pod },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'postgresql',
          image,
          imagePullPolicy: 'IfNotPresent',
          command: ['bash', '-c', script],
          readinessProbe: {
            exec: { command: ['psql', '--host=/tmp', '--username=postgres', '--command=SELECT 1'] },
            periodSeconds: 1,
          },
          resources: { requests: { cpu: '25m', memory: '96Mi' } },
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          volumeMounts: [{ name: 'scratch', mountPath: '/tmp' }],
        },
      ],
      volumes: [{ name: 'scratch', emptyDir: {} }],
    },
  };
}
