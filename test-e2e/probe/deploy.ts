/**
 * Runs the probe as a pod and reads its log. It dials addresses, so that neither DNS nor the API server is between it and the
 * database.
 */
import { build } from 'esbuild';
import type { KubeObject } from '#kernel/object.ts';
import { type Pod, Pods, Services } from '#kernel/resources.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';
import { type ProbeConfig, type ProbeRecord, parseLog } from './records.ts';
import { type ProbeReport, reportOf } from './report.ts';

export interface ProbeOptions {
  /** Name of the Service to write through; the probe's own name too. */
  readonly service: string;
  readonly port?: number;
  readonly database?: string;
  readonly user: string;
  readonly mode?: ProbeConfig['mode'];
  readonly durationMs?: number;
  /** Where the password (and `ca.crt`, if the connection is to be encrypted) comes from. */
  readonly secret: { readonly name: string; readonly passwordKey: string; readonly ca: boolean };
  readonly createTable?: boolean;
  readonly image?: string;
  /** A node that will be stopped, and with it whatever runs there. */
  readonly avoidNode?: string;
}

export interface Probe {
  /** Everything recorded so far. */
  records(): Promise<ProbeRecord[]>;
  /** Stops inserting, waits until the table was read back, and judges. Removes the pod. */
  finish(): Promise<ProbeReport & { readonly records: readonly ProbeRecord[] }>;
}

let bundle: Promise<string> | undefined;

function bundled(): Promise<string> {
  bundle ??= build({
    entryPoints: [`${import.meta.dirname}/main.ts`],
    bundle: true,
    write: false,
    minify: true,
    platform: 'node',
    format: 'esm',
    external: ['pg-native'],
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
  }).then(result => result.outputFiles[0]?.text ?? '');
  return bundle;
}

/** Resolves once the probe can reach the table and has begun to insert. */
export async function startProbe(namespace: TestNamespace, options: ProbeOptions): Promise<Probe> {
  const mode = options.mode ?? 'connect';
  const name = `probe-${options.service}-${mode}`;
  const service = await namespace.get(Services, options.service);
  const config: ProbeConfig = {
    run: `${mode}-${Date.now()}`,
    host: service.spec?.clusterIP ?? '',
    port: options.port ?? 5432,
    database: options.database ?? 'app',
    user: options.user,
    table: 'probe_writes',
    mode,
    intervalMs: 100,
    timeoutMs: 1000,
    durationMs: options.durationMs ?? 600_000,
    createTable: options.createTable ?? false,
    ...(options.secret.ca ? { serverName: `${options.service}.${namespace.name}.svc` } : {}),
  };
  await namespace.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { 'probe.mjs': await bundled() },
  });
  await namespace.apply(podOf(name, config, options, options.image ?? namespace.operator.image));
  const probe = probeOf(namespace, name);
  await namespace.until(Pods, name, pod =>
    pod?.status?.phase === 'Running' ? undefined : `the pod of the probe is ${pod?.status?.phase}`,
  );
  await untilLogged(namespace, probe, name, 'ack');
  return probe;
}

function probeOf(namespace: TestNamespace, name: string): Probe {
  const read = async (): Promise<ProbeRecord[]> => parseLog(`${await namespace.kubectl('logs', name)}\n`);
  return {
    records: read,
    async finish() {
      await namespace.kubectl('exec', name, '--', 'node', '-e', "process.kill(1, 'SIGTERM')");
      const pod = await namespace.until(
        Pods,
        name,
        found => (isDone(found) ? undefined : `the probe is ${found?.status?.phase}`),
        { deadlineMs: 120_000 },
      );
      const records = await read();
      await namespace.delete(Pods, name, { gracePeriodSeconds: 0 });
      if (pod.status?.phase === 'Failed') {
        throw new Error(`the probe ${name} failed: ${JSON.stringify(pod.status.containerStatuses)}`);
      }
      return { ...reportOf(records), records };
    },
  };
}

function isDone(pod: Pod | undefined): boolean {
  return pod?.status?.phase === 'Succeeded' || pod?.status?.phase === 'Failed';
}

async function untilLogged(
  namespace: TestNamespace,
  probe: Probe,
  name: string,
  type: ProbeRecord['type'],
): Promise<void> {
  await eventually(`probe ${name} logs "${type}"`, namespace.name, async () =>
    (await probe.records()).some(record => record.type === type) ? true : undefined,
  );
}

function notOn(node: string): Record<string, unknown> {
  const matchExpressions = [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: [node] }];
  return {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] },
    },
  };
}

function podOf(name: string, config: ProbeConfig, options: ProbeOptions, image: string): KubeObject {
  const { secret } = options;
  const from = (key: string) => ({ valueFrom: { secretKeyRef: { name: secret.name, key } } });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: 'probe' } },
    spec: {
      restartPolicy: 'Never',
      enableServiceLinks: false,
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      ...(options.avoidNode === undefined ? {} : { affinity: notOn(options.avoidNode) }),
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65_532,
        runAsGroup: 65_532,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'probe',
          image,
          imagePullPolicy: 'IfNotPresent',
          command: ['node', '/probe/probe.mjs'],
          env: [
            { name: 'PROBE_CONFIG', value: JSON.stringify(config) },
            { name: 'PROBE_PASSWORD', ...from(secret.passwordKey) },
            ...(secret.ca ? [{ name: 'PROBE_CA', ...from('ca.crt') }] : []),
          ],
          resources: { requests: { cpu: '10m', memory: '48Mi' } },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          volumeMounts: [{ name: 'program', mountPath: '/probe' }],
        },
      ],
      volumes: [{ name: 'program', configMap: { name } }],
    },
  };
}
