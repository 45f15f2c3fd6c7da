/** Sizes and lags as the primary sees them. */
import type { Client } from 'pg';
import { z } from 'zod';
import type { ShardStatistics } from '#engines/engine.ts';

const row = z.object({
  size: z.coerce.number(),
  lags: z.record(z.string(), z.number()),
});

/** A replica's application_name is its pod's name: Patroni sets it so. */
const query = `
SELECT pg_database_size(current_database())::text AS size,
  coalesce((
    SELECT jsonb_object_agg(application_name, greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0))
    FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn IS NOT NULL AND usename = 'standby'
  ), '{}') AS lags`;

export async function statistics(client: Client): Promise<ShardStatistics> {
  const { rows } = await client.query<Record<string, unknown>>(query);
  const { size, lags } = row.parse(rows[0]);
  return { sizeBytes: size, lagBytes: lags };
}
