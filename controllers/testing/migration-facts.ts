/** Facts of a migration for unit tests: a split that is ready for its cutover, with what a test cares about put over it. */
import { firstMap } from '#controllers/shard-cluster/map-from-spec.ts';
import type { MigrationFacts, ShardView, TransferView } from '#controllers/shard-migration/facts.ts';
import type { MigrationTransfer, ShardMigrationStatus } from '#crds/api/migration/status.ts';
import { apiVersion } from '#crds/api/names.ts';
import { parseShardMigration } from '#crds/api/shard-migration.ts';
import type { EndFacts, TransferFacts } from '#engines/migration.ts';
import { addShards } from '#sharding/change.ts';
import { clusterWith } from './objects.ts';

export const plan: MigrationTransfer = {
  id: 'abc',
  source: 'social-0',
  target: 'social-4',
  partition: { kind: 'slots', slots: 1024, ranges: [{ first: 0, last: 127 }] },
  whole: false,
  targetEmpty: true,
};

export const map = addShards(firstMap(clusterWith()), [{ name: 'social-4', ordinal: 4 }]);

const end: EndFacts = {
  prepared: true,
  traces: ['journal abc'],
  writers: [1],
  readers: [1],
  superseded: [],
  oldestTransactionSeconds: 0,
  replicaLagBytes: 0,
};

/** Both streams are up and close, all was compared, nothing has switched. */
export function transferWith(
  over: Partial<TransferFacts> = {},
  ends: { readonly source?: Partial<EndFacts>; readonly target?: Partial<EndFacts> } = {},
): TransferFacts {
  return {
    ends: { source: { ...end, ...ends.source }, target: { ...end, ...ends.target } },
    forward: { kind: 'Streaming', lagBytes: 0, connected: true },
    back: { kind: 'Streaming', lagBytes: 0, connected: true },
    verified: { forward: '2026-11-21T10:00:00Z' },
    writes: 'source',
    ...over,
  };
}

export function viewWith(
  transfer: TransferFacts,
  owners: TransferView['owners'] = { read: 'target', write: 'source' },
): TransferView {
  return { plan, observed: { kind: 'Facts', facts: transfer }, owners };
}

export interface FactsInput {
  readonly spec?: object;
  readonly metadata?: object;
  readonly status?: ShardMigrationStatus;
  readonly views?: readonly TransferView[];
  readonly over?: Partial<MigrationFacts>;
}

export function factsWith({ spec, metadata, status, views, over }: FactsInput = {}): MigrationFacts {
  const migration = parseShardMigration({
    apiVersion,
    kind: 'ShardMigration',
    metadata: { name: 'split', namespace: 'default', uid: 'uid-split', generation: 1, ...metadata },
    spec: { cluster: { name: 'social' }, split: { shard: 'social-0', into: 2 }, ...spec },
  });
  return {
    migration,
    status: { transfers: [plan], clusterUid: 'uid-social', ...status },
    cluster: clusterWith({ shards: 5 }),
    supported: true,
    map: { map },
    shards: new Map(['social-0', 'social-4'].map(name => [name, shardView(name)])),
    others: [],
    regions: new Set(['eu-west', 'us-east']),
    storageClasses: new Set(['fast', 'standard']),
    transfers: views ?? [viewWith(transferWith())],
    ...over,
  };
}

export function shardView(name: string, over: Partial<ShardView> = {}): ShardView {
  return { name, ready: true, message: '', schema: 'h/1', schemaPending: false, ...over };
}
