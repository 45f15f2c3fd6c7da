/** A namespace of a test's or bench's own, and what is done in it again and again. */
import type { Shard } from '#crds/api/shard.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Resource } from '#kernel/resource.ts';
import { Secrets } from '#kernel/resources.ts';
import { fieldManager, type Installation, type TestCluster } from './cluster.ts';
import { isCurrent } from './conditions.ts';
import { type ShardClusterObject, ShardClusters, type ShardObject, Shards } from './resources.ts';
import { type Missing, type WaitOptions, waitFor } from './wait.ts';

export class TestNamespace {
  readonly name: string;
  readonly cluster: TestCluster;
  readonly operator: Installation;

  constructor(name: string, cluster: TestCluster, operator: Installation) {
    this.name = name;
    this.cluster = cluster;
    this.operator = operator;
  }

  /** Applies as `kubectl apply --server-side` would, strictly; the namespace is filled in. */
  apply<T extends KubeObject>(object: T): Promise<T> {
    const metadata = { ...object.metadata, namespace: this.name };
    return this.cluster.kube.apply({ ...object, metadata }, { fieldManager, fieldValidation: 'Strict' });
  }

  get<T extends KubeObject>(resource: Resource<T>, name: string): Promise<T> {
    return this.cluster.kube.get(resource, { namespace: this.name, name });
  }

  async list<T extends KubeObject>(resource: Resource<T>, labelSelector?: string): Promise<T[]> {
    return (await this.cluster.kube.list(resource, { namespace: this.name, labelSelector })).items;
  }

  /** A merge patch of an object's spec, annotations, or whatever `body` holds. */
  patch<T extends KubeObject>(resource: Resource<T>, name: string, body: unknown): Promise<T> {
    return this.cluster.kube.patch(resource, { namespace: this.name, name }, { type: 'merge', body });
  }

  delete(resource: Resource, name: string, options: { gracePeriodSeconds?: number } = {}): Promise<void> {
    return this.cluster.kube.delete(resource, { namespace: this.name, name }, options);
  }

  /** Waits until the object is as wanted. */
  async until<T extends KubeObject>(
    resource: Resource<T>,
    name: string,
    missing: Missing<T>,
    options?: WaitOptions,
  ): Promise<T> {
    const object = await waitFor(resource, { namespace: this.name, name }, missing, options);
    if (!object) throw new Error(`${resource.kind} ${name} was waited for until it is gone: use gone()`);
    return object;
  }

  async gone(resource: Resource, name: string, options?: WaitOptions): Promise<void> {
    await waitFor(resource, { namespace: this.name, name }, object => object && 'it is still there', options);
  }

  /** Ready at its newest spec, with nothing under way. */
  current(cluster = 'fleet', options?: WaitOptions): Promise<ShardClusterObject> {
    return this.until(ShardClusters, cluster, isCurrent, options);
  }

  async shards(cluster = 'fleet'): Promise<ShardObject[]> {
    const shards = await this.list(Shards, `shardwright.io/cluster=${cluster}`);
    return shards.toSorted((a, b) => a.spec.ordinal - b.spec.ordinal);
  }

  /** Name of the pod that takes writes, as the shard's status says. */
  async primaryOf(shard: string): Promise<string> {
    const object = await this.until(Shards, shard, ({ status }: Pick<Shard, 'status'> = {}) =>
      status?.primary === undefined ? 'it has no primary' : undefined,
    );
    return object.status?.primary ?? '';
  }

  /** The fields of a Secret, decoded. */
  async secret(name: string): Promise<Record<string, string>> {
    const { data = {} } = await this.get(Secrets, name);
    return Object.fromEntries(
      Object.entries(data).map(([field, value]) => [field, Buffer.from(value, 'base64').toString('utf8')]),
    );
  }

  /** Runs in the namespace. */
  kubectl(...args: string[]): Promise<string> {
    return this.cluster.kubectl(['--namespace', this.name, ...args]);
  }
}
