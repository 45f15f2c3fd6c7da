/** What Prometheus is told of migrations: counts and times over all fleets, never the name of an object. */
import { Counter, Gauge, Histogram } from 'prom-client';
import { migrationPhase } from '#crds/api/migration/status.ts';
import type { Metrics } from '#kernel/metrics.ts';
import type { WatchedObjects } from './deps.ts';
import { ENDED } from './facts.ts';

const STALL_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export class MigrationMetrics {
  readonly writeStall: Histogram;
  readonly cutoversUndone: Counter<'reason'>;
  readonly copiesRestarted: Counter;
  readonly ended: Counter<'phase'>;

  constructor(metrics: Metrics, cache: Pick<WatchedObjects, 'values'>) {
    const registers = [metrics.registry];
    this.writeStall = new Histogram({
      name: 'shardwright_cutover_write_stall_seconds',
      help: 'How long writers waited in a switch of writes, from the first lock until the map said so.',
      buckets: STALL_SECONDS,
      registers,
    });
    this.cutoversUndone = new Counter({
      name: 'shardwright_cutovers_undone_total',
      help: 'Switches of writes that undid themselves, by reason.',
      labelNames: ['reason'],
      registers,
    });
    this.copiesRestarted = new Counter({
      name: 'shardwright_migration_copies_restarted_total',
      help: 'Copies that had to be made again.',
      registers,
    });
    this.ended = new Counter({
      name: 'shardwright_migrations_ended_total',
      help: 'Migrations that ended, by how.',
      labelNames: ['phase'],
      registers,
    });
    const phases = new Gauge({
      name: 'shardwright_migrations',
      help: 'ShardMigrations by phase.',
      labelNames: ['phase'],
      registers,
      collect() {
        phases.reset();
        for (const name of migrationPhase.options) phases.set({ phase: name }, 0);
        for (const { phase } of statuses()) phases.inc({ phase });
      },
    });
    const sum = (name: string, help: string, field: string): void => {
      const gauge = new Gauge({
        name,
        help,
        registers,
        collect() {
          let total = 0;
          for (const { phase, progress } of statuses()) {
            if (!ENDED.has(phase)) total += numberAt(progress, field);
          }
          gauge.set(total);
        },
      });
    };
    sum('shardwright_migration_rows_copied', 'Rows that migrations under way have copied.', 'rowsCopied');
    sum('shardwright_migration_bytes_copied', 'Bytes that migrations under way have copied.', 'bytesCopied');
    sum(
      'shardwright_migration_lag_bytes',
      'Write-ahead log that migrations have to catch up with.',
      'lagBytes',
    );

    function* statuses(): Generator<{ readonly phase: string; readonly progress: unknown }> {
      for (const object of cache.values()) {
        const status: unknown = object['status'];
        const phase = fieldOf(status, 'phase');
        yield { phase: typeof phase === 'string' ? phase : 'Pending', progress: fieldOf(status, 'progress') };
      }
    }
  }
}

function numberAt(value: unknown, field: string): number {
  const found = fieldOf(value, field);
  return typeof found === 'number' ? found : 0;
}

function fieldOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, field) : undefined;
}
