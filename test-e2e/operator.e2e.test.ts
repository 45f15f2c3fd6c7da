/** The operator as who runs the cluster sees it: replicas, rights, probes, metrics, logs, and the map service. */
import { request } from 'node:https';
import { connect } from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { createPortForwardDial } from '#kernel/port-forward.ts';
import { ClusterRoles, Deployments, Leases, Pods, Roles } from '#kernel/resources.ts';
import { fleet, single } from './support/fleet.ts';
import { useNamespace } from './support/use-namespace.ts';
import { eventually } from './support/wait.ts';

const space = useNamespace('operator');

beforeAll(async () => {
  await space.current.apply(fleet({ ...single, shards: 1 }));
  await space.current.current();
});

async function operatorPods() {
  const { cluster, operator } = space.current;
  const { items } = await cluster.kube.list(Pods, {
    namespace: operator.namespace,
    labelSelector: 'app.kubernetes.io/component=operator',
  });
  return items;
}

/** Through the API server's proxy, as `kubectl get --raw` does. */
async function http(pod: string, path: string): Promise<string> {
  const { cluster, operator } = space.current;
  return cluster.kube.raw(`/api/v1/namespaces/${operator.namespace}/pods/${pod}:8080/proxy${path}`);
}

describe('its pods', () => {
  it('are two, ready, on different nodes, and one of them leads', async () => {
    const { cluster, operator } = space.current;
    const key = { namespace: operator.namespace, name: operator.name };
    const deployment = await cluster.kube.get(Deployments, key);
    expect(deployment.status?.readyReplicas).toBe(2);
    const pods = await operatorPods();
    expect(new Set(pods.map(pod => pod.spec?.nodeName)).size).toBe(2);
    const lease = await cluster.kube.get(Leases, key);
    expect(
      pods.map(pod => pod.metadata.name).some(name => lease.spec?.holderIdentity?.startsWith(name)),
    ).toBe(true);
  });

  it('would be admitted under the restricted Pod Security Standard', async () => {
    const [pod] = await operatorPods();
    if (!pod?.spec) throw new Error('the operator has no pod');
    // A dry run in a namespace that enforces it; the account of that name need not be there for that.
    const { nodeName: _, serviceAccountName: _account, serviceAccount: _alias, ...spec } = pod.spec;
    const volumes = spec.volumes?.filter(({ name }) => !name.startsWith('kube-api-access')) ?? [];
    const containers = spec.containers.map(container => ({
      ...container,
      volumeMounts: container.volumeMounts?.filter(({ name }) => !name.startsWith('kube-api-access')) ?? [],
    }));
    const { kube } = space.current.cluster;
    const copy = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'copy', namespace: space.current.name },
      spec: { ...spec, volumes, containers },
    };
    await expect(kube.create(copy, { dryRun: true })).resolves.toBeDefined();
    const loose = { ...copy, spec: { ...copy.spec, hostNetwork: true } };
    await expect(kube.create(loose, { dryRun: true })).rejects.toThrow(/PodSecurity/);
  });

  it('answer health and readiness', async () => {
    for (const { metadata } of await operatorPods()) {
      await expect(http(metadata.name, '/healthz')).resolves.toBeDefined();
      await expect(http(metadata.name, '/readyz')).resolves.toBeDefined();
    }
  });

  it('log one JSON object a line', async () => {
    const { cluster, operator } = space.current;
    for (const { metadata } of await operatorPods()) {
      const log = await cluster.kubectl([
        'logs',
        `--namespace=${operator.namespace}`,
        metadata.name,
        '--tail=200',
      ]);
      const lines = log.split('\n').filter(Boolean);
      expect(lines.length).toBeGreaterThan(0);
      for (const line of lines) expect(JSON.parse(line)).toHaveProperty('msg');
    }
  });
});

describe('its metrics', () => {
  it('tell of queues, reconciles, watches, API requests and shards', async () => {
    const texts = await Promise.all(
      (await operatorPods()).map(({ metadata }) => http(metadata.name, '/metrics')),
    );
    const leader = texts.find(text => /^shardwright_leader(\{.*\})? 1$/m.test(text)) ?? '';
    for (const family of [
      'shardwright_queue_depth',
      'shardwright_reconcile_duration_seconds_count',
      'shardwright_watch_staleness_seconds',
      'shardwright_api_requests_total',
    ]) {
      const sample = new RegExp(`^${family}\\{.+\\} [0-9.e+-]+$`, 'm');
      expect(leader).toMatch(sample);
    }
    const reconciles = leader.match(/^shardwright_reconcile_duration_seconds_count\{.*\} (\d+)$/gm) ?? [];
    expect(reconciles.join('\n')).toMatch(/controller="shard/);
    expect(leader).toMatch(/^shardwright_shards\{.*state="active".*\} [1-9]/m);
  });
});

describe('its rights', () => {
  it('name everything they cover: no wildcard, no Secret of a namespace it does not serve', async () => {
    const { cluster, operator } = space.current;
    const { items } = await cluster.kube.list(ClusterRoles, {
      labelSelector: 'app.kubernetes.io/name=shardwright',
    });
    const own = await cluster.kube.list(Roles, { namespace: operator.namespace });
    expect(items.length).toBeGreaterThan(0);
    for (const { rules = [] } of [...items, ...own.items]) {
      for (const { verbs, resources = [], apiGroups = [] } of rules) {
        expect([...verbs, ...resources, ...apiGroups]).not.toContain('*');
      }
    }
    const account = `system:serviceaccount:${operator.namespace}:${operator.name}`;
    const may = async (...args: string[]): Promise<string> =>
      (await cluster.tryKubectl(['auth', 'can-i', `--as=${account}`, ...args])).stdout.trim();
    expect(await may('get', 'secrets', '--namespace=kube-system')).toBe('no');
    expect(await may('create', 'pods/exec', `--namespace=${space.current.name}`)).toBe('no');
    expect(await may('get', 'secrets', `--namespace=${space.current.name}`)).toBe('yes');
  });
});

describe('its map service', () => {
  it('gives the map to who has the fleet’s token, and to nobody else', async () => {
    const secret = await space.current.secret('fleet-app');
    const url = new URL(secret['map-url'] ?? '');
    const ca = secret['map-ca.crt'] ?? secret['ca.crt'] ?? '';
    const get = (token?: string, path = url.pathname): Promise<number> => statusOf(url, path, ca, token);
    await eventually('the map is served', space.current.name, async () =>
      (await get(secret['map-token'])) === 200 ? true : undefined,
    );
    expect(await get()).toBe(401);
    expect([401, 403]).toContain(await get('wrong'));
    expect([401, 403, 404]).toContain(await get(secret['map-token'], '/v1/maps/kube-system/other'));
  });
});

/** Over TLS that is checked against the Service's name, through a port-forward stream. */
async function statusOf(url: URL, path: string, ca: string, token?: string): Promise<number> {
  const dial = createPortForwardDial(space.current.cluster.kubeConfig, space.current.name);
  const stream = await dial(
    { host: url.hostname, port: Number(url.port || 443) },
    AbortSignal.timeout(20_000),
  );
  return new Promise((resolve, reject) => {
    const socket = connect({ socket: stream, servername: url.hostname, ca });
    const call = request(
      {
        createConnection: () => socket,
        host: url.hostname,
        path,
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      },
      response => {
        response.resume();
        resolve(response.statusCode ?? 0);
        socket.end();
      },
    );
    call.once('error', reject);
    call.end();
  });
}
