/**
 * Makes a namespace that the operator may serve, under the restricted Pod Security Standard, and clears it away: the fleets in
 * it are deleted first, as a person would, and nothing of them may be left.
 */
import { randomBytes } from 'node:crypto';
import type { RoleBinding } from '#kernel/resources.ts';
import { Namespaces, PersistentVolumeClaims } from '#kernel/resources.ts';
import { fieldManager, type Installation, installation, type TestCluster, testCluster } from './cluster.ts';
import { onlyLeft } from './leaks.ts';
import { runLabel, thisRun } from './leftovers.ts';
import { TestNamespace } from './namespace.ts';
import { ShardClusters } from './resources.ts';

export async function createNamespace(
  purpose: string,
  options: { readonly podSecurity?: 'restricted' | 'privileged' } = {},
): Promise<TestNamespace> {
  const cluster = await testCluster();
  const operator = await installation();
  const name = `e2e-${purpose}-${randomBytes(3).toString('hex')}`;
  await cluster.kube.apply(
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name,
        labels: {
          'pod-security.kubernetes.io/enforce': options.podSecurity ?? 'restricted',
          [runLabel]: await thisRun(),
        },
      },
    },
    { fieldManager },
  );
  await cluster.kube.apply(bindingFor(name, operator), { fieldManager });
  return new TestNamespace(name, cluster, operator);
}

/** The same binding that the chart makes for each of its `namespaces`. */
export function bindingFor(namespace: string, operator: Installation): RoleBinding {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: operator.name, namespace },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: `${operator.name}-namespaced`,
    },
    subjects: [{ kind: 'ServiceAccount', name: operator.name, namespace: operator.namespace }],
  };
}

export async function clearNamespace(namespace: TestNamespace): Promise<void> {
  const { cluster, name } = namespace;
  const kept: string[] = [];
  try {
    for (const fleet of await namespace.list(ShardClusters)) {
      const policy = fleet.spec.deletionPolicy;
      if (policy !== 'Delete') kept.push(...(await claimsOf(namespace, fleet.metadata.name)));
      if (policy === 'Forbid') {
        await namespace.patch(ShardClusters, fleet.metadata.name, { spec: { deletionPolicy: 'Retain' } });
      }
      await namespace.delete(ShardClusters, fleet.metadata.name);
    }
    await onlyLeft(name, undefined, kept);
  } finally {
    await removeNamespace(cluster, name);
  }
}

async function claimsOf(namespace: TestNamespace, fleet: string): Promise<string[]> {
  const claims = await namespace.list(PersistentVolumeClaims, `shardwright.io/cluster=${fleet}`);
  return claims.map(({ metadata }) => `PersistentVolumeClaim/${metadata.name}`);
}

/** Does not wait for its end: other tests need not. */
async function removeNamespace(cluster: TestCluster, name: string): Promise<void> {
  if (process.env['E2E_KEEP'] === 'true') return;
  await cluster.kube.delete(Namespaces, { name });
}
