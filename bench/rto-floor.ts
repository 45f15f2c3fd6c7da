/** The least that a restore can take, in a pod of the members' image with a volume like a drill's. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { shardChildren } from '#crds/api/names.ts';
import { locked } from '#engines/postgresql/containers.ts';
import { paths } from '#engines/postgresql/names.ts';
import { podSecurity, readable } from '#engines/postgresql/pod.ts';
import type { KubeObject } from '#kernel/object.ts';
import { Pods } from '#kernel/resources.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';

const floor = z.object({ copiedBytes: z.number(), copySeconds: z.number(), startSeconds: z.number() });
export type Floor = z.infer<typeof floor>;

const pod = 'floor';

/** Resolves once it has a finished data directory: restored, recovered, and stopped in peace. */
export async function startFloorPod(
  namespace: TestNamespace,
  { shard, volume }: { readonly shard: string; readonly volume: string },
): Promise<void> {
  await namespace.apply(podOf(namespace.operator.postgresImage, shard, volume));
  await namespace.until(Pods, pod, found =>
    found?.status?.phase === 'Running' ? undefined : `it is ${found?.status?.phase}`,
  );
  await program(namespace, ['prepare', shard]);
}

/** Copies a backup and throws the copy away, then starts the server and stops it. */
export async function copyAndStart(namespace: TestNamespace, shard: string, label: string): Promise<Floor> {
  const said = await program(namespace, ['measure', shard, label]);
  return floor.parse(JSON.parse(said.trim().split('\n').at(-1) ?? ''));
}

async function program(namespace: TestNamespace, args: readonly string[]): Promise<string> {
  const input = await readFile(`${import.meta.dirname}/rto-floor.py`, 'utf8');
  const target = ['exec', '--stdin', `--namespace=${namespace.name}`, pod];
  return namespace.cluster.kubectl([...target, '--', 'python3', '-s', '-', ...args], { input });
}

function podOf(image: string, shard: string, volume: string): KubeObject {
  const volumes = {
    tmp: { mountPath: '/tmp', of: { emptyDir: {} } },
    sockets: { mountPath: paths.sockets, of: { emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } } },
    memory: { mountPath: '/dev/shm', of: { emptyDir: { medium: 'Memory' } } },
    backup: {
      mountPath: paths.backup,
      of: { secret: { secretName: shardChildren.backupSecret(shard), defaultMode: readable } },
    },
    data: {
      mountPath: paths.volume,
      of: {
        ephemeral: {
          volumeClaimTemplate: {
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: volume } } },
          },
        },
      },
    },
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: pod, labels: { app: pod } },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 0,
      securityContext: podSecurity,
      containers: [
        {
          name: pod,
          image,
          imagePullPolicy: 'IfNotPresent',
          command: ['sleep', 'infinity'],
          resources: { requests: { cpu: '25m', memory: '96Mi' } },
          securityContext: locked,
          volumeMounts: Object.entries(volumes).map(([name, { mountPath }]) => ({ name, mountPath })),
        },
      ],
      volumes: Object.entries(volumes).map(([name, { of }]) => ({ name, ...of })),
    },
  };
}
