/**
 * Makes Patroni's store forget members whose volumes are no more, while none of them runs. Who led, how far it had come and who was
 * synchronous would each keep what came back from a backup from leading: it is behind of all of that. Settings stay, and which
 * database it is, so that a member with an empty volume never makes one of its own.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { MergePatch, ShardObjects } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import { store } from '../names.ts';

/** Not Patroni's: what keeps Kubernetes from clearing the object away, and what the operator notes down. */
const FOREIGN = /^(control-plane\.alpha\.kubernetes\.io\/leader$|shardwright\.io\/)/;

export function forgetMembers(
  shard: Shard,
  { endpoints }: Pick<ShardObjects, 'endpoints'>,
  systemIdentifier: string,
): readonly MergePatch[] {
  const { name } = shard.metadata;
  const wanted = new Map<string, Readonly<Record<string, string>>>([
    [store.leader(name), {}],
    [store.sync(name), {}],
    [store.failover(name), {}],
    [store.config(name), { initialize: systemIdentifier }],
  ]);
  return endpoints.flatMap(object => {
    const known = wanted.get(object.metadata.name);
    return known ? (patchOf(object, known) ?? []) : [];
  });
}

function patchOf(
  { apiVersion, kind, metadata }: KubeObject,
  known: Readonly<Record<string, string>>,
): MergePatch | undefined {
  const { name, namespace = '', resourceVersion, annotations = {} } = metadata;
  const gone = Object.keys(annotations).filter(
    key => !FOREIGN.test(key) && key !== 'config' && !(key in known),
  );
  const changed = Object.entries(known).filter(([key, value]) => annotations[key] !== value);
  if (gone.length === 0 && changed.length === 0) return undefined;
  const body = {
    metadata: {
      resourceVersion,
      annotations: { ...Object.fromEntries(gone.map(key => [key, null])), ...Object.fromEntries(changed) },
    },
  };
  return { apiVersion, kind, namespace, name, body };
}
