/**
 * What Prometheus is told of backups. One gauge has a line for each shard: what a shard would lose is of use only with its name.
 */
import { Counter, Gauge, Histogram } from 'prom-client';
import { shardOf } from '#controllers/shard/facts.ts';
import type { Metrics } from '#kernel/metrics.ts';
import type { KubeObject } from '#kernel/object.ts';
import { backupPolicyOf } from './facts.ts';

interface Listed {
  values(): Iterable<KubeObject>;
}

const RESTORE_SECONDS = [5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];

export class BackupMetrics {
  readonly backupsEnded: Counter<'type' | 'result'>;
  readonly drillsEnded: Counter<'result'>;
  readonly restoreTime: Histogram;
  readonly archivesEnded: Counter<'result'>;
  readonly archivedRows: Counter;
  readonly archivedBytes: Counter;
  readonly erasedRows: Counter;

  constructor(metrics: Metrics, caches: { readonly shards: Listed; readonly backupPolicies: Listed }) {
    const registers = [metrics.registry];
    this.backupsEnded = new Counter({
      name: 'shardwright_backups_ended_total',
      help: 'Backups that ended, by type and by how.',
      labelNames: ['type', 'result'],
      registers,
    });
    this.drillsEnded = new Counter({
      name: 'shardwright_drills_ended_total',
      help: 'Drills that ended, by how.',
      labelNames: ['result'],
      registers,
    });
    this.restoreTime = new Histogram({
      name: 'shardwright_drill_restore_seconds',
      help: 'How long drills took until the restored shard answered.',
      buckets: RESTORE_SECONDS,
      registers,
    });
    this.archivesEnded = new Counter({
      name: 'shardwright_archive_runs_ended_total',
      help: 'Runs of the archive that ended, by how.',
      labelNames: ['result'],
      registers,
    });
    const count = (name: string, help: string) => new Counter({ name, help, registers });
    this.archivedRows = count(
      'shardwright_archived_rows_total',
      'Rows that were written to files of the archive and read back.',
    );
    this.archivedBytes = count('shardwright_archived_bytes_total', 'Bytes of these files.');
    this.erasedRows = count(
      'shardwright_archive_deleted_rows_total',
      'Rows that were deleted once they were in the archive.',
    );
    registerShards(registers, caches.shards);
    registerPolicies(registers, caches.backupPolicies);
  }
}

type Registers = Metrics['registry'][];

function registerShards(registers: Registers, shards: Listed): void {
  const rpo = new Gauge({
    name: 'shardwright_shard_achieved_rpo_seconds',
    help: 'What the loss of the shard would lose: age of the oldest commit that is not in the object store.',
    labelNames: ['namespace', 'shard'],
    registers,
    collect() {
      rpo.reset();
      for (const raw of shards.values()) {
        const { metadata, status } = shardOf(raw);
        if (status?.achievedRpoSeconds === undefined) continue;
        rpo.set({ namespace: metadata.namespace ?? '', shard: metadata.name }, status.achievedRpoSeconds);
      }
    },
  });
  const sum = (name: string, help: string, of: (status: NonNullable<Backup>) => number): void => {
    const gauge = new Gauge({
      name,
      help,
      registers,
      collect() {
        let total = 0;
        for (const raw of shards.values()) {
          const backup = shardOf(raw).status?.backup;
          if (backup) total += of(backup);
        }
        gauge.set(total);
      },
    });
  };
  sum('shardwright_backups_running', 'Backups under way.', ({ running }) => (running ? 1 : 0));
  sum(
    'shardwright_backup_done_bytes',
    'Bytes that backups under way have done.',
    b => b.running?.doneBytes ?? 0,
  );
  sum(
    'shardwright_backup_total_bytes',
    'Bytes that backups under way have to do in all.',
    b => b.running?.totalBytes ?? 0,
  );
  sum(
    'shardwright_backup_bytes_per_second',
    'Rate of all backups under way.',
    b => b.running?.bytesPerSecond ?? 0,
  );
  sum('shardwright_archives_running', 'Runs of the archive under way.', ({ coldTier }) =>
    coldTier?.running ? 1 : 0,
  );
  sum('shardwright_archives_failing', 'Shards whose last run of the archive failed.', ({ coldTier }) =>
    coldTier?.last?.succeeded === false ? 1 : 0,
  );
  sum('shardwright_backups_failing', 'Shards whose last backup failed.', ({ failed }) => (failed ? 1 : 0));
}

type Backup = NonNullable<ReturnType<typeof shardOf>['status']>['backup'];

function registerPolicies(registers: Registers, policies: Listed): void {
  const labelNames = ['namespace', 'policy'] as const;
  const condition = new Gauge({
    name: 'shardwright_backup_policy_condition',
    help: '1 where the condition of the BackupPolicy is True.',
    labelNames: [...labelNames, 'type'],
    registers,
    collect() {
      condition.reset();
      for (const { labels, status } of each()) {
        for (const { type, status: holds } of status.conditions ?? []) {
          condition.set({ ...labels, type }, holds === 'True' ? 1 : 0);
        }
      }
    },
  });
  const figure = (
    name: string,
    help: string,
    of: (status: ReturnType<typeof backupPolicyOf>['status'] & object) => number | undefined,
  ): void => {
    const gauge = new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers,
      collect() {
        gauge.reset();
        for (const { labels, status } of each()) {
          const value = of(status);
          if (value !== undefined) gauge.set(labels, value);
        }
      },
    });
  };
  figure(
    'shardwright_achieved_rpo_worst_seconds',
    'Worst achieved RPO of the shards of a BackupPolicy.',
    ({ achieved }) => achieved?.rpoSeconds,
  );
  figure(
    'shardwright_achieved_rpo_median_seconds',
    'Median achieved RPO of the shards of a BackupPolicy.',
    ({ achieved }) => achieved?.rpoMedianSeconds,
  );
  figure(
    'shardwright_achieved_rpo_unknown_shards',
    'Shards of a BackupPolicy whose achieved RPO is not known.',
    ({ achieved }) => achieved?.unknown,
  );
  figure(
    'shardwright_achieved_rto_seconds',
    'Longest restore among the last drills of the shards of a BackupPolicy.',
    ({ achieved }) => achieved?.rtoSeconds,
  );
  figure(
    'shardwright_backup_stored_bytes',
    'Bytes of all backups of a BackupPolicy in the object store, without the log.',
    ({ backups }) => backups?.storedBytes,
  );

  function* each() {
    for (const raw of policies.values()) {
      const { metadata, status = {} } = backupPolicyOf(raw);
      yield { labels: { namespace: metadata.namespace ?? '', policy: metadata.name }, status };
    }
  }
}
