/** The files of spec.schema: read from their ConfigMaps by name, in the order to apply them, with a hash of it all. */

import type { SchemaFile } from '#engines/engine.ts';
import { digest } from '#kernel/canonical.ts';
import { orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { ConfigMaps } from '#kernel/resources.ts';

export interface SchemaSource {
  readonly name: string;
  readonly key?: string | undefined;
}

export type SchemaRead =
  | { readonly kind: 'Files'; readonly files: readonly SchemaFile[]; readonly hash: string }
  | { readonly kind: 'Missing'; readonly message: string };

export async function readSchema(
  client: KubeClient,
  namespace: string,
  sources: readonly SchemaSource[],
  signal: AbortSignal,
): Promise<SchemaRead> {
  const files: SchemaFile[] = [];
  for (const source of sources) {
    const configMap = await orUndefined(client.get(ConfigMaps, { namespace, name: source.name }, { signal }));
    if (!configMap) {
      return {
        kind: 'Missing',
        message: `there is no ConfigMap ${source.name} in namespace ${namespace}: create it, or take it out of spec.schema.configMaps`,
      };
    }
    const data = configMap.data ?? {};
    const keys = source.key === undefined ? Object.keys(data).toSorted() : [source.key];
    for (const key of keys) {
      const sql = data[key];
      if (sql === undefined) {
        return {
          kind: 'Missing',
          message: `ConfigMap ${source.name} has no key ${key}: add it, or name another key in spec.schema.configMaps`,
        };
      }
      // Two ConfigMaps may use one key: the name that the database records must tell them apart.
      files.push({ name: `${source.name}/${key}`, sql });
    }
  }
  return { kind: 'Files', files, hash: digest(files) };
}
