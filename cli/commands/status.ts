/** `status`: all fleets in one table, or one fleet with its shards. */
import { type Condition, ConditionType } from '#crds/api/conditions.ts';
import { isPaused } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { Fleet } from '../fleet.ts';
import { type Io, type OutputFormat, printJson } from '../io.ts';
import { fields, table } from '../table.ts';
import { age, bytes } from '../units.ts';

export async function statusOfAll(
  io: Io,
  fleet: Fleet,
  everywhere: boolean,
  format: OutputFormat,
): Promise<void> {
  const clusters = await fleet.clusters(everywhere);
  if (format === 'json') return printJson(io, clusters.map(summary));
  if (clusters.length === 0) {
    io.error(`No ShardClusters ${everywhere ? 'anywhere' : `in namespace ${fleet.namespace}`}.\n`);
    return;
  }
  const rows = clusters.map(cluster => {
    const { metadata, spec, status } = cluster;
    return [
      ...(everywhere ? [metadata.namespace ?? ''] : []),
      metadata.name,
      spec.sharding.algorithm,
      `${status?.readyShards ?? 0}/${spec.shards}`,
      String(spec.members),
      String(status?.map?.epoch ?? '-'),
      phase(cluster),
      age(metadata.creationTimestamp, io.now()),
    ];
  });
  const header = ['NAME', 'ALGORITHM', 'READY', 'MEMBERS', 'EPOCH', 'STATUS', 'AGE'];
  io.out(table(everywhere ? ['NAMESPACE', ...header] : header, rows));
}

export async function statusOf(io: Io, fleet: Fleet, name: string, format: OutputFormat): Promise<void> {
  const [cluster, shards] = await Promise.all([fleet.cluster(name), fleet.shards(name)]);
  if (format === 'json') return printJson(io, { ...summary(cluster), shardList: shards.map(shardSummary) });
  const { spec, status } = cluster;
  const { engine, sharding } = spec;
  io.out(
    fields([
      ['Fleet', `${name} in namespace ${fleet.namespace}`],
      ['Status', phase(cluster)],
      ['Ready', explain(conditionOf(cluster, ConditionType.ready))],
      ['Stalled', explain(onlyTrue(conditionOf(cluster, ConditionType.stalled)))],
      [
        'Paused',
        isPaused(cluster)
          ? 'yes: the operator changes nothing until the annotation is taken away'
          : undefined,
      ],
      [
        'Engine',
        `${engine.type} ${engine.version}, database ${engine.database}, consistency ${spec.consistency}`,
      ],
      ['Sharding', `${sharding.algorithm}, ${sharding.slots} slots, ${sharding.keyType} keys`],
      ['Shards', `${status?.readyShards ?? 0} of ${spec.shards} ready, ${spec.members} members each`],
      ['Map', status?.map === undefined ? 'not there yet' : `epoch ${status.map.epoch}`],
      ['Size', status?.sizeBytes === undefined ? undefined : bytes(status.sizeBytes)],
    ]),
  );
  if (shards.length === 0) return;
  io.out('\n');
  const header = [
    'SHARD',
    'REGION',
    'STATE',
    'READY',
    'PRIMARY',
    'LAG',
    'SIZE',
    'SLOTS',
    'GENERATION',
    'STATUS',
  ];
  io.out(table(header, shards.map(shardRow)));
}

function shardRow(shard: Shard): readonly string[] {
  const { spec, status } = shard;
  return [
    shard.metadata.name,
    spec.region ?? '-',
    spec.state,
    `${status?.readyMembers ?? 0}/${spec.members}`,
    status?.primary ?? '-',
    bytes(status?.lagBytes),
    bytes(status?.sizeBytes),
    String(spec.sharding.slotCount ?? '-'),
    `${spec.generation}/${spec.readerGeneration}`,
    phase(shard),
  ];
}

function summary(cluster: ShardCluster): object {
  const { metadata, spec, status } = cluster;
  return {
    name: metadata.name,
    namespace: metadata.namespace,
    algorithm: spec.sharding.algorithm,
    keyType: spec.sharding.keyType,
    slots: spec.sharding.slots,
    shards: spec.shards,
    members: spec.members,
    paused: isPaused(cluster),
    ready: conditionOf(cluster, ConditionType.ready)?.status === 'True',
    status: status ?? {},
  };
}

function shardSummary({ metadata, spec, status }: Shard): object {
  const { ordinal, region, state, generation, readerGeneration, members } = spec;
  return {
    name: metadata.name,
    ordinal,
    region,
    state,
    generation,
    readerGeneration,
    members,
    status: status ?? {},
  };
}

interface Conditioned {
  readonly status?: { readonly phase?: string; readonly conditions?: readonly Condition[] };
}

function conditionOf(object: Conditioned, type: string): Condition | undefined {
  return object.status?.conditions?.find(condition => condition.type === type);
}

function onlyTrue(condition: Condition | undefined): Condition | undefined {
  return condition?.status === 'True' ? condition : undefined;
}

/** One word for the table: the phase that the operator gave, else what Ready says. */
function phase(object: Conditioned): string {
  const ready = conditionOf(object, ConditionType.ready);
  return (
    object.status?.phase ??
    (ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : ready.reason)
  );
}

function explain(condition: Condition | undefined): string | undefined {
  if (condition === undefined) return undefined;
  return `${condition.status}, ${condition.reason}${condition.message === '' ? '' : `: ${condition.message}`}`;
}
