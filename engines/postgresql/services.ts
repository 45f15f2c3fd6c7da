/** How the shard is reached: read-write (whoever holds the lock), read-only, and each member by name. */
import { labels, shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { KubeObject } from '#kernel/object.ts';
import { patroni, ports } from './names.ts';
import { child } from './object.ts';

const traffic = [
  { name: 'pooler', port: ports.pooler, targetPort: ports.pooler, protocol: 'TCP' },
  { name: 'postgresql', port: ports.postgresql, targetPort: ports.postgresql, protocol: 'TCP' },
];

export function services(shard: Shard): readonly KubeObject[] {
  const { name } = shard.metadata;
  const pods = { [labels.shard]: name };
  // A shard of one member reads where it writes.
  const readers = shard.spec.members > 1 ? { ...pods, [patroni.roleLabel]: patroni.replica } : pods;
  return [
    child(shard, 'v1', 'Service', name, { spec: { type: 'ClusterIP', ports: traffic } }),
    child(shard, 'v1', 'Service', shardChildren.readOnlyService(name), {
      spec: { type: 'ClusterIP', ports: traffic, selector: readers },
    }),
    child(shard, 'v1', 'Service', shardChildren.headlessService(name), {
      spec: {
        clusterIP: 'None',
        publishNotReadyAddresses: true,
        selector: pods,
        ports: [...traffic, { name: 'rest', port: ports.rest, targetPort: ports.rest, protocol: 'TCP' }],
      },
    }),
  ];
}
