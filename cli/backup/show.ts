/** `backups`: all policies, one policy with its shards, or the backups of one shard. */
import type { ArchiveRun } from '#crds/api/backup/cold-tier.ts';
import type { BackupPolicy } from '#crds/api/backup-policy.ts';
import { type Condition, ConditionType } from '#crds/api/conditions.ts';
import type { Shard } from '#crds/api/shard.ts';
import { type Io, type OutputFormat, printJson } from '../io.ts';
import { fields, table } from '../table.ts';
import { age, bytes } from '../units.ts';
import type { Backups } from './backups.ts';

export async function listPolicies(io: Io, backups: Backups, format: OutputFormat): Promise<void> {
  const policies = await backups.policies();
  if (format === 'json') {
    return printJson(
      io,
      policies.map(({ metadata, spec, status }) => ({ name: metadata.name, ...spec.objectives, status })),
    );
  }
  if (policies.length === 0) {
    io.error(`No BackupPolicies in namespace ${backups.namespace}.\n`);
    return;
  }
  const header = [
    'POLICY',
    'SHARDS',
    'RPO',
    'WORST',
    'MET',
    'RTO',
    'WORST',
    'MET',
    'CURRENT',
    'BACKUP',
    'DRILL',
    'STATUS',
  ];
  const rows = policies.map(policy => {
    const { metadata, spec, status } = policy;
    return [
      metadata.name,
      String(status?.shards ?? '-'),
      spec.objectives.rpo,
      seconds(status?.achieved?.rpoSeconds),
      holds(policy, ConditionType.rpoMet),
      spec.objectives.rto,
      seconds(status?.achieved?.rtoSeconds),
      holds(policy, ConditionType.rtoMet),
      holds(policy, ConditionType.backupsCurrent),
      age(status?.lastBackupTime, io.now()),
      age(status?.lastDrillTime, io.now()),
      status?.phase ?? '-',
    ];
  });
  io.out(table(header, rows));
}

export async function showBackups(
  io: Io,
  backups: Backups,
  name: string,
  format: OutputFormat,
): Promise<void> {
  const subject = await backups.subject(name);
  if (subject.kind === 'Shard') return showShard(io, subject.shard, format);
  const { policy } = subject;
  const shards = await backups.shards(name);
  if (format === 'json') {
    return printJson(io, {
      name,
      ...policy.spec.objectives,
      status: policy.status,
      shards: shards.map(summary),
    });
  }
  io.out(
    fields([
      ['Policy', `${name} in namespace ${backups.namespace}`],
      ['Status', policy.status?.phase],
      ['Stalled', explain(policy, ConditionType.stalled, 'True')],
      ['RPO', `${policy.spec.objectives.rpo}: ${told(policy, ConditionType.rpoMet)}`],
      ['RTO', `${policy.spec.objectives.rto}: ${told(policy, ConditionType.rtoMet)}`],
      ['Backups', told(policy, ConditionType.backupsCurrent)],
      ['Old rows', policy.spec.archive && told(policy, ConditionType.archived)],
    ]),
  );
  if (shards.length === 0) return;
  io.out('\n');
  const header = ['SHARD', 'RPO', 'ARCHIVE', 'FULL', 'INCREMENTAL', 'KEPT', 'NOW', 'DRILL', 'RTO'];
  if (policy.spec.archive) header.push('OLD ROWS');
  io.out(
    table(
      header,
      shards.map(shard => [
        ...row(shard, io.now()),
        ...(policy.spec.archive ? [oldRows(shard, io.now())] : []),
      ]),
    ),
  );
}

