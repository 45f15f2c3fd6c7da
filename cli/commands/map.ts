/** `map`: who owns what. */
import { assertNever } from '#kernel/assert-never.ts';
import { poolerPort, readHost, writeHost } from '#sharding/endpoints.ts';
import type { MapShard, ShardMap } from '#sharding/map.ts';
import { partitionOf, slotCounts } from '#sharding/owners.ts';
import type { KeyRange, Partition, SlotRange } from '#sharding/partition.ts';
import type { Fleet } from '../fleet.ts';
import { type Io, type OutputFormat, printJson } from '../io.ts';
import { fields, table } from '../table.ts';
import { percent } from '../units.ts';

/** Runs of slots or keys that a line of the table shows; `-o json` has them all. */
const shownRanges = 3;

export async function showMap(io: Io, fleet: Fleet, name: string, format: OutputFormat): Promise<void> {
  await fleet.cluster(name);
  const { map, pages } = await fleet.map(name);
  if (format === 'json') return printJson(io, asJson(map));
  const tables = map.tables.map(
    ({ name: each, key, reference }) => `${each}${reference ? ' (reference)' : key ? ` by ${key}` : ''}`,
  );
  io.out(
    fields([
      ['Fleet', `${name} in namespace ${map.namespace}`],
      ['Epoch', `${map.epoch}, in ${pages.length} pages`],
      ['Algorithm', `${map.ownership.algorithm}, ${map.keyType} keys, ${map.slots} slots`],
      ['Tables', tables.length === 0 ? 'none' : tables.join(', ')],
    ]),
  );
  io.out('\n');
  const counts = slotCounts(map);
  const whole = counts.values().reduce((sum, count) => sum + count, 0);
  const bySlot = whole > 0;
  const header = ['SHARD', 'REGION', 'STATE', 'GENERATION', ...(bySlot ? ['SLOTS', 'SHARE'] : []), 'OWNS'];
  io.out(
    table(
      header,
      map.shards.map(shard => {
        const count = counts.get(shard.ordinal) ?? 0;
        return [
          shard.name,
          shard.region ?? '-',
          shard.state,
          `${shard.generation}/${shard.readerGeneration}`,
          ...(bySlot ? [String(count), percent(count, whole)] : []),
          owns(map, shard),
        ];
      }),
    ),
  );
}

function owns(map: ShardMap, shard: MapShard): string {
  const write = describe(partitionOf(map, shard.ordinal));
  const read = describe(partitionOf(map, shard.ordinal, 'read'));
  return write === read ? write : `${write}; readers: ${read}`;
}

function describe(partition: Partition): string {
  switch (partition.kind) {
    case 'slots':
      return list(partition.ranges.map(slots));
    case 'regions':
      return list(partition.regions.map(({ region, ranges }) => `${region}: ${list(ranges.map(slots))}`));
    case 'keys':
      return list(partition.ranges.map(keys));
    case 'directory': {
      const entries = partition.entries.length === 0 ? [] : [`${partition.entries.length} keys`];
      return list([...(partition.fallback ? ['all keys without an entry'] : []), ...entries]);
    }
    default:
      return assertNever(partition);
  }
}

function list(parts: readonly string[]): string {
  if (parts.length === 0) return 'nothing';
  const rest = parts.length - shownRanges;
  return parts.slice(0, shownRanges).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

function slots({ first, last }: SlotRange): string {
  return first === last ? String(first) : `${first}-${last}`;
}

function keys({ from, to }: KeyRange): string {
  if (from === undefined && to === undefined) return 'all keys';
  if (from === undefined) return `below ${to}`;
  return to === undefined ? `from ${from}` : `from ${from} to below ${to}`;
}

function asJson(map: ShardMap): object {
  const { format, namespace, cluster, epoch, keyType, slots: slotCount, tables, ownership } = map;
  return {
    format,
    namespace,
    cluster,
    epoch,
    algorithm: ownership.algorithm,
    keyType,
    slots: slotCount,
    tables,
    shards: map.shards.map(shard => ({
      ...shard,
      writeEndpoint: `${writeHost(shard.name, namespace)}:${poolerPort}`,
      readEndpoint: `${readHost(shard.name, namespace)}:${poolerPort}`,
      owns: partitionOf(map, shard.ordinal),
      readersOwn: partitionOf(map, shard.ordinal, 'read'),
    })),
  };
}
