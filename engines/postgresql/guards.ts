/** What protects a shard's pods: from being evicted together, and from connections that nobody has a reason for. */
import { labels } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import { ports } from './names.ts';
import { child, namespaceOf } from './object.ts';

const namespaceLabel = 'kubernetes.io/metadata.name';

export function disruptionBudget(shard: Shard): KubeObject {
  const { name } = shard.metadata;
  return child(shard, 'policy/v1', 'PodDisruptionBudget', name, {
    // One at a time, also of a shard of one: a node must remain drainable.
    spec: { maxUnavailable: 1, selector: { matchLabels: { [labels.shard]: name } } },
  });
}

export function networkPolicy(shard: Shard, context: RenderContext): KubeObject {
  const { name } = shard.metadata;
  const pods = { matchLabels: { [labels.shard]: name } };
  const clients = [namespaceOf(shard), ...shard.spec.access.namespaces].map(namespace => ({
    namespaceSelector: { matchLabels: { [namespaceLabel]: namespace } },
  }));
  const operator = {
    namespaceSelector: { matchLabels: { [namespaceLabel]: context.operator.namespace } },
    podSelector: { matchLabels: { ...context.operator.labels } },
  };
  return child(shard, 'networking.k8s.io/v1', 'NetworkPolicy', name, {
    spec: {
      podSelector: pods,
      policyTypes: ['Ingress'],
      ingress: [
        { from: [{ podSelector: pods }, operator], ports: tcp(ports.postgresql, ports.rest) },
        // Backups read the members' files.
        { from: [{ podSelector: { matchLabels: { [labels.taskOf]: name } } }], ports: tcp(ports.backup) },
        { from: clients, ports: tcp(ports.pooler, ports.postgresql) },
      ],
    },
  });
}

function tcp(...numbers: number[]): readonly unknown[] {
  return numbers.map(port => ({ protocol: 'TCP', port }));
}
