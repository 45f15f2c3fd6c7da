/** What every rendered object has in common. */
import { shardLabels } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { KubeObject, ObjectMeta } from '#kernel/object.ts';

/** Thrown for a Shard that never came from an API server. */
export class NoNamespaceError extends Error {
  override readonly name = 'NoNamespaceError';
  readonly code = 'NoNamespace';
  readonly remedy = 'Render only Shards that were read from the API server.';
}

export function namespaceOf(shard: Shard): string {
  const { namespace } = shard.metadata;
  if (namespace === undefined) throw new NoNamespaceError(`Shard ${shard.metadata.name} has no namespace`);
  return namespace;
}

export function labelsOf(shard: Shard): Record<string, string> {
  return shardLabels(shard.spec.cluster.name, shard.metadata.name);
}

/** An object of the shard; `extra` joins its metadata. */
export function child(
  shard: Shard,
  apiVersion: string,
  kind: string,
  name: string,
  fields: Readonly<Record<string, unknown>>,
  extra: Omit<ObjectMeta, 'name' | 'namespace' | 'labels'> = {},
): KubeObject {
  return {
    apiVersion,
    kind,
    metadata: { name, namespace: namespaceOf(shard), labels: labelsOf(shard), ...extra },
    ...fields,
  };
}
