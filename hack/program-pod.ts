/**
 * A program of this tree as a pod: bundled into one file, handed over in a ConfigMap of the pod's name, run by the operator's
 * image under the restricted standard without any right.
 */
import { build } from 'esbuild';
import type { KubeObject } from '#kernel/object.ts';

export interface ProgramPod {
  /** Of pod and ConfigMap. */
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** The program's source file. */
  readonly entryPoint: string;
  readonly image: string;
  readonly env?: readonly object[];
  /** A Secret that is mounted at /secret. */
  readonly secret?: string | undefined;
  readonly memory?: string | undefined;
  /** A node that will be stopped, and with it whatever runs there. */
  readonly avoidNode?: string | undefined;
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

export async function programConfigMap({ name, entryPoint }: ProgramPod): Promise<KubeObject> {
  const data = { 'program.mjs': await bundled(entryPoint) };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
}

export function programPod({
  name,
  labels = {},
  image,
  env = [],
  secret,
  memory = '48Mi',
  avoidNode,
}: ProgramPod): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
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

function notOn(node: string): Record<string, unknown> {
  const matchExpressions = [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: [node] }];
  return {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] },
    },
  };
}
