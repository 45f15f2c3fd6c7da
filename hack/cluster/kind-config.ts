/** The shape of the local cluster: one control plane and a worker in each of two regions. */
import { contentHash } from '#hack/once.ts';
import { kubernetesVersion } from '#hack/versions.ts';

/** Label of the control plane's node: which settings the cluster was made with. */
export const setupLabel = 'shardwright.io/setup';

const workers = [
  { region: 'eu-west', zone: 'eu-west-a' },
  { region: 'us-east', zone: 'us-east-a' },
];

/**
 * What the cluster holds is disposable, and on a small machine etcd's waiting for the disk is what everything else
 * waits for: it is told not to.
 */
const etcdWithoutFsync = [
  'kind: ClusterConfiguration',
  'etcd:',
  '  local:',
  '    extraArgs:',
  '      unsafe-no-fsync: "true"',
  '',
].join('\n');

export function kindConfig(): object {
  return withLabels({ [setupLabel]: setupHash() });
}

/** Changes when a cluster made now would differ from one made before. */
export function setupHash(): string {
  return contentHash([JSON.stringify(withLabels({})), kubernetesVersion]);
}

function withLabels(labels: Readonly<Record<string, string>>): object {
  return {
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    networking: { ipFamily: 'ipv4' },
    kubeadmConfigPatches: [etcdWithoutFsync],
    nodes: [
      { role: 'control-plane', labels },
      ...workers.map(({ region, zone }) => ({
        role: 'worker',
        labels: { 'topology.kubernetes.io/region': region, 'topology.kubernetes.io/zone': zone },
      })),
    ],
  };
}
