/** Everything that one end knows of a transfer, in one statement. */

import type { Client } from 'pg';
import { z } from 'zod';
import { copierName, originPattern } from './copier/job.ts';
import { holderName } from './copier/snapshot.ts';
import { journalSql } from './journal.ts';
import { moverLogin, policyName, type Stream, streamName, streams } from './names.ts';
import { standbySlot } from './standbys.ts';

const lsnDistance = z.coerce.number();

const subscription = z.object({
  oid: z.string(),
  enabled: z.boolean(),
  /** Worker of the stream itself. */
  running: z.boolean(),
  /** It has been at work without an error for a while. */
  settled: z.boolean(),
  errors: z.number(),
  tables: z.array(z.object({ name: z.string(), state: z.string(), rows: z.number(), bytes: z.number() })),
});

const slot = z.object({
  active: z.boolean(),
  walStatus: z.string().nullable(),
  invalidation: z.string().nullable(),
  lagBytes: lsnDistance.nullable(),
});

const endState = z.object({
  journal: z.unknown(),
  logins: z.array(z.object({ name: z.string(), open: z.boolean() })),
  kept: z.array(z.object({ role: z.string(), kind: z.string() })),
  floor: z.object({ writer: z.number(), reader: z.number() }),
  publications: z.array(z.string()),
  policies: z.number(),
  hidden: z.number(),
  mover: z.boolean(),
  subscriptions: z.record(z.string(), subscription),
  slots: z.record(z.string(), slot),
  copySlots: z.array(z.string()),
  /** What the copier has to do and has done; null when it has nothing to do. */
  copy: z
    .object({
      running: z.boolean(),
      rows: z.number(),
      bytes: z.number(),
      failures: z.number(),
      message: z.string().nullable(),
    })
    .nullable(),
  /** Somebody holds the snapshot that the copier reads. */
  holder: z.boolean(),
  origins: z.array(z.string()),
  deferred: z.object({ count: z.number(), failures: z.number(), message: z.string().nullable() }),
  oldest: z.number(),
  replicaLag: z.number(),
  standbySlots: z.string(),
  wantedStandbySlots: z.string(),
  timeline: z.string(),
});
export type EndState = z.infer<typeof endState>;

/** How long a worker must have run before its earlier errors are forgotten, in seconds. */
const SETTLED_S = 30;

