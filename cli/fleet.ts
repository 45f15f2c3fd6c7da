/**
 * Reading a fleet from the API server alone: everything works while the operator is down. Errors say what to do.
 */

import { mapLabel, mapLabelValue, readMap, type StoredMap } from '#controllers/shard-map/config-maps.ts';
import { clusterChildren, labels, resources } from '#crds/api/names.ts';
import { parseShard, type Shard } from '#crds/api/shard.ts';
import { parseShardCluster, type ShardCluster } from '#crds/api/shard-cluster.ts';
import { patroni } from '#engines/postgresql/names.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { NotFoundError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { KubeObject } from '#kernel/object.ts';
import { defineResource, type Resource } from '#kernel/resource.ts';
import { ConfigMaps, Pods, Secrets } from '#kernel/resources.ts';
import { CliError } from './errors.ts';

export const ShardClusters = defineResource<KubeObject>(resources.shardCluster);
export const Shards = defineResource<KubeObject>(resources.shard);

/** All that reading needs of the API server. */
export type ObjectReader = Pick<KubeClient, 'get' | 'list'>;

export class Fleet {
  readonly namespace: string;
  readonly #objects: ObjectReader;

  constructor(objects: ObjectReader, namespace: string) {
    this.#objects = objects;
    this.namespace = namespace;
  }

  /** All of the namespace, or of all namespaces, by namespace and name. */
  async clusters(everywhere = false): Promise<readonly ShardCluster[]> {
    const objects = await this.#list(ShardClusters, everywhere ? undefined : this.namespace);
    return objects.map(parseShardCluster).toSorted((a, b) => (sortName(a) < sortName(b) ? -1 : 1));
  }

  /** The one of that name; without a name the only one there is. */
  async cluster(name?: string): Promise<ShardCluster> {
    if (name !== undefined) {
      const found = await orUndefined(this.#objects.get(ShardClusters, { namespace: this.namespace, name }));
      if (found !== undefined) return parseShardCluster(found);
      await this.#list(ShardClusters, this.namespace);
      throw new CliError(
        'NotFound',
        `there is no ShardCluster ${name} in namespace ${this.namespace}`,
        'List them with: kubectl shardwright status --all-namespaces. Choose another namespace with -n.',
      );
    }
    const [only, ...others] = await this.clusters();
    if (only === undefined) {
      throw new CliError(
        'NotFound',
        `there is no ShardCluster in namespace ${this.namespace}`,
        'Choose another namespace with -n, or list all: kubectl shardwright status --all-namespaces.',
      );
    }
    if (others.length > 0) {
      const names = [only, ...others].map(cluster => cluster.metadata.name).join(', ');
      throw new CliError(
        'Ambiguous',
        `namespace ${this.namespace} has more than one ShardCluster: ${names}`,
        'Name it with --cluster.',
      );
    }
    return only;
  }

  /** By ordinal. */
  async shards(cluster: string): Promise<readonly Shard[]> {
    const objects = await this.#list(Shards, this.namespace, `${labels.cluster}=${cluster}`);
    return objects.map(parseShard).toSorted((a, b) => a.spec.ordinal - b.spec.ordinal);
  }

  async shard(name: string): Promise<Shard> {
    const found = await orUndefined(this.#objects.get(Shards, { namespace: this.namespace, name }));
    if (found !== undefined) return parseShard(found);
    throw new CliError(
      'NotFound',
      `there is no shard ${name} in namespace ${this.namespace}`,
      'List them with: kubectl get shards. Choose another namespace with -n.',
    );
  }

  async map(cluster: string): Promise<StoredMap> {
    const selector = `${labels.cluster}=${cluster},${mapLabel}=${mapLabelValue}`;
    const { items } = await this.#objects.list(ConfigMaps, {
      namespace: this.namespace,
      labelSelector: selector,
    });
    const facts = readMap(items);
    switch (facts.kind) {
      case 'Present':
        return facts.stored;
      case 'Absent':
        throw new CliError(
          'NoMap',
          `the shard map of ${cluster} is not there yet`,
          `Wait until the operator has made it; see what holds it up: kubectl describe shardcluster ${cluster}.`,
        );
      case 'InTransition':
        throw new CliError(
          'MapInTransition',
          `the shard map of ${cluster} is in the middle of a change`,
          'Try again in a moment.',
        );
      case 'Damaged':
        throw new CliError('DamagedMap', facts.message, facts.remedy);
      default:
        return assertNever(facts);
    }
  }

  /** The pod that takes writes, by the label that the database's own election sets. */
  async primaryPod(shard: string): Promise<string> {
    const selector = `${labels.shard}=${shard},${patroni.roleLabel}=${patroni.primary}`;
    const { items } = await this.#objects.list(Pods, { namespace: this.namespace, labelSelector: selector });
    const pod = items.find(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (pod !== undefined) return pod.metadata.name;
    throw new CliError(
      'NoPrimary',
      `shard ${shard} has no primary at present`,
      `A fail-over takes seconds: try again. Look at its pods: kubectl get pods -n ${this.namespace} -l ${labels.shard}=${shard}.`,
    );
  }

  /** The fields of the Secret that applications mount, decoded. */
  async appSecret(cluster: string): Promise<Readonly<Record<string, string>>> {
    const name = clusterChildren.appSecret(cluster);
    const secret = await orUndefined(this.#objects.get(Secrets, { namespace: this.namespace, name }));
    if (secret === undefined) {
      throw new CliError(
        'NoSecret',
        `Secret ${name} is not there yet`,
        `Wait until the fleet is Ready: kubectl shardwright status ${cluster}.`,
      );
    }
    return Object.fromEntries(
      Object.entries(secret.data ?? {}).map(([key, value]) => [
        key,
        Buffer.from(value, 'base64').toString('utf8'),
      ]),
    );
  }

  async #list(
    resource: Resource,
    namespace?: string,
    labelSelector?: string,
  ): Promise<readonly KubeObject[]> {
    try {
      const scope = {
        ...(namespace === undefined ? {} : { namespace }),
        ...(labelSelector === undefined ? {} : { labelSelector }),
      };
      return (await this.#objects.list(resource, scope)).items;
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      throw new CliError(
        'NotInstalled',
        `the cluster does not know the kind ${resource.kind}`,
        'Install shardwright there (helm install), or choose another cluster with --context.',
        { cause: error },
      );
    }
  }
}

function sortName({ metadata }: ShardCluster): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
