/** From what a person asked for to a list of transfers, once, from the map as it is. Pure. */
import { createHash } from 'node:crypto';
import { slotsIn } from '#controllers/shard-cluster/partitions.ts';
import type { MigrationTransfer } from '#crds/api/migration/status.ts';
import { clusterChildren } from '#crds/api/names.ts';
import type { ShardMigration, ShardMigrationSpec } from '#crds/api/shard-migration.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { addShards } from '#sharding/change.ts';
import { ShardingError } from '#sharding/errors.ts';
import { type ShardMap, shardByName } from '#sharding/map.ts';
import type { Partition } from '#sharding/partition.ts';
import { type Operation, planTransfers } from '#sharding/plan.ts';
import type { Plan, Why } from './decision.ts';

export interface PlanInput {
  readonly migration: ShardMigration;
  readonly map: ShardMap;
  /** ShardCluster.spec.shards. */
  readonly wantedShards: number;
  readonly reserved: ReadonlySet<string>;
  readonly regions: ReadonlySet<string>;
}

export type Planned =
  | { readonly kind: 'Planned'; readonly plan: Plan }
  | (Why & { readonly kind: 'Refused' });

/** A plan is part of an object, and those are limited. */
const MAX_PLAN_BYTES = 400_000;

export function planMigration(input: PlanInput): Planned {
  const { migration, map } = input;
  const adds = addedShard(input);
  if (adds && 'reason' in adds) return { kind: 'Refused', ...adds };
  const wider = adds ? addShards(map, [adds]) : map;
  try {
    const found = planTransfers(wider, operationOf(migration.spec, adds?.name), {
      reserved: input.reserved,
      wantedShards: input.wantedShards,
    });
    const transfers = found.map((transfer, index) => ({ id: transferId(migration, index), ...transfer }));
    if (JSON.stringify(transfers).length > MAX_PLAN_BYTES) {
      return {
        kind: 'Refused',
        reason: 'PlanTooLarge',
        message: 'the slots that move lie in too many ranges for one object: move them in several migrations',
      };
    }
    return {
      kind: 'Planned',
      plan: { transfers, lines: linesOf(migration, transfers, adds), ...(adds && { adds }) },
    };
  } catch (error) {
    if (!(error instanceof ShardingError)) throw error;
    const reason = 'reason' in error && typeof error.reason === 'string' ? error.reason : error.code;
    return { kind: 'Refused', reason, message: `${error.message}. ${error.remedy}` };
  }
}

/** For people: `split social-0 into 2`. */
export function describeOperation({ split, merge, move, slots }: ShardMigrationSpec): string {
  if (split) return `split ${split.shard} into ${split.into}`;
  if (merge) {
    const into = merge.into ?? merge.shards[0] ?? '';
    return `merge ${merge.shards.filter(name => name !== into).join(', ')} into ${into}`.slice(0, 512);
  }
  if (move) return `move ${move.shard} to ${move.region}`;
  return slots ? `move slots of ${slots.from} to ${slots.to}` : '';
}

export function describeTransfer({ source, target, partition, whole }: MigrationTransfer): string {
  return `${source} -> ${target}: ${whole ? 'all of it, ' : ''}${describePartition(partition)}`;
}

function addedShard({ migration, map, regions }: PlanInput): Plan['adds'] | Why | undefined {
  const { move } = migration.spec;
  if (!move) return undefined;
  if (!regions.has(move.region)) {
    const known = [...regions].toSorted().slice(0, 10);
    return {
      reason: 'RegionWithoutNodes',
      message: `spec.move.region: no node has the label topology.kubernetes.io/region=${move.region} (nodes are in: ${known.join(', ') || 'none'}). Name another region in a new ShardMigration, or add a node`,
    };
  }
  if (shardByName(map, move.shard)?.region === move.region) {
    return {
      reason: 'SameRegion',
      message: `shard ${move.shard} is in ${move.region} already. Name another region in a new ShardMigration`,
    };
  }
  const ordinal = map.nextOrdinal;
  return { name: clusterChildren.shard(map.cluster, ordinal), ordinal, region: move.region };
}

function operationOf(
  { split, merge, move, slots }: ShardMigrationSpec,
  added: string | undefined,
): Operation {
  if (split) return { kind: 'split', ...split };
  if (merge) return { kind: 'merge', ...merge };
  if (slots) return { kind: 'slots', ...slots };
  return { kind: 'move', shard: move?.shard ?? '', to: added ?? '' };
}

/** From the object's uid, so that it is never used again, and the same whenever the plan is made. */
function transferId({ metadata }: ShardMigration, index: number): string {
  return createHash('sha256')
    .update(`${metadata.uid ?? metadata.name}/${index}`)
    .digest('hex')
    .slice(0, 12);
}

function linesOf(
  { spec }: ShardMigration,
  transfers: readonly MigrationTransfer[],
  adds: Plan['adds'],
): readonly string[] {
  const verify = spec.verification.mode === 'Full' ? 'every row' : 'a sample of the rows';
  const when =
    spec.cutover.mode === 'Manual'
      ? 'when a person approves'
      : `as soon as it is safe${spec.cutover.window === undefined ? '' : `, inside "${spec.cutover.window}"`}`;
  return [
    ...(adds ? [`make shard ${adds.name} in ${adds.region}`] : []),
    ...transfers.map(transfer => `copy ${describeTransfer(transfer)}`.slice(0, 512)),
    `compare ${verify}, then switch reads`,
    `switch writes ${when}`,
    `compare ${verify} again, keep the way back for ${spec.rollbackWindow}, then clean up`,
  ];
}

function describePartition(partition: Partition): string {
  switch (partition.kind) {
    case 'slots':
      return `${slotsIn(partition)} slots (${shorten(partition.ranges.map(({ first, last }) => `${first}-${last}`))})`;
    case 'regions':
      return `${slotsIn(partition)} slots of ${shorten(partition.regions.map(({ region }) => region))}`;
    case 'keys':
      return shorten(
        partition.ranges.map(({ from, to }) => `keys from ${from ?? 'the lowest'} to ${to ?? 'the highest'}`),
      );
    case 'directory':
      return `${partition.entries.length} entries${partition.fallback ? ' and the default' : ''}`;
    default:
      return assertNever(partition);
  }
}

function shorten(parts: readonly string[]): string {
  const shown = parts.slice(0, 4).map(part => part.slice(0, 80));
  return parts.length > shown.length ? `${shown.join(', ')}, ...` : shown.join(', ');
}
