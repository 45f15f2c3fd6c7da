import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BackupPolicies, ownResources } from '#controllers/caches.ts';
import { conditionStatus, findCondition } from '#controllers/conditions.ts';
import { decodeSecret, SecretReader } from '#controllers/secrets/secret-reader.ts';
import { backupPolicyManifest } from '#controllers/testing/backup-policy-manifest.ts';
import { fleetHarness } from '#controllers/testing/fleet-harness.ts';
import type { Condition } from '#crds/api/conditions.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import { type ApiTest, apiTest, eventually } from '#hack/api-test.ts';
import { accessAuth } from '#hack/local-apiserver.ts';
import { realClock } from '#kernel/clock.ts';
import { orUndefined } from '#kernel/errors.ts';
import { silentLog } from '#kernel/log.ts';
import type { KubeObject } from '#kernel/object.ts';
import {
  type CustomResourceDefinition,
  CustomResourceDefinitions,
  Leases,
  Secrets,
} from '#kernel/resources.ts';
import { parseConfig } from './config.ts';
import { ensureMapTls } from './map-tls.ts';
import { mapAuthorizer } from './map-tokens.ts';
import { createOperator } from './operator.ts';

let cleanup: AsyncDisposableStack;
let api: ApiTest;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  api = await apiTest({ resources: ownResources });
  cleanup.defer(() => api.client.close());
});

afterEach(() => cleanup.disposeAsync());

describe('the map service', () => {
  test('replicas that start at once share one certificate', async () => {
    const options = {
      client: api.client,
      clock: realClock,
      log: silentLog,
      namespace: api.namespace,
      serviceName: 'sw',
    };
    const all = await Promise.all([1, 2, 3].map(() => ensureMapTls(options)));
    expect(new Set(all.map(tls => tls.cert)).size).toBe(1);
    const certificate = new X509Certificate(all[0]?.cert ?? '');
    expect(certificate.checkHost(`sw.${api.namespace}.svc`)).toBeTruthy();
    expect(certificate.verify(new X509Certificate(all[0]?.ca ?? '').publicKey)).toBe(true);
    expect(await ensureMapTls(options)).toEqual(all[0]);
  });

  test('takes the token of the fleet, a new one at once, and no other', async () => {
    const clock = realClock;
    const secret = (token: string) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace: api.namespace, name: 'social-app' },
      stringData: { 'map-token': token },
    });
    await api.client.apply(secret('first'), { fieldManager: 'person' });
    const authorize = mapAuthorizer({
      secrets: new SecretReader({ client: api.client, clock }),
      clock,
      exists: (_namespace, cluster) => cluster === 'social',
    });
    expect(await authorize('first', api.namespace, 'social')).toBe(true);
    await api.client.apply(secret('second'), { fieldManager: 'person', force: true });
    expect(await authorize('second', api.namespace, 'social')).toBe(true);
    expect(await authorize('first', api.namespace, 'social')).toBe(false);
    expect(await authorize('', api.namespace, 'social')).toBe(false);
    expect(await authorize('second', api.namespace, 'other')).toBe(false);
    expect(await authorize('second', '..', 'social')).toBe(false);
  });
});

