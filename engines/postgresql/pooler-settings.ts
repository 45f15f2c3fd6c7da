/**
 * pgbouncer.ini: transaction pooling in front of the member's own PostgreSQL, over the pod's socket. Clients come with TLS and
 * SCRAM; their keys are handed through, so PgBouncer holds no password at all.
 */
import type { ShardSpec } from '#crds/api/shard.ts';
import { paths, ports, roles } from './names.ts';

export function poolerSettings(spec: ShardSpec): string {
  const { poolSize, reservePoolSize, maxClientConnections } = spec.pooler;
  const settings: Record<string, string | number> = {
    listen_addr: '0.0.0.0',
    listen_port: ports.pooler,
    unix_socket_dir: '',
    pool_mode: 'transaction',
    auth_type: 'scram-sha-256',
    auth_user: roles.pooler,
    auth_query: 'SELECT login, verifier FROM shardwright.pooler_login($1)',
    max_client_conn: maxClientConnections,
    default_pool_size: poolSize,
    reserve_pool_size: reservePoolSize,
    reserve_pool_timeout: 1,
    max_prepared_statements: 200,
    ignore_startup_parameters: 'extra_float_digits,options',
    client_tls_sslmode: 'require',
    client_tls_cert_file: `${paths.certificates}/tls.crt`,
    client_tls_key_file: `${paths.certificates}/tls.key`,
    client_tls_protocols: 'secure',
    // After a login was refused, whoever comes within this time is neither tried nor told: a statement that reaches a login which a
    // migration has just closed would wait for all of it. After a fail-over the server is back within a second or two: give up before
    // clients do.
    server_login_retry: 0.1,
    server_connect_timeout: 5,
    query_wait_timeout: 15,
    server_idle_timeout: 300,
    log_connections: 0,
    log_disconnections: 0,
    log_stats: 0,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  return [
    '[databases]',
    `${spec.engine.database} = host=${paths.sockets} port=${ports.postgresql}`,
    '',
    '[pgbouncer]',
    ...lines,
    '',
  ].join('\n');
}
