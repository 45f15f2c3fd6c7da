/**
 * Patroni's two kinds of settings. The shared ones are kept in its store and take effect on all members within a loop;
 * the local ones are a file of the pod, fixed for its life but for reloads. Neither holds a password.
 */
import { labels, shardLabels } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import { hostBasedAccess, identityMap } from './host-based-access.ts';
import { paths, patroni, ports, restUser, roles } from './names.ts';
import { parameters } from './parameters.ts';

/**
 * `ttl`: how long a silent primary keeps the lock; 20 s is the least that Patroni accepts. `loop_wait`: how often the lock is
 * renewed and looked at - a frozen primary is found up to one loop after the ttl has passed, while each loop of a primary
 * costs the API server one write. A crash needs no loop to be seen: the container's first process and the operator report it.
 * `retry_timeout`: how long the API server may be silent before a primary asks the other members (failsafe_mode) instead;
 * loop_wait + 2 x retry_timeout must not exceed the ttl.
 */
export const timing = { ttlSeconds: 20, loopSeconds: 3, retrySeconds: 5 } as const;

export function sharedSettings(shard: Shard): Record<string, unknown> {
  const { spec } = shard;
  return {
    ttl: timing.ttlSeconds,
    loop_wait: timing.loopSeconds,
    retry_timeout: timing.retrySeconds,
    maximum_lag_on_failover: 1_048_576,
    check_timeline: true,
    failsafe_mode: true,
    // Not strict: with the standby gone, Patroni first records that nobody may be promoted, then lets commits through. One
    // fault at a time loses nothing, and a fleet in the making or a rolling restart does not stand still.
    synchronous_mode: spec.consistency === 'strong' && spec.members > 1,
    synchronous_node_count: 1,
    // Slots of migrations are not Patroni's: left alone, it would drop them as unknown.
    ignore_slots: [{ type: 'logical' }],
    postgresql: {
      use_pg_rewind: true,
      use_slots: true,
      remove_data_directory_on_rewind_failure: true,
      parameters: parameters(spec),
      pg_hba: hostBasedAccess,
      pg_ident: identityMap,
    },
  };
}

export function localSettings(shard: Shard, namespace: string): Record<string, unknown> {
  const { spec } = shard;
  const name = shard.metadata.name;
  const { [labels.shard]: _, ...storeLabels } = shardLabels(spec.cluster.name, name);
  const tls = { sslmode: 'verify-ca', sslrootcert: `${paths.certificates}/ca.crt` };
  const certificate = {
    certfile: `${paths.certificates}/tls.crt`,
    keyfile: `${paths.certificates}/tls.key`,
  };
  return {
    scope: name,
    kubernetes: {
      namespace,
      labels: storeLabels,
      scope_label: labels.shard,
      role_label: patroni.roleLabel,
      leader_label_value: patroni.primary,
      follower_label_value: patroni.replica,
      // Traffic follows the lock itself: a label left on a paused node attracts none.
      use_endpoints: true,
      ports: [
        { name: 'postgresql', port: ports.postgresql },
        { name: 'pooler', port: ports.pooler },
      ],
    },
    restapi: {
      listen: `0.0.0.0:${ports.rest}`,
      ...certificate,
      authentication: { username: restUser },
    },
    // Members dial each other by address, so the authority is checked and the name is not: that is what `insecure` beside a
    // client certificate means to Patroni.
    ctl: { ...certificate, cacert: `${paths.certificates}/ca.crt`, insecure: true },
    bootstrap: { initdb: initdb(shard) },
    postgresql: {
      listen: `0.0.0.0:${ports.postgresql}`,
      data_dir: paths.data,
      bin_dir: '/usr/lib/postgresql/17/bin',
      pgpass: '/tmp/pgpass',
      use_unix_socket: true,
      use_unix_socket_repl: true,
      authentication: {
        superuser: { username: roles.superuser, ...tls },
        replication: { username: roles.replication, ...tls },
      },
      // Without it a first replica waits for a spread checkpoint, for minutes.
      basebackup: [{ checkpoint: 'fast' }],
      parameters: { unix_socket_directories: paths.sockets },
    },
    watchdog: { mode: 'off' },
    log: { level: 'INFO', deduplicate_heartbeat_logs: true },
  };
}

function initdb(shard: Shard): readonly unknown[] {
  const { encoding, localeProvider, locale, dataChecksums, walSegmentSizeMB } = shard.spec.engine.initdb;
  const provider = {
    libc: [{ locale }],
    builtin: [{ 'locale-provider': 'builtin' }, { 'builtin-locale': locale }, { locale: 'C.UTF-8' }],
    icu: [{ 'locale-provider': 'icu' }, { 'icu-locale': locale }, { locale: 'C.UTF-8' }],
  }[localeProvider];
  return [
    { encoding },
    ...provider,
    { 'wal-segsize': String(walSegmentSizeMB) },
    ...(dataChecksums ? ['data-checksums'] : []),
  ];
}
