/** Progress as Prometheus is told of it: from the statuses of the shards that have a backup under way. */
import { expect, test } from 'vitest';
import { shardWith } from '#controllers/testing/objects.ts';
import { Metrics } from '#kernel/metrics.ts';
import { BackupMetrics } from './metrics.ts';

const since = '2026-01-05T10:00:00Z';

function shard(name: string, running: object, more: object = {}) {
  const backup = { policy: 'nightly', place: 'here', since, running, ...more };
  return shardWith({}, { name }, { achievedRpoSeconds: 2.5, backup });
}

test('what backups under way have done, have to do, and how fast, of all shards together', async () => {
  const begun = { request: 'full-20260105t100000z-0', type: 'full', started: since };
  const shards = [
    shard('social-0', { ...begun, doneBytes: 300, totalBytes: 1000, percent: 30, bytesPerSecond: 20 }),
    shard('social-1', { ...begun, doneBytes: 100, totalBytes: 500, percent: 20, bytesPerSecond: 5 }),
    // It has not been told anything yet.
    shard('social-2', begun),
    shardWith({}, { name: 'social-3' }),
  ];
  const metrics = new Metrics();
  const told = new BackupMetrics(metrics, {
    shards: { values: () => shards },
    backupPolicies: { values: () => [] },
  });
  told.backupsEnded.inc({ type: 'differential', result: 'succeeded' });
  const valueOf = async (name: string) =>
    (await metrics.registry.getSingleMetric(name)?.get())?.values.map(({ value }) => value);
  expect(await valueOf('shardwright_backups_running')).toEqual([3]);
  expect(await valueOf('shardwright_backup_done_bytes')).toEqual([400]);
  expect(await valueOf('shardwright_backup_total_bytes')).toEqual([1500]);
  expect(await valueOf('shardwright_backup_bytes_per_second')).toEqual([25]);
  expect(await valueOf('shardwright_backups_ended_total')).toEqual([1]);
  expect(await valueOf('shardwright_shard_achieved_rpo_seconds')).toEqual([2.5, 2.5, 2.5]);
});
