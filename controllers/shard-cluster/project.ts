/** What each Shard is told: ShardCluster.spec and its part of the map, cut down to what one shard needs, whole in itself. Pure. */
import { apiVersion, clusterChildren, shardChildren, shardLabels } from '#crds/api/names.ts';
import type { Shard, ShardSpec } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { OwnerReference } from '#kernel/object.ts';
import type { MapShard } from '#sharding/map.ts';
import type { Partition } from '#sharding/partition.ts';
import { slotsIn } from './partitions.ts';

export interface ProjectionInput {
  readonly cluster: ShardCluster;
  /** What the shard owns. */
  readonly partition: Partition;
  /** Image of members where the spec names none: written out, so that a new default rolls in bounded steps too. */
  readonly defaultImage: string;
  readonly secretsVersion: string;
  /** Absent without spec.schema. */
  readonly schemaHash?: string | undefined;
  /** Its volumes, where they are not as spec.storage says. */
  readonly storage?: ShardSpec['storage'];
  /** System identifier of the database that its first volume was filled with. */
  readonly database?: string | undefined;
}

export function shardObject(cluster: ShardCluster, entry: MapShard, spec: ShardSpec): Shard {
  const { name, namespace } = cluster.metadata;
  return {
    apiVersion,
    kind: 'Shard',
    metadata: {
      name: entry.name,
      ...(namespace ? { namespace } : {}),
      labels: shardLabels(name, entry.name),
      ownerReferences: [ownerOf(cluster)],
    },
    spec,
  };
}

export function projectShard(input: ProjectionInput, entry: MapShard): ShardSpec {
  const { cluster, partition, defaultImage, secretsVersion, schemaHash, database } = input;
  const { spec, metadata } = cluster;
  const { image, ...engine } = spec.engine;
  const spread = spec.placement.spread === 'region' && spec.placement.regions.length > 0;
  return {
    cluster: { name: metadata.name },
    ordinal: entry.ordinal,
    ...(entry.region === undefined ? {} : { region: entry.region }),
    ...(spread ? { spreadRegions: spec.placement.regions.map(region => region.name) } : {}),
    generation: entry.generation,
    readerGeneration: entry.readerGeneration,
    state: entry.state,
    members: spec.members,
    engine,
    image: image ?? defaultImage,
    resources: spec.resources,
    pooler: spec.pooler,
    storage: input.storage ?? spec.storage,
    consistency: spec.consistency,
    deletionPolicy: spec.deletionPolicy,
    access: spec.access,
    tls: spec.tls,
    secrets: {
      ca: clusterChildren.authoritySecret(metadata.name),
      internal: clusterChildren.internalSecret(metadata.name),
      app: clusterChildren.appSecret(metadata.name),
      tls: shardChildren.certificateSecret(entry.name),
      version: secretsVersion,
    },
    sharding: {
      algorithm: spec.sharding.algorithm,
      keyType: spec.sharding.keyType,
      slots: spec.sharding.slots,
      ...(spec.sharding.geo ? { geoColumn: spec.sharding.geo.column } : {}),
      tables: spec.sharding.tables,
      partition,
      slotCount: slotsIn(partition),
    },
    ...(spec.schema && schemaHash !== undefined
      ? { schema: { configMaps: spec.schema.configMaps, hash: schemaHash } }
      : {}),
    ...(database === undefined ? {} : { recovery: { systemIdentifier: database } }),
  };
}

export function ownerOf(cluster: ShardCluster): OwnerReference {
  return {
    apiVersion,
    kind: 'ShardCluster',
    name: cluster.metadata.name,
    uid: cluster.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}
