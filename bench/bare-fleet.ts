/** Bare Patroni StatefulSets in a namespace of a bench: applied with kubectl, and waited for as a person would. */
import { timing } from '#engines/postgresql/patroni-settings.ts';
import { EndpointsObjects, PersistentVolumeClaims, Secrets, StatefulSets } from '#kernel/resources.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';
import { barePatroni } from './bare-patroni.ts';

const password = 'bare-patroni';
export const bareLogin = { name: 'bare-login', passwordKey: 'password', ca: false } as const;

/** Applies them with one `kubectl apply`; they are ready when {@link bareReady} says so. */
export async function applyBare(namespace: TestNamespace, names: readonly string[]): Promise<void> {
  const items = names.flatMap(name =>
    barePatroni({
      name,
      namespace: namespace.name,
      image: namespace.operator.postgresImage,
      members: 2,
      password,
      synchronous: true,
      ttl: timing.ttlSeconds,
      loopWait: timing.loopSeconds,
      retryTimeout: timing.retrySeconds,
      // What a shard of this size has too, as far as it takes part in starting and failing over.
      parameters: { shared_buffers: '32MB', max_connections: 100, wal_log_hints: 'on' },
      storageSize: '256Mi',
    }),
  );
  await applyWithKubectl(namespace, items);
}

export async function applyBareLogin(namespace: TestNamespace): Promise<void> {
  await namespace.apply({
    apiVersion: 'v1',
    kind: Secrets.kind,
    metadata: { name: bareLogin.name },
    stringData: { [bareLogin.passwordKey]: password },
  });
}

export async function applyWithKubectl(namespace: TestNamespace, items: readonly object[]): Promise<void> {
  const { cluster, name } = namespace;
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await cluster.kubectl(['apply', `--namespace=${name}`, '--filename=-'], { input });
}

/** Both members ready, and a leader elected. */
export async function bareReady(namespace: TestNamespace, name: string, members = 2): Promise<void> {
  await namespace.until(StatefulSets, name, set =>
    set?.status?.readyReplicas === members
      ? undefined
      : `${set?.status?.readyReplicas ?? 0} members are ready`,
  );
  await namespace.until(EndpointsObjects, name, lock =>
    lock?.metadata.annotations?.['leader'] ? undefined : 'nobody leads',
  );
}

/** It has recorded a synchronous replica: until then nobody may be promoted. Readiness knows nothing of that. */
export async function bareSynchronous(namespace: TestNamespace, name: string): Promise<void> {
  await namespace.until(EndpointsObjects, `${name}-sync`, sync =>
    sync?.metadata.annotations?.['sync_standby'] ? undefined : 'no replica is synchronous',
  );
}

export async function removeBare(namespace: TestNamespace, names: readonly string[]): Promise<void> {
  for (const name of names) await namespace.delete(StatefulSets, name);
  await eventually('the bare StatefulSets are gone', namespace.name, async () => {
    const claims = await namespace.list(PersistentVolumeClaims, 'app=bare-patroni');
    return claims.length === 0 ? true : undefined;
  });
  for (const name of names) {
    for (const object of [name, `${name}-config`, `${name}-sync`, `${name}-failover`]) {
      await namespace.delete(EndpointsObjects, object).catch(() => undefined);
    }
  }
}
