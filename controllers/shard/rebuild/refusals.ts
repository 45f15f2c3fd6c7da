/** What is said before anything is touched: the shard stays as it is until it is put right. Pure. */
import { RECORDS_SHOWN } from '#crds/api/backup/shard-status.ts';
import { annotations } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import { otherClaims, type RebuildFacts } from './facts.ts';
import { isTime } from './order.ts';

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

type Check = (facts: RebuildFacts) => Refusal | undefined;

export function refusalOf(facts: RebuildFacts): Refusal | undefined {
  for (const check of CHECKS) {
    const refusal = check(facts);
    if (refusal) return refusal;
  }
  return undefined;
}

const notATime: Check = ({ order }) =>
  order.to === 'latest' || isTime(order.to)
    ? undefined
    : no(
        'InvalidRebuild',
        `${annotations.rebuild} is ${order.to.slice(0, 64)}: write latest, or a time such as 2026-03-01T11:30:00Z`,
      );

const migrating: Check = ({ shard, inUse }) =>
  inUse
    ? no(
        'MigrationUnderWay',
        `a ShardMigration that has not ended counts on ${shard.metadata.name}: abort it or finish it first; where that cannot end ` +
          `without this shard, delete it with ${annotations.letGo}=true`,
      )
    : undefined;

const noBackup: Check = ({ shard }) =>
  (shard.status?.backup?.records ?? []).some(({ error }) => !error)
    ? undefined
    : no(
        'NoBackup',
        `there is no backup of ${shard.metadata.name} that the operator knows of: put its fleet under the BackupPolicy whose ` +
          'destinations hold them, or bring the fleet back under another name',
      );

const outOfReach: Check = ({ shard, order, now }) => {
  if (order.to === 'latest') return undefined;
  const target = Date.parse(order.to);
  if (target > now.getTime())
    return no('InvalidRebuild', `${order.to} is still to come: write latest to get the newest`);
  const records = shard.status?.backup?.records ?? [];
  const first = records.find(({ error }) => !error)?.stopped;
  // A list that is cut short does not show the first.
  if (first !== undefined && records.length < RECORDS_SHOWN && target < Date.parse(first))
    return no(
      'InvalidRebuild',
      `${order.to} is too early: the first backup of ${name(shard)} ended at ${first}`,
    );
  const last = shard.status?.backup?.archive?.at;
  if (last !== undefined && target > Date.parse(last))
    return no(
      'InvalidRebuild',
      `${order.to} is after the end of the archive: ${name(shard)} last told of it at ${last}; write latest to get the newest`,
    );
  return undefined;
};

/** A member that came up on one of them would have data of another history. */
export const volumesInTheWay: Check = facts => {
  const { order, shard } = facts;
  const others = otherClaims(facts);
  if (order.discard || others.length === 0) return undefined;
  return no(
    'VolumesInTheWay',
    `PersistentVolumeClaim ${others.map(claim => claim.name).join(', ')} of ${name(shard)} would have to go: delete what need not be kept, ` +
      `or let them go once the database is whole again: kubectl annotate shard ${name(shard)} ${annotations.discardVolumes}=true`,
  );
};

const CHECKS: readonly Check[] = [notATime, migrating, noBackup, outOfReach, volumesInTheWay];

function name({ metadata }: Shard): string {
  return metadata.name;
}

function no(reason: string, message: string): Refusal {
  return { reason, message };
}
