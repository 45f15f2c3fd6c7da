/** `locate`: where the rows of a key are. */
import { poolerPort, readHost, readLogin, writeHost, writeLogin } from '#sharding/endpoints.ts';
import type { ShardMap } from '#sharding/map.ts';
import { createRouter, type Location, type RouteKey } from '#sharding/router.ts';
import type { Fleet } from '../fleet.ts';
import { type Io, type OutputFormat, printJson } from '../io.ts';
import { fields } from '../table.ts';

export interface KeyOptions {
  readonly cluster?: string;
  readonly region?: string;
}

/** The fleet that was named or is the only one, its map, and where the key is. */
export async function locateKey(
  fleet: Fleet,
  key: string,
  options: KeyOptions,
): Promise<{ readonly cluster: string; readonly map: ShardMap; readonly location: Location }> {
  const cluster = (await fleet.cluster(options.cluster)).metadata.name;
  const { map } = await fleet.map(cluster);
  const routeKey: RouteKey = options.region === undefined ? key : { region: options.region, key };
  return { cluster, map, location: createRouter(map).locate(routeKey) };
}

export async function locate(
  io: Io,
  fleet: Fleet,
  key: string,
  options: KeyOptions,
  format: OutputFormat,
): Promise<void> {
  const { cluster, map, location } = await locateKey(fleet, key, options);
  const { write, read } = location;
  const writeEndpoint = `${writeHost(write.shard, map.namespace)}:${poolerPort}`;
  const readEndpoint = `${readHost(read.shard, map.namespace)}:${poolerPort}`;
  if (format === 'json') {
    return printJson(io, {
      cluster,
      epoch: map.epoch,
      ...location,
      write: { ...write, endpoint: writeEndpoint, login: writeLogin(write.generation) },
      read: { ...read, endpoint: readEndpoint, login: readLogin(read.generation) },
    });
  }
  io.out(
    fields([
      ['Key', location.region === undefined ? location.key : `${location.key} in region ${location.region}`],
      ['Fleet', `${cluster}, map epoch ${map.epoch}`],
      ['Slot', `${location.slot} of ${map.slots}`],
      ['Range', rangeOf(map, location)],
      [
        'Entry',
        location.explicit === undefined
          ? undefined
          : location.explicit
            ? 'its own'
            : 'none: the default shard',
      ],
      ['Shard', `${write.shard}, ${write.state}`],
      ['Readers', read.shard === write.shard ? undefined : `${read.shard}, ${read.state}`],
      ['Write', `${writeEndpoint} as ${writeLogin(write.generation)}`],
      ['Read', `${readEndpoint} as ${readLogin(read.generation)}`],
    ]),
  );
}

function rangeOf(map: ShardMap, { from, to }: Location): string | undefined {
  if (map.ownership.algorithm !== 'range') return undefined;
  return `${from === undefined ? 'the lowest key' : from} to ${to === undefined ? 'the highest' : `below ${to}`}`;
}
