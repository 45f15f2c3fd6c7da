/**
 * The built-in kinds that an operator meets. Types come from @kubernetes/client-node (types only, nothing is loaded),
 * turned back into what really travels: dates are strings, and fields have their wire names.
 */
import type {
  CoreV1Event,
  EventsV1Event,
  V1ClusterRole,
  V1ClusterRoleBinding,
  V1ConfigMap,
  V1CustomResourceDefinition,
  V1Deployment,
  V1Endpoints,
  V1Job,
  V1Lease,
  V1Namespace,
  V1NetworkPolicy,
  V1Node,
  V1PersistentVolumeClaim,
  V1Pod,
  V1PodDisruptionBudget,
  V1Role,
  V1RoleBinding,
  V1Secret,
  V1Service,
  V1ServiceAccount,
  V1StatefulSet,
  V1StorageClass,
} from '@kubernetes/client-node';
import type { KubeObject } from '#kernel/object.ts';
import { defineResource, type Resource } from '#kernel/resource.ts';

/** A model class of client-node as JSON: the client renames reserved words (`_from`) and parses dates, the wire does not. */
export type Wire<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Wire<Item>[]
    : T extends object
      ? { [Field in keyof T as Field extends `_${infer Name}` ? Name : Field]: Wire<T[Field]> }
      : T;

type Typed<T> = KubeObject & Wire<Omit<T, 'apiVersion' | 'kind' | 'metadata'>>;

export type Pod = Typed<V1Pod>;
export type StatefulSet = Typed<V1StatefulSet>;
export type Deployment = Typed<V1Deployment>;
export type Service = Typed<V1Service>;
export type Endpoints = Typed<V1Endpoints>;
export type ConfigMap = Typed<V1ConfigMap>;
export type Secret = Typed<V1Secret>;
export type Node = Typed<V1Node>;
export type Namespace = Typed<V1Namespace>;
export type CoreEvent = Typed<CoreV1Event>;
export type Event = Typed<EventsV1Event>;
export type Job = Typed<V1Job>;
export type Lease = Typed<V1Lease>;
export type PodDisruptionBudget = Typed<V1PodDisruptionBudget>;
export type ServiceAccount = Typed<V1ServiceAccount>;
export type Role = Typed<V1Role>;
export type RoleBinding = Typed<V1RoleBinding>;
export type ClusterRole = Typed<V1ClusterRole>;
export type ClusterRoleBinding = Typed<V1ClusterRoleBinding>;
export type NetworkPolicy = Typed<V1NetworkPolicy>;
export type PersistentVolumeClaim = Typed<V1PersistentVolumeClaim>;
export type StorageClass = Typed<V1StorageClass>;
export type CustomResourceDefinition = Typed<V1CustomResourceDefinition>;

function define<T extends KubeObject>(
  apiVersion: string,
  kind: string,
  plural: string,
  scope?: 'cluster',
): Resource<T> {
  return defineResource<T>({ apiVersion, kind, plural, namespaced: scope !== 'cluster' });
}

export const Pods = define<Pod>('v1', 'Pod', 'pods');
export const Services = define<Service>('v1', 'Service', 'services');
export const EndpointsObjects = define<Endpoints>('v1', 'Endpoints', 'endpoints');
export const ConfigMaps = define<ConfigMap>('v1', 'ConfigMap', 'configmaps');
export const Secrets = define<Secret>('v1', 'Secret', 'secrets');
export const ServiceAccounts = define<ServiceAccount>('v1', 'ServiceAccount', 'serviceaccounts');
export const PersistentVolumeClaims = define<PersistentVolumeClaim>(
  'v1',
  'PersistentVolumeClaim',
  'persistentvolumeclaims',
);
export const Nodes = define<Node>('v1', 'Node', 'nodes', 'cluster');
export const Namespaces = define<Namespace>('v1', 'Namespace', 'namespaces', 'cluster');
export const CoreEvents = define<CoreEvent>('v1', 'Event', 'events');
export const StatefulSets = define<StatefulSet>('apps/v1', 'StatefulSet', 'statefulsets');
export const Deployments = define<Deployment>('apps/v1', 'Deployment', 'deployments');
export const Jobs = define<Job>('batch/v1', 'Job', 'jobs');
export const Events = define<Event>('events.k8s.io/v1', 'Event', 'events');
export const Leases = define<Lease>('coordination.k8s.io/v1', 'Lease', 'leases');
export const PodDisruptionBudgets = define<PodDisruptionBudget>(
  'policy/v1',
  'PodDisruptionBudget',
  'poddisruptionbudgets',
);
export const NetworkPolicies = define<NetworkPolicy>(
  'networking.k8s.io/v1',
  'NetworkPolicy',
  'networkpolicies',
);
export const Roles = define<Role>('rbac.authorization.k8s.io/v1', 'Role', 'roles');
export const RoleBindings = define<RoleBinding>(
  'rbac.authorization.k8s.io/v1',
  'RoleBinding',
  'rolebindings',
);
export const ClusterRoles = define<ClusterRole>(
  'rbac.authorization.k8s.io/v1',
  'ClusterRole',
  'clusterroles',
  'cluster',
);
export const ClusterRoleBindings = define<ClusterRoleBinding>(
  'rbac.authorization.k8s.io/v1',
  'ClusterRoleBinding',
  'clusterrolebindings',
  'cluster',
);
export const StorageClasses = define<StorageClass>(
  'storage.k8s.io/v1',
  'StorageClass',
  'storageclasses',
  'cluster',
);
export const CustomResourceDefinitions = define<CustomResourceDefinition>(
  'apiextensions.k8s.io/v1',
  'CustomResourceDefinition',
  'customresourcedefinitions',
  'cluster',
);

export const builtInResources: readonly Resource[] = [
  Pods,
  Services,
  EndpointsObjects,
  ConfigMaps,
  Secrets,
  ServiceAccounts,
  PersistentVolumeClaims,
  Nodes,
  Namespaces,
  CoreEvents,
  StatefulSets,
  Deployments,
  Jobs,
  Events,
  Leases,
  PodDisruptionBudgets,
  NetworkPolicies,
  Roles,
  RoleBindings,
  ClusterRoles,
  ClusterRoleBindings,
  StorageClasses,
  CustomResourceDefinitions,
];
