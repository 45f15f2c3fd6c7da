/** Gathers all that a decision is made from: objects from caches, the map, and what both databases of each transfer say. */
import { byCluster, indexKey, regionLabel } from '#controllers/caches.ts';
import { findCondition } from '#controllers/conditions.ts';
import { severalAtOnce } from '#controllers/several-at-once.ts';
import { shardOf } from '#controllers/shard/facts.ts';
import { clusterOf } from '#controllers/shard-cluster/facts.ts';
import type { MapFacts } from '#controllers/shard-map/config-maps.ts';
import type { MigrationTransfer, ShardMigrationStatus } from '#crds/api/migration/status.ts';
import { InvalidObjectError } from '#crds/api/parse.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { ShardMigration } from '#crds/api/shard-migration.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { KubeObject } from '#kernel/object.ts';
import { type ShardMap, shardByName } from '#sharding/map.ts';
import { ownersOf } from '#sharding/owners.ts';
import type { MigrationDeps } from './deps.ts';
import {
  ENDED,
  type MapView,
  type MigrationFacts,
  migrationOf,
  type Observed,
  type OtherMigration,
  type Owner,
  type ShardView,
  type TransferView,
} from './facts.ts';
import { namedShards } from './in-use.ts';
import { isOutage, type TransferSessions } from './sessions.ts';

/** Transfers looked at at a time. */
const AT_ONCE = 8;

/** What the cluster says; no database was asked. */
export function gatherObjects(deps: MigrationDeps, raw: KubeObject): Omit<MigrationFacts, 'transfers'> {
  const { caches, statuses, maps } = deps;
  const migration = migrationOf(raw);
  const namespace = migration.metadata.namespace ?? '';
  const fleet = { namespace, name: migration.spec.cluster.name };
  const cluster = presentCluster(caches.shardClusters.get(fleet));
  const shards = caches.shards.byIndex(byCluster, indexKey(namespace, fleet.name)).map(shardOf);
  const regions = [...caches.nodes.values()].flatMap(node => node.metadata.labels?.[regionLabel] ?? []);
  return {
    migration,
    status: statuses.latest(raw),
    cluster,
    supported: cluster === undefined || deps.shards.openTransfer(cluster) !== undefined,
    map: mapView(maps.read(fleet)),
    shards: new Map(shards.map(shard => [shard.metadata.name, shardView(shard)])),
    others: gatherOthers(deps, migration),
    regions: new Set(regions),
    storageClasses: new Set([...caches.storageClasses.values()].map(({ metadata }) => metadata.name)),
  };
}

/** Other migrations of the same fleet that have not ended, with their newest statuses. */
export function gatherOthers(
  { caches, statuses }: MigrationDeps,
  mine: ShardMigration,
): readonly OtherMigration[] {
  const others: OtherMigration[] = [];
  for (const raw of caches.shardMigrations.values()) {
    if (raw.metadata.namespace !== mine.metadata.namespace || raw.metadata.uid === mine.metadata.uid)
      continue;
    const other = parsed(raw);
    if (!other || other.spec.cluster.name !== mine.spec.cluster.name) continue;
    const status = statuses.latest(raw);
    if (status.phase !== undefined && ENDED.has(status.phase)) continue;
    others.push(otherMigration(mine, other, status));
  }
  return others;
}

/** Asks the databases; a transfer that cannot be reached says so, and the others are known all the same. */
export async function observe(
  facts: Omit<MigrationFacts, 'transfers'>,
  sessions: TransferSessions,
): Promise<readonly TransferView[]> {
  const { status, map, cluster, migration } = facts;
  const plans = status.transfers ?? [];
  if (!map || !cluster || map.halfWritten || (status.phase !== undefined && ENDED.has(status.phase)))
    return [];
  const observed = new Map<string, Observed>();
  await severalAtOnce(plans, AT_ONCE, async plan => {
    observed.set(plan.id, await observeOne(plan, migration, sessions));
  });
  return plans.map(plan => ({
    plan,
    observed: observed.get(plan.id) ?? { kind: 'Unreachable', message: 'not looked at' },
    owners: ownersByEnd(map.map, plan),
  }));
}

