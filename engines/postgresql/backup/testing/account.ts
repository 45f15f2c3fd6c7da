/** What the kubelet mounts for a ServiceAccount: its token and the API server's authority. */
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import type { ApiServerAccess } from '#hack/local-apiserver.ts';

const answer = z.object({ status: z.object({ token: z.string() }) });

/** A folder of this machine, which is the caller's to remove. */
export async function accountFolder(
  access: ApiServerAccess,
  namespace: string,
  account: string,
): Promise<string> {
  const asked = request(`${access.url}/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`, {
    method: 'POST',
    ca: access.ca,
    headers: { authorization: `Bearer ${access.token}`, 'content-type': 'application/json' },
  });
  asked.end(JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }));
  const [response] = await once(asked, 'response');
  const { status } = answer.parse(JSON.parse(await text(response)));
  const folder = await mkdtemp(join(tmpdir(), 'account-'));
  await writeFile(join(folder, 'token'), status.token);
  await writeFile(join(folder, 'ca.crt'), access.ca);
  return folder;
}