const query = `
WITH moving AS (SELECT relation FROM shardwright.transfer_relation WHERE transfer = $1)
SELECT jsonb_build_object(
  'journal', ${journalSql},
  'logins', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', rolname, 'open', rolcanlogin) ORDER BY rolname), '[]')
    FROM pg_roles WHERE rolname ~ '^app_(ro_)?g[0-9]+$'),
  'kept', (SELECT coalesce(jsonb_agg(jsonb_build_object('role', role, 'kind', kind)), '[]')
    FROM shardwright.kept_login WHERE transfer = $1),
  'floor', (SELECT jsonb_build_object('writer', writer, 'reader', reader) FROM shardwright.generation),
  'publications', (SELECT coalesce(jsonb_agg(pubname ORDER BY pubname), '[]') FROM pg_publication WHERE pubname = ANY ($2)),
  'policies', (SELECT count(*) FROM pg_policy WHERE polname = $3),
  'hidden', (SELECT count(*) FROM shardwright.visible WHERE transfer = $1),
  'mover', EXISTS (SELECT FROM pg_roles WHERE rolname = $4),
  'subscriptions', (SELECT coalesce(jsonb_object_agg(s.subname, jsonb_build_object(
      'oid', s.oid::text, 'enabled', s.subenabled,
      'running', EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.worker_type = 'apply' AND w.pid IS NOT NULL),
      'settled', EXISTS (SELECT FROM pg_stat_subscription w JOIN pg_stat_activity a ON a.pid = w.pid
        WHERE w.subid = s.oid AND w.worker_type = 'apply' AND a.backend_start < now() - interval '${SETTLED_S} s'),
      'errors', (SELECT e.apply_error_count + e.sync_error_count FROM pg_stat_subscription_stats e WHERE e.subid = s.oid),
      'tables', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', r.srrelid::regclass::text, 'state', r.srsubstate,
          'rows', coalesce(p.tuples_processed, 0), 'bytes', coalesce(p.bytes_processed, 0))), '[]')
        FROM pg_subscription_rel r LEFT JOIN pg_stat_progress_copy p ON p.relid = r.srrelid AND p.command = 'COPY FROM'
        WHERE r.srsubid = s.oid))), '{}')
    FROM pg_subscription s WHERE s.subname = ANY ($2)),
  'slots', (SELECT coalesce(jsonb_object_agg(slot_name, jsonb_build_object('active', active, 'walStatus', wal_status,
      'invalidation', invalidation_reason, 'lagBytes', greatest(0, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)))), '{}')
    FROM pg_replication_slots WHERE slot_name = ANY ($2)),
  'copySlots', (SELECT coalesce(jsonb_agg(slot_name), '[]') FROM pg_replication_slots
    WHERE slot_name LIKE 'pg\\_%\\_sync\\_%\\_' || (SELECT peer FROM shardwright.transfer WHERE id = $1)),
  'copy', (SELECT jsonb_build_object('running', EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $6),
      'rows', (SELECT coalesce(sum(rows), 0) FROM shardwright.copy_range r WHERE r.transfer = $1), 'bytes', c.bytes,
      'failures', c.failures, 'message', c.message)
    FROM shardwright.copy c WHERE c.transfer = $1),
  'holder', EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $7),
  'origins', (SELECT coalesce(jsonb_agg(roname ORDER BY roname), '[]') FROM pg_replication_origin WHERE roname ~ $8),
  'deferred', (SELECT jsonb_build_object('count', count(*), 'failures', coalesce(max(failures), 0), 'message', max(message))
    FROM shardwright.deferred_index WHERE transfer = $1),
  'oldest', (SELECT coalesce(greatest(0, extract(epoch FROM clock_timestamp() - min(a.xact_start))), 0)
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'relation' AND l.relation IN (SELECT relation FROM moving) AND l.mode <> 'AccessShareLock'
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()),
  'replicaLag', (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(r.replay_lsn, s.restart_lsn))), 0)
    FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE s.slot_name = ANY ($5)),
  'standbySlots', current_setting('synchronized_standby_slots'),
  'wantedStandbySlots', (SELECT coalesce(string_agg(slot_name, ', ' ORDER BY slot_name), '') FROM pg_replication_slots
    WHERE slot_type = 'physical' AND slot_name = ANY ($5)),
  'timeline', substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
) AS state`;

export async function queryEnd(client: Client, id: string, standbys: readonly string[]): Promise<EndState> {
  const { rows } = await client.query<{ state: unknown }>({
    name: 'end',
    text: query,
    values: [
      id,
      streams.map(stream => streamName(id, stream)),
      policyName(id),
      moverLogin(id),
      standbys.map(standbySlot),
      copierName(id),
      holderName(id),
      originPattern(id),
    ],
  });
  return endState.parse(rows[0]?.state);
}

/** What is there, in words. */
export function tracesOf(id: string, state: EndState): readonly string[] {
  const named = (kind: string, stream: Stream, there: boolean) =>
    there ? [`${kind} ${streamName(id, stream)}`] : [];
  return [
    ...(state.journal ? [`journal of ${id}`] : []),
    ...state.publications.map(name => `publication ${name}`),
    ...streams.flatMap(stream => [
      ...named('subscription', stream, streamName(id, stream) in state.subscriptions),
      ...named('slot', stream, streamName(id, stream) in state.slots),
    ]),
    ...state.copySlots.map(name => `slot ${name}`),
    ...(state.copy ? [`copy of ${id}`] : []),
    ...(state.holder ? [`session ${holderName(id)}`] : []),
    ...state.origins.map(name => `replication origin ${name}`),
    ...(state.policies > 0 ? [`policy ${policyName(id)} on ${state.policies} tables`] : []),
    ...(state.hidden > 0 ? [`${state.hidden} rows of shardwright.visible`] : []),
    ...(state.deferred.count > 0 ? [`${state.deferred.count} indexes to be built`] : []),
    ...(state.mover ? [`login ${moverLogin(id)}`] : []),
    ...state.kept.map(({ role, kind }) => `login ${role} kept (${kind})`),
  ];
}
