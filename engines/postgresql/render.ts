/**
 * All objects of a PostgreSQL shard, from its Shard alone: pure, and the same text for the same Shard. In the order to apply
 * them, so that a member which starts finds its rights, its settings and its store.
 */
import { shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import { accessControl } from './access-control.ts';
import { disruptionBudget, networkPolicy } from './guards.ts';
import { child, namespaceOf } from './object.ts';
import { localSettings } from './patroni-settings.ts';
import { poolerSettings } from './pooler-settings.ts';
import { services } from './services.ts';
import { statefulSet } from './stateful-set.ts';
import { storeObjects } from './store-objects.ts';

export function render(shard: Shard, context: RenderContext): readonly KubeObject[] {
  return [
    ...accessControl(shard),
    ...storeObjects(shard),
    settings(shard),
    ...services(shard),
    statefulSet(shard, context),
    disruptionBudget(shard),
    networkPolicy(shard, context),
  ];
}

/** JSON is YAML; Patroni reads it as such. */
function settings(shard: Shard): KubeObject {
  return child(shard, 'v1', 'ConfigMap', shardChildren.settings(shard.metadata.name), {
    data: {
      'patroni.json': `${JSON.stringify(localSettings(shard, namespaceOf(shard)), undefined, 2)}\n`,
      'pgbouncer.ini': poolerSettings(shard.spec),
    },
  });
}
