/**
 * Patroni's store, made before Patroni starts: Endpoints that it finds and patches. So it needs no right to create
 * anything, its settings are there from the first second and are corrected by the next apply, and all of it has an owner:
 * what would stay behind would make a later shard of the same name refuse to start.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { KubeObject } from '#kernel/object.ts';
import { store } from './names.ts';
import { child } from './object.ts';
import { sharedSettings } from './patroni-settings.ts';

/**
 * Kubernetes clears away Endpoints that no Service stands for, unless they say that they serve an election; these do.
 * The leader's Endpoints have a Service and must not say so, or its address would never reach a proxy.
 */
const keep = { 'control-plane.alpha.kubernetes.io/leader': '' } as const;

export function storeObjects(shard: Shard): readonly KubeObject[] {
  const { name } = shard.metadata;
  const endpoints = (of: string, annotations: Record<string, string>): KubeObject =>
    child(shard, 'v1', 'Endpoints', of, {}, { annotations });
  return [
    // Without spaces, as Patroni writes it: the two then never take turns in changing it.
    endpoints(store.config(name), {
      ...keep,
      config: JSON.stringify(sharedSettings(shard)),
      // A volume that was filled from a backup: it is this database or none, so members with empty volumes wait for it.
      ...(shard.spec.recovery && { initialize: shard.spec.recovery.systemIdentifier }),
    }),
    endpoints(store.sync(name), keep),
    endpoints(store.failover(name), keep),
    child(shard, 'v1', 'Endpoints', store.leader(name), {}),
  ];
}
