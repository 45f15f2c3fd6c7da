/**
 * A real member, with Patroni and a real API server, on a volume that was filled from a backup. It runs on this machine's own
 * network, where the API server is.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import { type ApiTest, apiTest, eventually } from '#hack/api-test.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { EndpointsObjects, Pods } from '#kernel/resources.ts';
import { type ServerIdentity, serverIdentity } from '../backup/testing/authority.ts';
import { docker } from '../backup/testing/docker.ts';
import { bridgeAddress } from '../backup/testing/object-store.ts';
import { paths, serverNames, store } from '../names.ts';
import { labelsOf } from '../object.ts';
import { render } from '../render.ts';
import { sampleShard } from '../testing/shard.ts';
import { forgetMembers } from './forget-members.ts';
import { type RecoveredVolume, RecoveryScene } from './testing/recovery-scene.ts';

const account = '/var/run/secrets/kubernetes.io/serviceaccount';
const context = {
  image: 'unused',
  imagePullPolicy: 'IfNotPresent',
  operator: { namespace: 'shardwright', labels: {} },
} as const;

let scene: RecoveryScene;
let api: ApiTest;
let shard: Shard;
let identity: ServerIdentity;
let volume: RecoveredVolume;
let systemIdentifier = '';
const started: string[] = [];

beforeAll(async () => {
  scene = await RecoveryScene.start();
  const primary = await scene.backups.primary();
  const client = await primary.connect();
  await client.query('CREATE ROLE standby LOGIN REPLICATION; CREATE TABLE item AS SELECT 7 AS id');
  await scene.backups.backup({ primary: primary.name });
  const recovered = await scene.recover();
  volume = recovered.volume;
  systemIdentifier = recovered.report.result?.systemIdentifier ?? '';
  if (systemIdentifier === '') throw new Error(`not recovered: ${JSON.stringify(recovered.report)}`);
  api = await apiTest({ resources: [EndpointsObjects, Pods] });
  const { namespace } = api;
  shard = sampleShard(
    {
      engine: { type: 'postgresql', version: '17', database: 'postgres' },
      recovery: { systemIdentifier },
    },
    { name: 'again-0', namespace },
  );
  identity = await serverIdentity({ dns: serverNames('again-0', namespace), ip: ['127.0.0.1'] });
  for (const object of render(shard, context))
    if (object.kind === 'Endpoints') await api.client.create(object);
}, 240_000);
afterAll(async () => {
  for (const name of started) await docker(['rm', '--force', '--volumes', name]).catch(() => undefined);
  await scene[Symbol.asyncDispose]();
});

/** As the kubelet mounts files: by a link that is swapped. */
const writer = `
import json, os, sys
os.umask(0o077)
for folder, files in json.load(sys.stdin).items():
    os.makedirs(folder + '/..1', exist_ok=True)
    os.symlink('..1', folder + '/..data')
    for name, text in files.items():
        with open(f'{folder}/..1/{name}', 'w') as file: file.write(text)
        os.symlink('..data/' + name, f'{folder}/{name}')
`;

const memory = (path: string) => `--tmpfs=${path}:uid=999,gid=999,mode=0750`;

async function startMember(index: number): Promise<string> {
  const { namespace, access } = api;
  const pod = `again-0-${index}`;
  const name = `bk-${pod}-${randomBytes(4).toString('hex')}`;
  await api.client.create({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: pod, namespace, labels: labelsOf(shard) },
    spec: { containers: [{ name: 'database', image: 'unused' }] },
  });
  const server = new URL(access.url);
  // Endpoints refuse addresses of the loopback.
  const address = await bridgeAddress();
  started.push(name);
  await docker([
    'run',
    '--detach',
    `--name=${name}`,
    '--network=host',
    '--read-only',
    ...[paths.volume, '/etc/shardwright', paths.sockets, '/tmp', account].map(memory),
    `--env=POD_IP=${address}`,
    `--env=PATRONI_NAME=${pod}`,
    `--env=PATRONI_KUBERNETES_POD_IP=${address}`,
    `--env=PATRONI_KUBERNETES_NAMESPACE=${namespace}`,
    `--env=PATRONI_RESTAPI_CONNECT_ADDRESS=${address}:8008`,
    `--env=PATRONI_POSTGRESQL_CONNECT_ADDRESS=${address}:5432`,
    `--env=KUBERNETES_SERVICE_HOST=${server.hostname}`,
    `--env=KUBERNETES_SERVICE_PORT=${server.port}`,
    '--entrypoint=sh',
    await ensurePostgresImage(),
    '-c',
    'until [ -e /tmp/prepared ]; do sleep 0.1; done; exec member database',
  ]);
  const settings = render(shard, context).find(
    ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === shardChildren.settings('again-0'),
  );
  const files = {
    [paths.settings]: settings?.['data'],
    [paths.certificates]: { 'ca.crt': identity.ca, 'tls.crt': identity.certificate, 'tls.key': identity.key },
    [paths.passwords]: { superuser: 'one', replication: 'two', rest: 'three' },
    [account]: { token: access.token, 'ca.crt': access.ca, namespace },
  };
  await docker(['exec', '-i', name, 'python3', '-c', writer], JSON.stringify(files));
  return name;
}

