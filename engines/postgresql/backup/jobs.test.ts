import { expect, test } from 'vitest';
import { z } from 'zod';
import type { BackupRequest, DrillRequest } from '#engines/backup.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Job } from '#kernel/resources.ts';
import { render } from '../render.ts';
import { sampleShard } from '../testing/shard.ts';
import { backupJob } from './backup-job.ts';
import { drillJob } from './drill-job.ts';

const context: RenderContext = {
  image: 'members:1',
  imagePullPolicy: 'IfNotPresent',
  operator: { namespace: 'shardwright', labels: { app: 'operator' } },
};
const backup: BackupRequest = {
  name: 'social-0-full-20261121T020000Z',
  type: 'full',
  deadlineSeconds: 600,
  expire: ['20261120-020000F'],
  primary: 'social-0-1',
  replica: 'social-0-0',
};
const drill: DrillRequest = {
  name: 'social-0-drill-20261121T040000Z',
  deadlineSeconds: 900,
  target: '0/5000028',
  expect: { mark: 'm@0/5000000', contents: [{ table: 'public.users', rows: '2', hash: '17' }] },
};
const shard = sampleShard({ region: 'eu-west', storage: { size: '5Gi', storageClassName: 'fast' } });
const jobs = [
  { kind: 'backup', job: backupJob(shard, backup, context) as Job },
  { kind: 'drill', job: drillJob(shard, drill, context) as Job },
] as const;

function podOf(job: Job) {
  return job.spec!.template;
}

function taskOf(job: Job): unknown {
  const env = podOf(job).spec!.containers[0]!.env!;
  return JSON.parse(env.find(({ name }) => name === 'TASK')!.value!);
}

test.each(jobs)('the pods of a $kind are no members of the shard', ({ job }) => {
  const labels = podOf(job).metadata?.labels ?? {};
  const selectors = render(shard, context).flatMap(object => selectorsOf(object));
  expect(selectors.length).toBeGreaterThan(3);
  for (const selector of selectors)
    expect(Object.entries(selector).every(([name, value]) => labels[name] === value)).toBe(false);
});

/** By which pods an object is about. */
const selecting = z.object({
  kind: z.enum(['Service', 'StatefulSet', 'PodDisruptionBudget', 'NetworkPolicy']),
  spec: z.object({
    selector: z.record(z.string(), z.unknown()).optional(),
    podSelector: z.record(z.string(), z.unknown()).optional(),
  }),
});

function selectorsOf(object: KubeObject): readonly Record<string, unknown>[] {
  const { data } = selecting.safeParse(object);
  const selector = data?.spec.podSelector ?? data?.spec.selector;
  if (selector === undefined) return [];
  return [
    selector['matchLabels'] === undefined
      ? selector
      : z.record(z.string(), z.unknown()).parse(selector['matchLabels']),
  ];
}

test.each(jobs)('a $kind runs as the shard’s account, without privileges, once', ({ kind, job }) => {
  expect(job).toMatchObject({
    metadata: {
      name: `social-0-${kind}`,
      namespace: 'fleet',
      labels: { 'shardwright.io/shard': 'social-0', 'shardwright.io/task': kind },
    },
    spec: {
      backoffLimit: 0,
      template: {
        metadata: { labels: { 'shardwright.io/task-of': 'social-0', 'shardwright.io/task': kind } },
        spec: {
          restartPolicy: 'Never',
          serviceAccountName: 'social-0',
          automountServiceAccountToken: false,
          securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
          affinity: { nodeAffinity: {} },
          containers: [
            {
              args: [kind],
              image: 'members:1',
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
            },
          ],
        },
      },
    },
  });
  expect(JSON.stringify(job)).not.toContain('secretKeyRef');
});

test.each(jobs)('the shard’s Role lets a $kind report on its Job, and Kubernetes ends it last', ({ job }) => {
  const role = render(shard, context).find(({ kind }) => kind === 'Role');
  expect(JSON.stringify(role)).toContain(`"${job.metadata.name}"`);
  const env = Object.fromEntries(
    podOf(job).spec!.containers[0]!.env!.map(({ name, value }) => [name, value]),
  );
  expect(env['REPORT_OBJECT']).toBe(`/apis/batch/v1/namespaces/fleet/jobs/${job.metadata.name}`);
  expect(job.spec?.activeDeadlineSeconds).toBeGreaterThan(Number(env['DEADLINE_SECONDS']));
});

test('a backup is told whom to read from, the primary first', () => {
  expect(taskOf(jobs[0].job)).toEqual({
    request: backup.name,
    type: 'full',
    expire: backup.expire,
    hosts: ['social-0-1.social-0-members.fleet.svc', 'social-0-0.social-0-members.fleet.svc'],
    port: 8432,
    about: { ordinal: 0, region: 'eu-west', algorithm: 'hash', keyType: 'bigint', slots: 256 },
  });
});

test('a drill has a volume of its own that goes with it, and no way to the live shard', () => {
  const { volumes = [] } = podOf(jobs[1].job).spec!;
  expect(volumes.find(({ name }) => name === 'data')).toMatchObject({
    ephemeral: {
      volumeClaimTemplate: {
        spec: { storageClassName: 'fast', resources: { requests: { storage: '5Gi' } } },
      },
    },
  });
  expect(JSON.stringify(volumes)).not.toMatch(/social-tls|social-0-tls|social-internal|social-app/);
  expect(taskOf(jobs[1].job)).toMatchObject({
    request: drill.name,
    target: drill.target,
    mark: drill.expect.mark,
    contents: drill.expect.contents,
    database: 'social',
  });
});
