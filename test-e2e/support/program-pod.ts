/**
 * Programs of the tests as pods: bundled into one file, handed over in a ConfigMap, run by the operator's image under the
 * restricted standard without any right. What they have to say they print, one JSON object a line.
 */
import { build } from 'esbuild';
import type { KubeObject } from '#kernel/object.ts';
import { type Pod, Pods } from '#kernel/resources.ts';
import type { TestNamespace } from './namespace.ts';

export interface ProgramOptions {
  /** Of pod and ConfigMap. */
  readonly name: string;
  /** Label `app` of the pod. */
  readonly app: string;
  /** The program's source file. */
  readonly entryPoint: string;
  readonly env: readonly object[];
  /** A Secret that is mounted at /secret. */
  readonly secret?: string;
  readonly memory?: string;
  readonly image?: string;
  /** A node that will be stopped, and with it whatever runs there. */
  readonly avoidNode?: string;
}

export interface Program {
  /** What it has printed so far. */
  log(): Promise<string>;
  /** Asks it to end, waits until it did, and removes the pod. Resolves with all that it printed. */
  finish(options?: { readonly deadlineMs?: number }): Promise<string>;
  /** Ends it at once. Resolves with what it had printed. */
  remove(): Promise<string>;
}

const bundles = new Map<string, Promise<string>>();

function bundled(entryPoint: string): Promise<string> {
  const known = bundles.get(entryPoint);
  if (known) return known;
  const made = build({
    entryPoints: [entryPoint],
    bundle: true,
    write: false,
    minify: true,
    platform: 'node',
    format: 'esm',
    external: ['pg-native'],
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
  }).then(result => result.outputFiles[0]?.text ?? '');
  bundles.set(entryPoint, made);
  return made;
}

/** Resolves once it runs. */
export async function startProgram(namespace: TestNamespace, options: ProgramOptions): Promise<Program> {
  const { name } = options;
  await namespace.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { 'program.mjs': await bundled(options.entryPoint) },
  });
  // One that a failed test has left behind.
  await namespace.delete(Pods, name, { gracePeriodSeconds: 0 }).catch(() => undefined);
  await namespace.gone(Pods, name);
  await namespace.apply(podOf(options, options.image ?? namespace.operator.image));
  await namespace.until(Pods, name, pod =>
    pod?.status?.phase === 'Running' ? undefined : `the pod is ${pod?.status?.phase}`,
  );
  const log = async (): Promise<string> => `${await namespace.kubectl('logs', name)}\n`;
  return {
    log,
    async finish({ deadlineMs = 120_000 } = {}) {
      // It may have ended by itself.
      await namespace
        .kubectl('exec', name, '--', 'node', '-e', "process.kill(1, 'SIGTERM')")
        .catch(() => undefined);
      const pod = await namespace.until(
        Pods,
        name,
        found => (isDone(found) ? undefined : `the program is ${found?.status?.phase}`),
        { deadlineMs },
      );
      const text = await log();
      await namespace.delete(Pods, name, { gracePeriodSeconds: 0 });
      if (pod.status?.phase === 'Failed') {
        const tail = text.slice(-2000);
        throw new Error(
          `the program ${name} failed: ${JSON.stringify(pod.status.containerStatuses)}\n${tail}`,
        );
      }
      return text;
    },
    async remove() {
      const text = await log();
      await namespace.delete(Pods, name, { gracePeriodSeconds: 0 });
      await namespace.gone(Pods, name);
      return text;
    },
  };
}

function isDone(pod: Pod | undefined): boolean {
  return pod?.status?.phase === 'Succeeded' || pod?.status?.phase === 'Failed';
}

function notOn(node: string): Record<string, unknown> {
  const matchExpressions = [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: [node] }];
  return {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] },
    },
  };
}

function podOf(options: ProgramOptions, image: string): KubeObject {
  const { name, app, env, secret, avoidNode, memory = '48Mi' } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app } },
    spec: {
      restartPolicy: 'Never',
      enableServiceLinks: false,
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      ...(avoidNode === undefined ? {} : { affinity: notOn(avoidNode) }),
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65_532,
        runAsGroup: 65_532,
        fsGroup: 65_532,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'program',
          image,
          imagePullPolicy: 'IfNotPresent',
          command: ['node', '/program/program.mjs'],
          env,
          resources: { requests: { cpu: '10m', memory } },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          volumeMounts: [
            { name: 'program', mountPath: '/program' },
            ...(secret === undefined ? [] : [{ name: 'secret', mountPath: '/secret', readOnly: true }]),
          ],
        },
      ],
      volumes: [
        { name: 'program', configMap: { name } },
        ...(secret === undefined ? [] : [{ name: 'secret', secret: { secretName: secret } }]),
      ],
    },
  };
}
