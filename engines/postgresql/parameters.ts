/**
 * Settings of postgresql.conf. A person's `spec.engine.parameters` win over the tuned ones, never over those that keep a
 * promise of the operator (the API refuses these names already; a Shard edited by hand must not get around that).
 */
import type { ShardSpec } from '#crds/api/shard.ts';
import { paths } from './names.ts';
import { quantityBytes } from './quantity.ts';

const MB = 2 ** 20;

/** What a person may change. Sizes follow the volume: a small one must not be filled by write-ahead log alone. */
function tuned(spec: ShardSpec): Record<string, string> {
  const volumeMB = Math.floor((quantityBytes(spec.storage.size) ?? 1024 * MB) / MB);
  // A server refuses to start with less than two segments, and one that came back from a backup has those of the fleet that it was
  // taken of: 16 MB by default, once.
  const segmentMB = Math.max(16, spec.engine.initdb.walSegmentSizeMB);
  const maxWalMB = clamp(Math.floor(volumeMB / 4), 4 * segmentMB, 4096);
  // Three application logins (writer, reader, reference), what runs beside them, and a generation that is being replaced.
  const connections = Math.max(100, 4 * (spec.pooler.poolSize + spec.pooler.reservePoolSize) + 30);
  return {
    max_connections: String(connections),
    shared_buffers: '128MB',
    max_wal_size: `${maxWalMB}MB`,
    min_wal_size: `${clamp(Math.floor(maxWalMB / 4), 2 * segmentMB, 1024)}MB`,
    wal_keep_size: `${clamp(Math.floor(volumeMB / 16), segmentMB, 1024)}MB`,
    // A member or subscriber that never comes back must not fill the volume; it is copied anew instead.
    max_slot_wal_keep_size: `${clamp(Math.floor(volumeMB / 2), 8 * segmentMB, 1024 * 1024)}MB`,
    max_wal_senders: '20',
    max_replication_slots: '20',
    max_worker_processes: '16',
    max_logical_replication_workers: '8',
    // A frozen standby holds commits under strong consistency until it is given up: 10 s, not the default minute.
    wal_sender_timeout: '10s',
    wal_receiver_timeout: '10s',
    wal_receiver_status_interval: '2s',
    // A standby that lost its primary asks again after 1 s, not 5: it is what new primaries wait for.
    wal_retrieve_retry_interval: '1s',
    tcp_keepalives_idle: '20',
    tcp_keepalives_interval: '5',
    tcp_keepalives_count: '4',
    checkpoint_timeout: '5min',
    log_line_prefix: '%m [%p] %q%u@%d ',
    log_checkpoints: 'off',
  };
}

/** What the operator relies on. */
function owned(): Record<string, string> {
  return {
    wal_level: 'logical',
    hot_standby: 'on',
    wal_log_hints: 'on',
    hot_standby_feedback: 'on',
    sync_replication_slots: 'on',
    synchronous_commit: 'on',
    fsync: 'on',
    full_page_writes: 'on',
    password_encryption: 'scram-sha-256',
    ssl: 'on',
    ssl_cert_file: `${paths.certificates}/tls.crt`,
    ssl_key_file: `${paths.certificates}/tls.key`,
    ssl_ca_file: `${paths.certificates}/ca.crt`,
    ssl_min_protocol_version: 'TLSv1.2',
    unix_socket_directories: paths.sockets,
    logging_collector: 'off',
    // Statements can carry passwords; who turns this on reads them in the log.
    log_statement: 'none',
    ...archiving,
  };
}

/**
 * Always on, because turning it on takes a restart: while no BackupPolicy is for the shard, the command does nothing. No
 * timeout: the meter ends a segment when what is in it grows too old, so that an idle shard writes nothing.
 */
export const archiving = {
  archive_mode: 'on',
  archive_command: `test ! -e ${paths.backup}/pgbackrest.conf || archive-segment "%p"`,
  archive_library: '',
  archive_timeout: '0',
} as const;

export function parameters(spec: ShardSpec): Record<string, string> {
  return { ...tuned(spec), ...spec.engine.parameters, ...owned() };
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
