/** From what a person asked for to a list of transfers, once, from the map as it is. Pure. */
import { createHash } from 'node:crypto';
import { slotsIn } from '#controllers/shard-cluster/partitions.ts';
import type { MigrationNewShard, MigrationTransfer } from '#crds/api/migration/status.ts';
import { clusterChildren } from '#crds/api/names.ts';
import type { ShardMigration, ShardMigrationSpec } from '#crds/api/shard-migration.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { addShards } from '#sharding/change.ts';
import { ShardingError } from '#sharding/errors.ts';
import { type ShardMap, shardByName } from '#sharding/map.ts';
import type { Partition } from '#sharding/partition.ts';
import { describeKeys } from '#sharding/parts.ts';
import { type Operation, planTransfers } from '#sharding/plan.ts';
import type { Plan, Why } from './decision.ts';

export interface PlanInput {
  readonly migration: ShardMigration;
  readonly map: ShardMap;
  /** ShardCluster.spec.shards. */
  readonly wantedShards: number;
  readonly reserved: ReadonlySet<string>;
  readonly regions: ReadonlySet<string>;
  readonly storageClasses: ReadonlySet<string>;
  /** That of a shard; undefined for the cluster's default class. */
  readonly storageClassOf: (shard: string) => string | undefined;
}

export type Planned =
  | { readonly kind: 'Planned'; readonly plan: Plan }
  | (Why & { readonly kind: 'Refused' });

/** A plan is part of an object, and those are limited. */
const MAX_PLAN_BYTES = 400_000;

export function planMigration(input: PlanInput): Planned {
  const { migration, map } = input;
  const newShard = planNewShard(input);
  if (newShard && 'reason' in newShard) return { kind: 'Refused', ...newShard };
  const wider = newShard ? addShards(map, [newShard]) : map;
  try {
    const found = planTransfers(wider, operationOf(migration.spec, newShard?.name), {
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
      plan: { transfers, lines: linesOf(migration, transfers, newShard), ...(newShard && { newShard }) },
    };
  } catch (error) {
    if (!(error instanceof ShardingError)) throw error;
    const reason = 'reason' in error && typeof error.reason === 'string' ? error.reason : error.code;
    return { kind: 'Refused', reason, message: `${error.message}. ${error.remedy}` };
  }
}

/** For people: `split social-0 into 2`. */
export function describeOperation({ split, merge, move, slots }: ShardMigrationSpec): string {
  if (split) {
    const at = split.at ? ` at ${shorten(split.at)}` : '';
    return `split ${split.shard} into ${split.into}${at}`;
  }
  if (merge) {
    const into = merge.into ?? merge.shards[0] ?? '';
    return `merge ${merge.shards.filter(name => name !== into).join(', ')} into ${into}`.slice(0, 512);
  }
  if (move) {
    const { shard, region, storageClassName } = move;
    const to = region === undefined ? '' : ` to ${region}`;
    return `move ${shard}${to}${storageClassName === undefined ? '' : ` onto storage class ${storageClassName}`}`;
  }
  return slots ? `move slots of ${slots.from} to ${slots.to}` : '';
}

export function describeTransfer({ source, target, partition, whole }: MigrationTransfer): string {
  return `${source} -> ${target}: ${whole ? 'all of it, ' : ''}${describePartition(partition)}`;
}

/** ` in us-east on storage class fast`: what is not said is not there. */
export function describePlace({ region, storageClassName }: Place): string {
  const where = region === undefined ? '' : ` in ${region}`;
  return storageClassName === undefined ? where : `${where} on storage class ${storageClassName}`;
}

type Place = Pick<MigrationNewShard, 'region' | 'storageClassName'>;

/** The shard that a move makes: where the old one is, but for what the move names. */
function planNewShard(input: PlanInput): MigrationNewShard | Why | undefined {
  const { map, regions, storageClasses, storageClassOf } = input;
  const { move } = input.migration.spec;
  if (!move) return undefined;
  if (move.region !== undefined && !regions.has(move.region)) {
    return {
      reason: 'RegionWithoutNodes',
      message: `spec.move.region: no node has the label topology.kubernetes.io/region=${move.region} (nodes are in: ${some(regions)}). Name another region in a new ShardMigration, or add a node`,
    };
  }
  if (move.storageClassName !== undefined && !storageClasses.has(move.storageClassName)) {
    return {
      reason: 'NoSuchStorageClass',
      message: `spec.move.storageClassName: there is no StorageClass ${move.storageClassName} (there are: ${some(storageClasses)}). Create it, or name another one in a new ShardMigration`,
    };
  }
  const present = {
    region: shardByName(map, move.shard)?.region,
    storageClassName: storageClassOf(move.shard),
  };
  const { region = present.region, storageClassName = present.storageClassName } = move;
  if (region === present.region && storageClassName === present.storageClassName) {
    return {
      reason: 'AlreadyThere',
      message: `shard ${move.shard} is${describePlace(move)} already. Name another place in a new ShardMigration`,
    };
  }
  const ordinal = map.nextOrdinal;
  return {
    name: clusterChildren.shard(map.cluster, ordinal),
    ordinal,
    ...(region === undefined ? {} : { region }),
    ...(storageClassName === undefined ? {} : { storageClassName }),
  };
}

function some(names: ReadonlySet<string>): string {
  return [...names].toSorted().slice(0, 10).join(', ') || 'none';
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
  newShard: MigrationNewShard | undefined,
): readonly string[] {
  const verify = spec.verification.mode === 'Full' ? 'every row' : 'a sample of the rows';
  const when =
    spec.cutover.mode === 'Manual'
      ? 'when a person approves'
      : `as soon as it is safe${spec.cutover.window === undefined ? '' : `, inside "${spec.cutover.window}"`}`;
  return [
    ...(newShard ? [`make shard ${newShard.name}${describePlace(newShard)}`] : []),
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
      return shorten(partition.ranges.map(describeKeys));
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
