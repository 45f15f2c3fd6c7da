/** What the ShardCluster controller works with; the operator wires it, tests put fakes in. */
import type { Caches } from '#controllers/caches.ts';
import type { SecretReader } from '#controllers/secrets/secret-reader.ts';
import type { MapStore } from '#controllers/shard-map/map-store.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { RecoveryEngine } from '#engines/recovery.ts';
import type { Applier } from '#kernel/apply.ts';
import type { Clock } from '#kernel/clock.ts';
import type { EventRecorder } from '#kernel/events.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { RandomBytes } from './passwords.ts';
import type { SchemaWatch } from './schema-watch.ts';

export interface ClusterDeps {
  readonly client: KubeClient;
  readonly applier: Applier;
  readonly caches: Caches;
  readonly secrets: SecretReader;
  readonly maps: MapStore;
  readonly schemas: SchemaWatch;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly defaultImage: string;
  /** Undefined for an engine whose fleets cannot be brought back. */
  readonly recovery: (of: { readonly spec: Pick<Shard['spec'], 'engine'> }) => RecoveryEngine | undefined;
  readonly context: RenderContext;
  readonly mapService: MapServiceAddress;
  /** What a person runs to let the operator into a namespace. */
  readonly enableCommand: (namespace: string) => string;
}

export interface MapServiceAddress {
  /** `https://<service>.<namespace>.svc`, without a slash at the end. */
  readonly url: string;
  /** PEM of the authority behind it. */
  readonly ca: () => string;
}
