/** What a member may do on the API server: read its store and its fellows, change its own shard's four objects and pods. */
import { shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { KubeObject } from '#kernel/object.ts';
import { memberNames, store } from './names.ts';
import { child, namespaceOf } from './object.ts';

export function accessControl(shard: Shard): readonly KubeObject[] {
  const { name } = shard.metadata;
  const stored = [store.leader(name), store.config(name), store.sync(name), store.failover(name)];
  return [
    child(shard, 'v1', 'ServiceAccount', name, { automountServiceAccountToken: false }),
    child(shard, 'rbac.authorization.k8s.io/v1', 'Role', name, {
      rules: [
        // Lists and watches are by label, which a rule cannot say.
        { apiGroups: [''], resources: ['endpoints', 'pods'], verbs: ['list', 'watch'] },
        { apiGroups: [''], resources: ['endpoints'], resourceNames: stored, verbs: ['get', 'patch'] },
        {
          apiGroups: [''],
          resources: ['pods'],
          resourceNames: memberNames(name, shard.spec.members),
          verbs: ['get', 'patch'],
        },
        // A backup, a drill and a rebuild report on their own Job: the name of its pod is nobody's to know beforehand.
        {
          apiGroups: ['batch'],
          resources: ['jobs'],
          resourceNames: [
            shardChildren.backupJob(name),
            shardChildren.drillJob(name),
            shardChildren.recoverJob(name),
          ],
          verbs: ['get', 'patch'],
        },
      ],
    }),
    child(shard, 'rbac.authorization.k8s.io/v1', 'RoleBinding', name, {
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: namespaceOf(shard) }],
    }),
  ];
}
