/**
 * What the Jobs of a shard have in common: the members' image, the rights of the shard's ServiceAccount, the store's settings,
 * the `restricted` Pod Security Standard, and one pod that is not tried again - a failure is told, and the next one is the
 * controller's to decide on. Owner references are the caller's to add.
 */

import { annotations, clusterLabels, labels, shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { RenderContext } from '#engines/engine.ts';
import { environmentJson } from '#kernel/json-text.ts';
import type { KubeObject } from '#kernel/object.ts';
import { amounts, imageOf, locked } from '../containers.ts';
import { paths } from '../names.ts';
import { labelsOf, namespaceOf } from '../object.ts';
import { apiAccessVolume, podSecurity, readable, regionAffinity } from '../pod.ts';

export interface Task {
  readonly kind: 'backup' | 'drill' | 'recover' | 'catalog';
  /** Name of the Job. */
  readonly name: string;
  readonly request: { readonly name: string; readonly deadlineSeconds: number };
  /** What the program is told, as JSON in its environment: nothing secret. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly resources: Shard['spec']['resources'];
  /** The shard's own if absent. */
  readonly serviceAccount?: string;
  /** Secret with the store's settings; the shard's own if absent. */
  readonly repositorySecret?: string;
  /** Its volume stays where it runs: Jobs of this kind go to different nodes where they can. */
  readonly spread?: boolean;
  /** How long it is kept once it has ended, where nobody clears it away before; an hour if absent. */
  readonly keepSeconds?: number;
  readonly volumes: readonly Record<string, unknown>[];
  readonly volumeMounts: readonly Record<string, unknown>[];
}

/** Of a task that runs a database of its own, whose files are on `data`, the source of a volume. */
export function databaseVolumes(data: Record<string, unknown>): Pick<Task, 'volumes' | 'volumeMounts'> {
  return {
    volumes: [
      { name: 'data', ...data },
      { name: 'sockets', emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
      { name: 'shared-memory', emptyDir: { medium: 'Memory' } },
    ],
    volumeMounts: [
      { name: 'data', mountPath: paths.volume },
      { name: 'sockets', mountPath: paths.sockets },
      { name: 'shared-memory', mountPath: '/dev/shm' },
    ],
  };
}

/** Time to end what was begun in the database and to say so. */
export const STOP_SECONDS = 30;
/** The program ends in time to say that time was up; Kubernetes is there for the case that it cannot. */
const SAY_SO_SECONDS = 60;
/** What nobody has cleared away is gone after an hour. */
const KEEP_SECONDS = 3600;

export function taskJob(shard: Shard, task: Task, context: RenderContext): KubeObject {
  const { name, kind, request } = task;
  const namespace = namespaceOf(shard);
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name,
      namespace,
      labels: { ...labelsOf(shard), [labels.task]: kind },
      annotations: { [annotations.request]: request.name },
    },
    spec: {
      backoffLimit: 0,
      completions: 1,
      parallelism: 1,
      activeDeadlineSeconds: request.deadlineSeconds + SAY_SO_SECONDS,
      ttlSecondsAfterFinished: task.keepSeconds ?? KEEP_SECONDS,
      template: {
        metadata: {
          labels: {
            ...clusterLabels(shard.spec.cluster.name),
            [labels.task]: kind,
            [labels.taskOf]: shard.metadata.name,
          },
        },
        spec: {
          restartPolicy: 'Never',
          serviceAccountName: task.serviceAccount ?? shard.metadata.name,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: STOP_SECONDS,
          securityContext: podSecurity,
          affinity: regionAffinity(shard),
          ...(task.spread && {
            topologySpreadConstraints: [
              {
                maxSkew: 1,
                topologyKey: 'kubernetes.io/hostname',
                whenUnsatisfiable: 'ScheduleAnyway',
                labelSelector: {
                  matchLabels: { [labels.cluster]: shard.spec.cluster.name, [labels.task]: kind },
                },
              },
            ],
          }),
          containers: [
            {
              name: kind,
              ...imageOf(shard, context),
              args: [kind],
              env: [
                { name: 'TASK', value: environmentJson({ ...task.input, request: request.name }) },
                { name: 'DEADLINE_SECONDS', value: String(request.deadlineSeconds) },
                { name: 'REPORT_OBJECT', value: `/apis/batch/v1/namespaces/${namespace}/jobs/${name}` },
              ],
              resources: amounts(task.resources, { cpu: '50m', memory: '128Mi' }),
              securityContext: locked,
              volumeMounts: [
                { name: 'tmp', mountPath: '/tmp' },
                { name: 'backup', mountPath: paths.backup, readOnly: true },
                {
                  name: apiAccessVolume.name,
                  mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
                  readOnly: true,
                },
                ...task.volumeMounts,
              ],
            },
          ],
          volumes: [
            { name: 'tmp', emptyDir: {} },
            {
              // Not optional: without a repository there is nothing to do.
              name: 'backup',
              secret: {
                secretName: task.repositorySecret ?? shardChildren.backupSecret(shard.metadata.name),
                defaultMode: readable,
              },
            },
            apiAccessVolume,
            ...task.volumes,
          ],
        },
      },
    },
  };
}