const begin = (name: string) => docker(['exec', name, 'touch', '/tmp/prepared']);
/** What it said on either channel. */
async function logs(name: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)('docker', ['logs', '--tail=60', name]);
  return stdout + stderr;
}

/** Waits until the first member holds the lock, as itself. */
async function leads(container: string): Promise<void> {
  const key = { namespace: api.namespace, name: store.leader('again-0') };
  await eventually(async () => {
    const { metadata } = await api.client.get(EndpointsObjects, key);
    return metadata.annotations?.['leader'] === 'again-0-0' ? true : undefined;
  }, 60_000).catch(async (cause: unknown) => {
    throw new Error(await logs(container), { cause });
  });
}

test('a member with an empty volume makes no database of its own; the one with the filled volume leads', async () => {
  const empty = await startMember(1);
  await begin(empty);
  await eventually(async () =>
    (await logs(empty)).includes('waiting for leader to bootstrap') ? true : undefined,
  ).catch(async (cause: unknown) => {
    throw new Error(await logs(empty), { cause });
  });
  await sleep(5000);
  expect(await docker(['exec', empty, 'sh', '-c', `ls ${paths.data} 2>/dev/null || true`])).toBe('');
  await docker(['rm', '--force', '--volumes', empty]);

  const first = await startMember(0);
  await volume.copyTo(first);
  await begin(first);
  await leads(first);
  // The new fleet's password, which the restored database has never heard of.
  const client = await eventually(async () => {
    const each = new Client({
      host: '127.0.0.1',
      user: 'postgres',
      password: 'one',
      database: 'postgres',
      ssl: { ca: identity.ca, servername: 'localhost' },
    });
    each.on('error', () => undefined);
    return each.connect().then(
      () => each,
      () => undefined,
    );
  }, 60_000);
  // It has the lock a moment before it is promoted.
  await eventually(async () => {
    const { rows: answer } = await client.query<{ recovering: boolean }>(
      'SELECT pg_is_in_recovery() AS recovering',
    );
    return answer[0]?.recovering === false ? true : undefined;
  }, 60_000);
  const { rows } = await client.query(
    'SELECT id, system_identifier::text AS system FROM item, pg_control_system()',
  );
  await client.end();
  expect(rows).toEqual([{ id: 7, system: systemIdentifier }]);
}, 240_000);

test('a rebuilt member leads once the store has forgotten who was ahead of it, and who was synchronous', async () => {
  const { namespace, client } = api;
  for (const name of started) await docker(['rm', '--force', '--volumes', name]);
  for (const { metadata } of (await client.list(Pods, { namespace })).items)
    await client.delete(Pods, metadata, { gracePeriodSeconds: 0 });
  const remember = (name: string, annotations: Record<string, string>) =>
    client.patch(
      EndpointsObjects,
      { namespace, name },
      { type: 'merge', body: { metadata: { annotations } } },
    );
  await remember(store.leader('again-0'), { leader: 'again-0-1', optime: '99999999999999', ttl: '20' });
  await remember(store.sync('again-0'), { leader: 'again-0-1', sync_standby: 'again-0-2' });
  await remember(store.config('again-0'), { history: '[[8,99999999999,"no recovery target specified"]]' });
  const { items } = await client.list(EndpointsObjects, { namespace });
  const patches = forgetMembers(shard, { endpoints: items }, systemIdentifier);
  expect(patches.map(({ name }) => name).toSorted()).toEqual(['again-0', 'again-0-config', 'again-0-sync']);
  for (const { name, body } of patches)
    await client.patch(EndpointsObjects, { namespace, name }, { type: 'merge', body });

  const first = await startMember(0);
  await volume.copyTo(first);
  await begin(first);
  await leads(first);
}, 240_000);
