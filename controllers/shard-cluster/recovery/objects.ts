/** Objects that a recovery needs besides its Jobs. All but the volumes go with the ShardCluster. */
import { ownerOf } from '#controllers/shard-cluster/project.ts';
import { clusterChildren, clusterLabels } from '#crds/api/names.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { KubeObject } from '#kernel/object.ts';

/** On a claim that was made to be filled: the uid of the ShardCluster. */
export const recoveredFor = 'shardwright.io/recovered-for';

/** What the Jobs may do on the API server: report on themselves. */
export function accessObjects(cluster: ShardCluster, jobs: readonly string[]): readonly KubeObject[] {
  const name = clusterChildren.recovery(cluster.metadata.name);
  const { namespace } = cluster.metadata;
  const api = 'rbac.authorization.k8s.io';
  return [
    { ...own(cluster, 'v1', 'ServiceAccount', name), automountServiceAccountToken: false },
    {
      ...own(cluster, `${api}/v1`, 'Role', name),
      rules: [
        { apiGroups: ['batch'], resources: ['jobs'], resourceNames: [...jobs], verbs: ['get', 'patch'] },
      ],
    },
    {
      ...own(cluster, `${api}/v1`, 'RoleBinding', name),
      roleRef: { apiGroup: api, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    },
  ];
}

export function sourceSecret(
  cluster: ShardCluster,
  index: number,
  files: Readonly<Record<string, string>>,
): KubeObject {
  const data = Object.entries(files).map(([name, text]) => [name, Buffer.from(text).toString('base64')]);
  return {
    ...own(cluster, 'v1', 'Secret', clusterChildren.recoverySecret(cluster.metadata.name, index)),
    type: 'Opaque',
    data: Object.fromEntries(data),
  };
}

/** Whose volume it is, so that no other fleet of this name takes it for its own. It stays when the ShardCluster goes, as volumes do. */
export function markedClaim({ metadata }: ShardCluster, claim: KubeObject): KubeObject {
  return {
    ...claim,
    metadata: { ...claim.metadata, annotations: { [recoveredFor]: metadata.uid ?? '' } },
  };
}

function own(cluster: ShardCluster, apiVersion: string, kind: string, name: string): KubeObject {
  const { namespace } = cluster.metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(namespace ? { namespace } : {}),
      labels: clusterLabels(cluster.metadata.name),
      ownerReferences: [ownerOf(cluster)],
    },
  };
}
