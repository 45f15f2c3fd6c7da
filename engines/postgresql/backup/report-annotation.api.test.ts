/** A report reaches its pod with no more rights than the rendered Role gives, on a real API server. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { annotations } from '#crds/api/names.ts';
import { apiTest } from '#hack/api-test.ts';
import type { ApiServerAccess } from '#hack/local-apiserver.ts';
import { Pods } from '#kernel/resources.ts';
import { accessControl } from '../access-control.ts';
import { sampleShard } from '../testing/shard.ts';

const images = join(import.meta.dirname, '../../../images/postgres');

const tokenRequest = z.object({ status: z.object({ token: z.string() }) });

/** A token of the ServiceAccount, as the kubelet asks for it. */
function tokenOf(access: ApiServerAccess, namespace: string, account: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const asked = request(
    `${access.url}/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
    {
      method: 'POST',
      ca: access.ca,
      headers: { authorization: `Bearer ${access.token}`, 'content-type': 'application/json' },
    },
    answer => {
      let text = '';
      answer.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      answer.on('end', () => resolve(tokenRequest.parse(JSON.parse(text)).status.token));
    },
  );
  asked.once('error', reject);
  asked.end(JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }));
  return promise;
}

test('a member writes its own report, and nobody else’s', async () => {
  const { client, namespace, access } = await apiTest();
  const shard = sampleShard({}, { namespace });
  for (const object of accessControl(shard)) await client.create(object);
  for (const name of ['social-0-0', 'stranger'])
    await client.create({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace },
      spec: { containers: [{ name: 'one', image: 'one' }] },
    });
  const account = await mkdtemp(join(tmpdir(), 'account-'));
  await writeFile(join(account, 'token'), await tokenOf(access, namespace, 'social-0'));
  await writeFile(join(account, 'ca.crt'), access.ca);
  const { hostname, port } = new URL(access.url);
  const write = (pod: string) =>
    promisify(execFile)(
      'python3',
      [
        '-c',
        `import report; report.ACCOUNT = '${account}'; report.write_report({'kind': 'Archive', 'objects': 7})`,
      ],
      {
        cwd: images,
        env: {
          ...process.env,
          PYTHONDONTWRITEBYTECODE: '1',
          KUBERNETES_SERVICE_HOST: hostname,
          KUBERNETES_SERVICE_PORT: port,
          PATRONI_NAME: pod,
          PATRONI_KUBERNETES_NAMESPACE: namespace,
        },
      },
    );

  await write('social-0-0');
  const pod = await client.get(Pods, { name: 'social-0-0', namespace });
  expect(pod.metadata.annotations).toEqual({ [annotations.report]: '{"kind":"Archive","objects":7}' });
  await expect(write('stranger')).rejects.toThrow(/ReportRefused: PATCH .*stranger: 403/);
  await rm(account, { recursive: true });
});
