/**
 * Names that more than one part must agree on: the group, its kinds, labels, annotations, and the objects of a fleet
 * (docs/architecture.md). Every child's name is made here, from its parent's alone.
 */

export const group = 'shardwright.io';
export const version = 'v1alpha1';
export const apiVersion = 'shardwright.io/v1alpha1';
export const category = 'shardwright';

/** How a kind is served; also what the kernel's `defineResource` wants. */
export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
}

export const resources = {
  shardCluster: {
    apiVersion,
    namespaced: true,
    kind: 'ShardCluster',
    plural: 'shardclusters',
    singular: 'shardcluster',
    shortNames: ['shc'],
  },
  shard: {
    apiVersion,
    namespaced: true,
    kind: 'Shard',
    plural: 'shards',
    singular: 'shard',
    shortNames: ['shd'],
  },
  shardMigration: {
    apiVersion,
    namespaced: true,
    kind: 'ShardMigration',
    plural: 'shardmigrations',
    singular: 'shardmigration',
    shortNames: ['shm'],
  },
  backupPolicy: {
    apiVersion,
    namespaced: true,
    kind: 'BackupPolicy',
    plural: 'backuppolicies',
    singular: 'backuppolicy',
    shortNames: ['bkp'],
  },
} as const satisfies Record<string, Resource>;

export const labels = {
  managedBy: 'app.kubernetes.io/managed-by',
  managedByValue: 'shardwright',
  /** Name of the ShardCluster. */
  cluster: 'shardwright.io/cluster',
  /** Name of the Shard. */
  shard: 'shardwright.io/shard',
  /**
   * On a Job of a shard and on its pods: `backup`, `drill`, `archive`, `recover` or `catalog`. The pods carry `taskOf` instead of `shard`: whatever selects by
   * that - Services, the budget, the StatefulSet, Patroni - would take them for members.
   */
  task: 'shardwright.io/task',
  /** Name of the Shard that the pod of a Job works for. */
  taskOf: 'shardwright.io/task-of',
} as const;

export const annotations = {
  /** `"true"` on a ShardCluster or Shard: nothing below it is changed until it is taken away. */
  paused: 'shardwright.io/paused',
  /** On a ShardCluster: a value not seen before gives the application's logins new passwords. */
  rotate: 'shardwright.io/rotate',
  /** On a ShardCluster: a value not seen before gives the fleet's own authority a successor. */
  rotateAuthority: 'shardwright.io/rotate-ca',
  /** On a ShardMigration with a manual cutover: any value approves it, as spec.cutover.approved does. */
  cutover: 'shardwright.io/cutover',
  /** On a ShardMigration after the cutover: any value ends the rollback window. */
  finish: 'shardwright.io/finish',
  /** On a ShardMigration that is being deleted: `"true"` lets it go with what it could not clean up. */
  letGo: 'shardwright.io/let-go',
  /** On a BackupPolicy or a Shard: `full` or `incremental` makes one now. Taken away once it is taken up. */
  backupNow: 'shardwright.io/backup-now',
  /** On a BackupPolicy or a Shard: any value restores a sample, or that shard, to measure it. Taken away once it is taken up. */
  drillNow: 'shardwright.io/drill-now',
  /** On a BackupPolicy or a Shard: any value archives old rows now. Taken away once it is taken up. */
  archiveNow: 'shardwright.io/archive-now',
  /** On a member's pod and on a Job of the shard: what it tells of archiving, of a backup, of a drill (engines/backup.ts). */
  report: 'shardwright.io/report',
  /** On a member's pod: the version of the Secret `<shard>-backup` that it was last told of. */
  backupSecret: 'shardwright.io/backup-secret',
  /** On a Job of a shard: the request that it was made for. */
  request: 'shardwright.io/request',
  /** On a ShardCluster with spec.bootstrap.recovery, or on a Shard that is rebuilt: a value not seen before tries what failed again. */
  retry: 'shardwright.io/retry',
  /** On a Shard: `latest`, or a time (RFC 3339): its database is made again from its backups. Taken away once it is done. */
  rebuild: 'shardwright.io/rebuild',
  /** On a Shard that is rebuilt: `"true"` lets what is on its old volumes go, once the database is whole again. */
  discardVolumes: 'shardwright.io/discard-volumes',
} as const;

/** Labels of everything that belongs to a fleet. */
export function clusterLabels(cluster: string): Record<string, string> {
  return { [labels.managedBy]: labels.managedByValue, [labels.cluster]: cluster };
}

/** Labels of everything that belongs to one shard. */
export function shardLabels(cluster: string, shard: string): Record<string, string> {
  return { ...clusterLabels(cluster), [labels.shard]: shard };
}

/** Objects of a fleet as a whole. */
export const clusterChildren = {
  shard: (cluster: string, ordinal: number): string => `${cluster}-${ordinal}`,
  map: (cluster: string): string => `${cluster}-map`,
  mapPage: (cluster: string, page: number): string => `${cluster}-map-${page}`,
  authoritySecret: (cluster: string): string => `${cluster}-ca`,
  internalSecret: (cluster: string): string => `${cluster}-internal`,
  appSecret: (cluster: string): string => `${cluster}-app`,
  /** While a fleet is recovered: ServiceAccount, Role and RoleBinding; and one Secret and one Job for each destination of backups. */
  recovery: (cluster: string): string => `${cluster}-recovery`,
  recoverySecret: (cluster: string, destination: number): string => `${cluster}-recovery-${destination}`,
  catalogJob: (cluster: string, destination: number): string => `${cluster}-catalog-${destination}`,
} as const;

/** Objects of one shard, from the Shard's name. The StatefulSet, its guards and the read-write Service bear it as it is. */
export const shardChildren = {
  readOnlyService: (shard: string): string => `${shard}-ro`,
  headlessService: (shard: string): string => `${shard}-members`,
  settings: (shard: string): string => `${shard}-settings`,
  certificateSecret: (shard: string): string => `${shard}-tls`,
  /** One of each at a time: the API server refuses a second, and a Role can name them. */
  backupJob: (shard: string): string => `${shard}-backup`,
  drillJob: (shard: string): string => `${shard}-drill`,
  archiveJob: (shard: string): string => `${shard}-archive`,
  backupSecret: (shard: string): string => `${shard}-backup`,
  recoverJob: (shard: string): string => `${shard}-recover`,
} as const;

/** Whether a person has asked the operator to keep its hands off. */
export function isPaused(object: { metadata: { annotations?: Record<string, string> } }): boolean {
  return object.metadata.annotations?.[annotations.paused] === 'true';
}