describe('the program', () => {
  test('serves the map over TLS to who shows the token, leads, and stops in good order', async () => {
    const fleet = await fleetHarness(cleanup);
    await fleet.apply();
    const ports = { MAP_PORT: '18443', HTTP_PORT: '18080' };
    const operator = createOperator({
      config: parseConfig({
        POD_NAMESPACE: fleet.namespace,
        POD_NAME: 'one',
        STATISTICS_SECONDS: '0',
        ...ports,
      }),
      auth: accessAuth(fleet.api.access),
      log: silentLog,
      engines: [fleet.databases.engine(postgresql)],
      namespaces: [fleet.namespace],
    });
    const stop = new AbortController();
    const running = operator.run(stop.signal);
    await fleet.until('Ready', cluster => conditionStatus(cluster, 'Ready') === 'True');
    expect((await fetch('http://localhost:18080/readyz')).status).toBe(200);
    const metrics = await (await fetch('http://localhost:18080/metrics')).text();
    expect(metrics).toContain('shardwright_shards{state="active",ready="true"} 2');
    expect(metrics).toContain('shardwright_leader 1');

    const app =
      decodeSecret(await fleet.client.get(Secrets, { namespace: fleet.namespace, name: 'fleet-app' })) ?? {};
    expect(app['map-url']).toBe(
      `https://shardwright.${fleet.namespace}.svc/v1/maps/${fleet.namespace}/fleet`,
    );
    const path = new URL(app['map-url'] ?? '').pathname;
    expect(await statusOf(path, app['map-ca.crt'] ?? '', app['map-token'] ?? '')).toBe(200);
    expect(await statusOf(path, app['map-ca.crt'] ?? '', 'wrong')).toBe(401);

    stop.abort();
    await running;
    const lease = await fleet.client.get(Leases, { namespace: fleet.namespace, name: 'shardwright' });
    expect(lease.spec?.holderIdentity ?? '').toBe('');
  });

  test('says which Secret a BackupPolicy wants', async () => {
    const fleet = await fleetHarness(cleanup);
    fleet.start();
    const at = (name: string) => ({ namespace: fleet.namespace, name });
    await fleet.client.create<KubeObject>(backupPolicyManifest(at('nightly')));
    const stalled = await eventually(async () => {
      const live = await fleet.client.get<KubeObject & { status?: { conditions?: Condition[] } }>(
        BackupPolicies,
        at('nightly'),
      );
      return findCondition(live, 'Stalled');
    });
    expect(stalled).toMatchObject({ status: 'True', reason: 'SecretMissing', observedGeneration: 1 });
  });
});

test('with an issuer, certificates are asked of cert-manager and none is made here', async () => {
  const fleet = await fleetHarness(cleanup);
  await fleet.client.apply(certificateCrd, { fieldManager: 'person', force: true });
  const certificates = ownResources.find(resource => resource.kind === 'Certificate');
  if (!certificates) throw new Error('no such resource');
  await eventually(async () => {
    const list = await orUndefined(fleet.client.list(certificates, { namespace: fleet.namespace }));
    return list && true;
  });
  await fleet.apply({ shards: 1, tls: { issuerRef: { name: 'ca', kind: 'ClusterIssuer' } } });
  fleet.start();
  const authority = await eventually(() =>
    orUndefined(fleet.client.get(certificates, { namespace: fleet.namespace, name: 'fleet-ca' })),
  );
  expect(authority).toMatchObject({
    spec: { secretName: 'fleet-ca', issuerRef: { name: 'ca', kind: 'ClusterIssuer' } },
  });
  // What cert-manager does.
  await fleet.client.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: fleet.namespace, name: 'fleet-ca' },
    stringData: { 'ca.crt': 'the issuer', 'tls.crt': 'x', 'tls.key': 'y' },
  });
  const server = await eventually(() =>
    orUndefined(fleet.client.get(certificates, { namespace: fleet.namespace, name: 'fleet-0-tls' })),
  );
  expect(server).toHaveProperty('spec.dnsNames', expect.arrayContaining([`fleet-0.${fleet.namespace}.svc`]));
  expect(
    await orUndefined(fleet.client.get(Secrets, { namespace: fleet.namespace, name: 'fleet-0-tls' })),
  ).toBeUndefined();
});

const anything: object = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

/** As much of cert-manager as is written to. */
const certificateCrd: CustomResourceDefinition = {
  apiVersion: CustomResourceDefinitions.apiVersion,
  kind: CustomResourceDefinitions.kind,
  metadata: { name: 'certificates.cert-manager.io' },
  spec: {
    group: 'cert-manager.io',
    scope: 'Namespaced',
    names: { kind: 'Certificate', plural: 'certificates' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: { spec: anything },
          },
        },
      },
    ],
  },
};

function statusOf(path: string, ca: string, token: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    const sent = request({ host: 'localhost', port: 18_443, path, ca, headers }, response => {
      response.resume();
      response.on('end', () => resolve(response.statusCode));
    });
    sent.on('error', reject);
    sent.end();
  });
}
