/** Jobs of a shard on a real API server: it takes them, also where pods must be `restricted`, and they may report on themselves. */
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { shardChildren } from '#crds/api/names.ts';
import { apiTest } from '#hack/api-test.ts';
import type { KubeObject } from '#kernel/object.ts';
import { type Job, Jobs } from '#kernel/resources.ts';
import { accessControl } from '../access-control.ts';
import { sampleShard } from '../testing/shard.ts';
import { backupJob } from './backup-job.ts';
import { drillJob } from './drill-job.ts';
import { parseReport } from './report.ts';
import { accountFolder } from './testing/account.ts';

const context = {
  image: 'members:1',
  imagePullPolicy: 'IfNotPresent',
  operator: { namespace: 'shardwright', labels: {} },
} as const;
const images = join(import.meta.dirname, '../../../images/postgres');

function jobsIn(namespace: string): readonly KubeObject[] {
  const shard = sampleShard({}, { namespace });
  const request = { name: 'one', deadlineSeconds: 60 };
  return [
    backupJob(shard, { ...request, type: 'full', expire: [], primary: 'social-0-0' }, context),
    drillJob(shard, { ...request, expect: {} }, context),
  ];
}

test('their pods are let in where only restricted ones are', async () => {
  const api = await apiTest();
  const { client } = api;
  const namespace = await api.createNamespace({ 'pod-security.kubernetes.io/enforce': 'restricted' });
  for (const object of accessControl(sampleShard({}, { namespace }))) await client.create(object);
  for (const job of jobsIn(namespace)) {
    await client.create(job);
    const { metadata, spec } = (job as Job).spec!.template;
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...metadata, name: job.metadata.name, namespace },
      spec,
    };
    await expect(client.create(pod)).resolves.toMatchObject({ kind: 'Pod' });
  }
});

test('a backup reports on its Job and reads it, with the rights of the rendered Role, and on no other', async () => {
  const { client, namespace, access } = await apiTest();
  for (const object of accessControl(sampleShard({}, { namespace }))) await client.create(object);
  const [backup] = jobsIn(namespace);
  await client.create(backup!);
  await client.create({ ...backup!, metadata: { ...backup!.metadata, name: 'another' } });
  const account = await accountFolder(access, namespace, 'social-0');
  const { hostname, port } = new URL(access.url);
  const report = (job: string) =>
    promisify(execFile)(
      'python3',
      [
        '-c',
        `import report, task
report.ACCOUNT = '${account}'
report.read_object()['metadata']['creationTimestamp']
report.write_report({'kind': 'Backup', 'request': 'one', 'at': task.now_text(), 'state': 'Succeeded', 'type': 'full'})`,
      ],
      {
        cwd: images,
        env: {
          PATH: process.env['PATH'],
          PYTHONDONTWRITEBYTECODE: '1',
          KUBERNETES_SERVICE_HOST: hostname,
          KUBERNETES_SERVICE_PORT: port,
          REPORT_OBJECT: `/apis/batch/v1/namespaces/${namespace}/jobs/${job}`,
        },
      },
    );
  await report(shardChildren.backupJob('social-0'));
  const read = await client.get(Jobs, { name: 'social-0-backup', namespace });
  expect(parseReport(read)).toMatchObject({
    kind: 'Backup',
    request: 'one',
    state: 'Succeeded',
  });
  await expect(report('another')).rejects.toThrow(/403/);
  await rm(account, { recursive: true });
});
