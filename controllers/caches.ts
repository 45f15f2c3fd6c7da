/**
 * What the controllers know of the cluster: one watch per kind, shared by all of them. Children are watched by the label of
 * the operator, so the objects of others cost nothing; what nobody reads is dropped before it is kept.
 */
import { labels, resources } from '#crds/api/names.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { Log } from '#kernel/log.ts';
import type { Metrics } from '#kernel/metrics.ts';
import type { KubeObject } from '#kernel/object.ts';
import { pick } from '#kernel/pick.ts';
import { Reflector, withoutManagedFields } from '#kernel/reflector.ts';
import { defineResource, type Resource } from '#kernel/resource.ts';
import {
  ConfigMaps,
  EndpointsObjects,
  type Job,
  Jobs,
  NetworkPolicies,
  Nodes,
  PersistentVolumeClaims,
  type Pod,
  PodDisruptionBudgets,
  Pods,
  RoleBindings,
  Roles,
  Secrets,
  ServiceAccounts,
  Services,
  StatefulSets,
  StorageClasses,
} from '#kernel/resources.ts';

export const ShardClusters = defineResource<KubeObject>(resources.shardCluster);
export const Shards = defineResource<KubeObject>(resources.shard);
export const ShardMigrations = defineResource<KubeObject>(resources.shardMigration);
export const BackupPolicies = defineResource<KubeObject>(resources.backupPolicy);
/** cert-manager's, for spec.tls.issuerRef: written, never watched. */
export const Certificates = defineResource<KubeObject>({
  apiVersion: 'cert-manager.io/v1',
  kind: 'Certificate',
  plural: 'certificates',
  namespaced: true,
});
/** Kinds beyond the built-in ones, for the client's catalog. */
export const ownResources: readonly Resource[] = [
  ShardClusters,
  Shards,
  ShardMigrations,
  BackupPolicies,
  Certificates,
];

/** Kinds of which the operator makes objects for a fleet. Pods and claims follow from them. */
export const madeResources: readonly Resource[] = [
  Shards,
  ConfigMaps,
  Secrets,
  Services,
  ServiceAccounts,
  Roles,
  RoleBindings,
  StatefulSets,
  PodDisruptionBudgets,
  NetworkPolicies,
  EndpointsObjects,
];

/** Index of children by `<namespace>/<Shard>`. */
export const byShard = 'shard';
/** Index of pods of Jobs by the `<namespace>/<Shard>` that they work for. */
export const byTask = 'task';
/** Index of Shards by the `<namespace>/<BackupPolicy>` that their status says they are under. */
export const byPolicy = 'policy';
/** Index of Shards and map pages by `<namespace>/<ShardCluster>`. */
export const byCluster = 'cluster';

export type Caches = ReturnType<typeof createCaches>;

export interface CachesOptions {
  readonly client: KubeClient;
  readonly log: Log;
  readonly metrics?: Metrics;
  /** Only objects in these; default: in all. */
  readonly namespaces?: readonly string[] | undefined;
}

export function createCaches(options: CachesOptions) {
  const { client, log, metrics, namespaces } = options;
  const wide = { client, log, ...(metrics ? { metrics } : {}) };
  const shared = { ...wide, namespaces };
  const children = { ...shared, labelSelector: `${labels.managedBy}=${labels.managedByValue}` };
  const indexes = { [byShard]: byLabel(labels.shard), [byCluster]: byLabel(labels.cluster) };
  return {
    shardClusters: new Reflector({ ...shared, resource: ShardClusters }),
    shards: new Reflector({ ...shared, resource: Shards, indexes: { ...indexes, [byPolicy]: policyOf } }),
    shardMigrations: new Reflector({ ...shared, resource: ShardMigrations }),
    backupPolicies: new Reflector({ ...shared, resource: BackupPolicies }),
    pods: new Reflector({
      ...children,
      resource: Pods,
      transform: pick(
        'spec.nodeName',
        'status.phase',
        'status.podIP',
        'status.conditions',
        'status.containerStatuses',
      ),
      indexes: { ...indexes, [byNode]: nodeOf, [byTask]: byLabel(labels.taskOf) },
    }),
    jobs: new Reflector({
      ...children,
      resource: Jobs,
      transform: pick<Job>('status'),
      indexes,
    }),
    statefulSets: new Reflector({ ...children, resource: StatefulSets }),
    endpoints: new Reflector({ ...children, resource: EndpointsObjects, indexes }),
    claims: new Reflector({
      ...children,
      resource: PersistentVolumeClaims,
      transform: pick('spec.resources', 'spec.storageClassName'),
      indexes,
    }),
    configMaps: new Reflector({
      ...children,
      resource: ConfigMaps,
      indexes,
      // Every replica tells clients of maps: writes that have just changed owner wait until the one that a client asks knows it, too.
      timing: { backoffMaxMs: 1000 },
    }),
    services: new Reflector({ ...children, resource: Services }),
    serviceAccounts: new Reflector({ ...children, resource: ServiceAccounts }),
    roles: new Reflector({ ...children, resource: Roles }),
    roleBindings: new Reflector({ ...children, resource: RoleBindings }),
    disruptionBudgets: new Reflector({ ...children, resource: PodDisruptionBudgets }),
    networkPolicies: new Reflector({ ...children, resource: NetworkPolicies }),
    nodes: new Reflector({
      ...wide,
      resource: Nodes,
      transform: slimNode,
      indexes: { [byRegion]: regionOf },
    }),
    storageClasses: new Reflector({ ...wide, resource: StorageClasses }),
  };
}

/** Index of nodes by their region. */
export const byRegion = 'region';
/** Index of pods by their node. */
export const byNode = 'node';
export const regionLabel = 'topology.kubernetes.io/region';

export function indexKey(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

function byLabel(label: string): (object: KubeObject) => readonly string[] {
  return ({ metadata }) => {
    const value = metadata.labels?.[label];
    return value === undefined ? [] : [indexKey(metadata.namespace, value)];
  };
}

function policyOf({ metadata, status }: KubeObject): readonly string[] {
  const backup = fieldOf(status, 'backup');
  const policy = fieldOf(backup, 'policy');
  return typeof policy === 'string' ? [indexKey(metadata.namespace, policy)] : [];
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function nodeOf(pod: Pod): readonly string[] {
  const name = pod.spec?.nodeName;
  return name === undefined ? [] : [name];
}

function regionOf(node: KubeObject): readonly string[] {
  const region = node.metadata.labels?.[regionLabel];
  return region === undefined ? [] : [region];
}

/** A node's list of images alone can be 50 KB. */
function slimNode<T extends KubeObject>(node: T): T {
  const { status } = node;
  if (typeof status === 'object' && status !== null && 'images' in status) delete status.images;
  return withoutManagedFields(node);
}
