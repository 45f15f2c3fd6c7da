/** What the Shard controller works with; the operator wires it, tests put fakes in. */

import type { Caches } from '#controllers/caches.ts';
import type { SecretReader } from '#controllers/secrets/secret-reader.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { Engine, RenderContext } from '#engines/engine.ts';
import type { Applier } from '#kernel/apply.ts';
import type { Clock, Random } from '#kernel/clock.ts';
import type { EventRecorder } from '#kernel/events.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { Certificates } from './certificate.ts';
import type { Memory } from './memory.ts';
import type { SchemaRuns } from './schema-runs.ts';
import type { Sessions } from './sessions.ts';
import type { Turns } from './turns.ts';

export interface ShardDeps {
  readonly client: KubeClient;
  readonly applier: Applier;
  readonly caches: Caches;
  readonly secrets: SecretReader;
  readonly certificates: Certificates;
  readonly sessions: Sessions;
  readonly memory: Memory;
  readonly schemas: SchemaRuns;
  readonly turns: Turns;
  readonly engine: (shard: Shard) => Engine;
  readonly context: RenderContext;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly random: Random;
  /** Between two measurements of one shard; 0 for never. */
  readonly statisticsMs: number;
  /** Of one session, from connecting to closing. */
  readonly sessionMs: number;
}
