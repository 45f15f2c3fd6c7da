/** Names, ports and logins of a PostgreSQL shard (docs/architecture.md), in one place for rendering, reading and SQL. */

export const ports = { postgresql: 5432, pooler: 6432, rest: 8008, backup: 8432 } as const;

/** Labels and annotations that Patroni writes on the pods of a shard. */
export const patroni = {
  roleLabel: 'shardwright.io/role',
  primary: 'primary',
  replica: 'replica',
  statusAnnotation: 'status',
} as const;

export const containers = { database: 'database', pooler: 'pooler' } as const;

/** User ids of the image: the database's (with its group), and the pooler's, who must not be the superuser's peer. */
export const users = { database: 999, pooler: 998, group: 999 } as const;

export const paths = {
  volume: '/var/lib/postgresql',
  data: '/var/lib/postgresql/data',
  sockets: '/run/postgresql',
  settings: '/etc/shardwright/settings',
  certificates: '/etc/shardwright/tls',
  passwords: '/etc/shardwright/passwords',
  /** pgBackRest's settings and what the meter is to keep; empty while no BackupPolicy is for the shard. */
  backup: '/etc/shardwright/backup',
} as const;

export const roles = {
  superuser: 'postgres',
  replication: 'standby',
  pooler: 'pooler',
  owner: 'shardwright_owner',
  reference: 'app_ref',
  stable: 'app',
  writer: (generation: number): string => `app_g${generation}`,
  reader: (generation: number): string => `app_ro_g${generation}`,
} as const;

/** The user of Patroni's REST API for everything that changes something. */
export const restUser = 'operator';

/** The objects that Patroni keeps its state in: Endpoints whose annotations it changes. The first is the leader's lock. */
export const store = {
  leader: (shard: string): string => shard,
  config: (shard: string): string => `${shard}-config`,
  sync: (shard: string): string => `${shard}-sync`,
  failover: (shard: string): string => `${shard}-failover`,
} as const;

export function memberNames(shard: string, members: number): readonly string[] {
  return Array.from({ length: members }, (_, index) => `${shard}-${index}`);
}

/**
 * Names of a shard's server certificate. The first is what the operator and the client library check, whatever address they
 * dial: all members of a shard carry the same certificate.
 */
export function serverNames(shard: string, namespace: string): readonly string[] {
  const services = [shard, `${shard}-ro`, `${shard}-members`];
  return [
    `${shard}.${namespace}.svc`,
    ...services.slice(1).map(name => `${name}.${namespace}.svc`),
    ...services.map(name => `${name}.${namespace}.svc.cluster.local`),
    ...services.map(name => `${name}.${namespace}`),
    ...services,
    `*.${shard}-members.${namespace}.svc`,
    `*.${shard}-members.${namespace}.svc.cluster.local`,
    'localhost',
  ];
}