async function observeOne(
  plan: MigrationTransfer,
  { spec }: ShardMigration,
  sessions: TransferSessions,
): Promise<Observed> {
  const missing = sessions.missing(plan);
  if (missing.length > 0) {
    const untouched = plan.phase === undefined || plan.phase === 'Pending';
    return spec.move && untouched && !missing.includes('source')
      ? { kind: 'TargetToCome' }
      : { kind: 'Gone', ends: missing };
  }
  try {
    return { kind: 'Facts', facts: await (await sessions.of(plan)).observe() };
  } catch (error) {
    if (!isOutage(error)) throw error;
    return { kind: 'Unreachable', message: `${error.message}. ${error.remedy}` };
  }
}

function ownersByEnd(map: ShardMap, plan: MigrationTransfer): TransferView['owners'] {
  const [source, target] = [shardByName(map, plan.source), shardByName(map, plan.target)];
  const { read, write } = ownersOf(map, plan.partition);
  const of = ([first, ...more]: readonly number[]): Owner => {
    if (first === undefined || more.length > 0) return 'other';
    if (first === source?.ordinal) return 'source';
    return first === target?.ordinal ? 'target' : 'other';
  };
  return { read: of(read), write: of(write) };
}

function mapView(facts: MapFacts): MapView | undefined {
  switch (facts.kind) {
    case 'Present':
      return { map: facts.stored.map, markedBy: facts.stored.markedBy };
    case 'InTransition':
      return { map: facts.last?.map ?? facts.raw.map, markedBy: facts.raw.markedBy, halfWritten: true };
    case 'Absent':
    case 'Damaged':
      return undefined;
    default:
      return assertNever(facts);
  }
}

/** One on its way out takes its databases along; one that may not go stays. */
function presentCluster(raw: KubeObject | undefined): ShardCluster | undefined {
  if (!raw) return undefined;
  const cluster = clusterOf(raw);
  const leaving =
    cluster.metadata.deletionTimestamp !== undefined && cluster.spec.deletionPolicy !== 'Forbid';
  return leaving ? undefined : cluster;
}

function shardView(shard: Shard): ShardView {
  const { status, spec, metadata } = shard;
  const ready = findCondition(shard, 'Ready');
  return {
    name: metadata.name,
    ready: ready?.status === 'True' && metadata.deletionTimestamp === undefined,
    message: ready?.message ?? 'not looked at yet',
    schema: `${status?.schema?.hash ?? ''}/${status?.schema?.files ?? 0}`,
    schemaPending: spec.schema !== undefined && status?.schema?.hash !== spec.schema.hash,
    storageClassName: spec.storage.storageClassName,
  };
}

function otherMigration(
  mine: ShardMigration,
  { metadata, spec }: ShardMigration,
  status: ShardMigrationStatus,
): OtherMigration {
  const planned = status.transfers !== undefined;
  const idle = spec.suspend || spec.abort || spec.dryRun || metadata.deletionTimestamp !== undefined;
  const names = (status.transfers ?? []).flatMap(({ source, target }) => [source, target]);
  return {
    name: metadata.name,
    older: orderOf(metadata) < orderOf(mine.metadata),
    planned,
    queued: !planned && !idle && (status.waitingFor !== undefined || status.conditions === undefined),
    shards: planned ? [...new Set(names)] : namedShards(spec),
    waitingFor: idle ? undefined : status.waitingFor,
  };
}

function orderOf({ creationTimestamp = '', name }: ShardMigration['metadata']): string {
  return `${creationTimestamp} ${name}`;
}

function parsed(raw: KubeObject): ShardMigration | undefined {
  try {
    return migrationOf(raw);
  } catch (error) {
    if (error instanceof InvalidObjectError) return undefined;
    throw error;
  }
}