function showShard(io: Io, shard: Shard, format: OutputFormat): void {
  const { metadata, status } = shard;
  const backup = status?.backup;
  if (format === 'json') return printJson(io, summary(shard));
  const drill = backup?.drill?.last;
  const archive = backup?.archive;
  const cold = backup?.coldTier?.last;
  io.out(
    fields([
      ['Shard', metadata.name],
      ['Policy', backup?.policy ?? 'none: it is not backed up'],
      ['RPO', seconds(status?.achievedRpoSeconds)],
      [
        'Archive',
        archive &&
          `${archive.continuity}, timeline ${archive.timeline}${archive.failure ? `: ${archive.failure}` : ''}`,
      ],
      ['Now', running(shard)],
      ['Failed', backup?.failed && `${backup.failed.attempts} times in a row: ${backup.failed.message}`],
      [
        'Drill',
        drill &&
          `${drill.passed ? 'passed' : `failed: ${drill.failure ?? ''}`}, ${age(drill.time, io.now())} ago, ` +
            drill.steps.map(step => `${step.name} ${seconds(step.seconds)}`).join(', '),
      ],
      ['Old rows', cold && `${archiveTold(cold)}, ${age(cold.time, io.now())} ago`],
    ]),
  );
  const records = backup?.records ?? [];
  if (records.length === 0) return;
  io.out('\n');
  io.out(
    table(
      ['BACKUP', 'TYPE', 'AGE', 'DATABASE', 'STORED', 'STANDS ON'],
      records
        .toReversed()
        .map(record => [
          `${record.label}${record.error ? ' (damaged)' : ''}`,
          record.type,
          age(record.stopped, io.now()),
          bytes(record.databaseBytes),
          bytes(record.storedBytes),
          record.prior ?? '-',
        ]),
    ),
  );
}

function row(shard: Shard, now: Date): readonly string[] {
  const { metadata, status } = shard;
  const backup = status?.backup;
  const drill = backup?.drill?.last;
  return [
    metadata.name,
    seconds(status?.achievedRpoSeconds),
    backup?.archive?.failure === undefined ? (backup?.archive?.continuity ?? '-') : 'Failing',
    age(backup?.lastFull?.time, now),
    age(backup?.lastIncremental?.time, now),
    String(backup?.records?.length ?? 0),
    running(shard) ?? '-',
    drill ? `${drill.passed ? 'passed' : 'failed'} ${age(drill.time, now)} ago` : '-',
    seconds(drill?.rtoSeconds),
  ];
}

function oldRows({ status }: Shard, now: Date): string {
  const { running: run, last } = status?.backup?.coldTier ?? {};
  if (run) return 'archiving';
  return last ? `${last.succeeded ? 'archived' : 'failed'} ${age(last.time, now)} ago` : '-';
}

/** How a run ended, and what it did. */
export function archiveTold({
  succeeded,
  failure,
  rows,
  files,
  bytes: size,
  deleted,
  kept,
  tables,
}: ArchiveRun): string {
  const upTo = tables.map(each => each.upTo).filter(each => each !== undefined);
  const figures = [
    `${rows} rows in ${files} ${files === 1 ? 'file' : 'files'} (${bytes(size)})`,
    `${deleted} deleted`,
    ...(kept > 0 ? [`${kept} left since they had changed`] : []),
    ...(succeeded && upTo.length > 0 ? [`all before ${upTo.toSorted()[0]}`] : []),
  ].join(', ');
  return succeeded ? `archived: ${figures}` : `failed: ${failure?.message ?? ''} (${figures})`;
}

function running({ status }: Shard): string | undefined {
  const { running: backup, failed, drill } = status?.backup ?? {};
  if (backup) {
    const rate = backup.bytesPerSecond === undefined ? '' : `, ${bytes(backup.bytesPerSecond)}/s`;
    return backup.percent === undefined ? backup.type : `${backup.type} ${backup.percent} %${rate}`;
  }
  if (drill?.wanted !== undefined) return 'drill';
  return failed ? 'failed' : undefined;
}

function summary({ metadata, status }: Shard): object {
  return { shard: metadata.name, achievedRpoSeconds: status?.achievedRpoSeconds, ...status?.backup };
}

function conditionOf({ status }: BackupPolicy, type: string): Condition | undefined {
  return status?.conditions?.find(condition => condition.type === type);
}

function holds(policy: BackupPolicy, type: string): string {
  const found = conditionOf(policy, type)?.status;
  return found === 'True' ? 'yes' : found === 'False' ? 'NO' : '-';
}

function told(policy: BackupPolicy, type: string): string {
  const found = conditionOf(policy, type);
  if (!found) return 'not known yet';
  return `${found.status === 'True' ? 'met' : found.status === 'False' ? 'NOT MET' : 'not known'}, ${found.message}`;
}

function explain(policy: BackupPolicy, type: string, status: string): string | undefined {
  const found = conditionOf(policy, type);
  return found?.status === status ? `${found.reason}: ${found.message}` : undefined;
}

export function seconds(value: number | undefined): string {
  if (value === undefined) return '-';
  return value < 120 ? `${Math.round(value * 10) / 10}s` : `${Math.round(value / 6) / 10}m`;
}
