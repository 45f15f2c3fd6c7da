/** Runs a program of the demo as a pod beside the fleet: bundled into a ConfigMap, without any right, in the operator's image. */
import { build } from 'esbuild';
import { SetupError } from '#hack/setup-error.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Kubectl } from './fleet.ts';

export interface Program {
  /** What it has printed so far. */
  log(): Promise<string>;
  /** Asks it to end, waits until it did. Resolves with all that it printed. */
  finish(): Promise<string>;
}

interface ProgramOptions {
  readonly name: string;
  readonly entryPoint: string;
  readonly image: string;
  /** Mounted at /secret. */
  readonly secret: string;
}

const runningWithin = '--timeout=180s';
const endedWithin = '--timeout=120s';

/** The program and what it was made from are gone afterwards, whatever `work` did. */
export async function withProgram<T>(
  kubectl: Kubectl,
  options: ProgramOptions,
  work: (program: Program) => Promise<T>,
): Promise<T> {
  const { name } = options;
  await remove(kubectl, name);
  try {
    for (const object of await manifests(options)) {
      await kubectl(['create', '--filename=-'], JSON.stringify(object));
    }
    await kubectl(['wait', `pod/${name}`, '--for=jsonpath={.status.phase}=Running', runningWithin]);
    return await work({
      log: () => kubectl(['logs', name]),
      async finish() {
        await kubectl(['exec', name, '--', 'node', '-e', "process.kill(1, 'SIGTERM')"]);
        try {
          await kubectl(['wait', `pod/${name}`, '--for=jsonpath={.status.phase}=Succeeded', endedWithin]);
        } catch (cause) {
          const end = (await kubectl(['logs', name, '--tail=20'])).slice(-2000);
          throw new SetupError('CommandFailed', `the program ${name} failed: ${end}`, 'This is a bug.', {
            cause,
          });
        }
        return kubectl(['logs', name]);
      },
    });
  } finally {
    await remove(kubectl, name);
  }
}

async function remove(kubectl: Kubectl, name: string): Promise<void> {
  await kubectl([
    'delete',
    `pod/${name}`,
    `configmap/${name}`,
    '--ignore-not-found',
    '--grace-period=1',
    '--wait',
  ]);
}

async function bundled(entryPoint: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entryPoint],
    bundle: true,
    write: false,
    minify: true,
    platform: 'node',
    format: 'esm',
    external: ['pg-native'],
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
  });
  return outputFiles[0]?.text ?? '';
}

async function manifests({
  name,
  entryPoint,
  image,
  secret,
}: ProgramOptions): Promise<readonly KubeObject[]> {
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name },
      data: { 'program.mjs': await bundled(entryPoint) },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: {
        restartPolicy: 'Never',
        enableServiceLinks: false,
        automountServiceAccountToken: false,
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
            resources: { requests: { cpu: '10m', memory: '64Mi' } },
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ['ALL'] },
            },
            volumeMounts: [
              { name: 'program', mountPath: '/program' },
              { name: 'secret', mountPath: '/secret', readOnly: true },
            ],
          },
        ],
        volumes: [
          { name: 'program', configMap: { name } },
          { name: 'secret', secret: { secretName: secret } },
        ],
      },
    },
  ];
}
