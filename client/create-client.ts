/** Makes a client from values. Nothing is opened before the first call. */
import type { Client } from './client.ts';
import { backgroundClock, realClock } from './clock.ts';
import { CredentialStore } from './credentials.ts';
import { ConfigurationError } from './errors.ts';
import { Executor } from './executor.ts';
import { HttpMapSource, type MapSource } from './map-source.ts';
import { MapWatcher } from './map-watcher.ts';
import type { ClientOptions } from './options.ts';
import { RoutedClient } from './routed-client.ts';
import { ShardPools } from './shard-pools.ts';

/** Throws ConfigurationError. */
export function createClient(options: ClientOptions): Client {
  const { map, dial } = options;
  if (!URL.canParse(map.url) || !/^https?:$/.test(new URL(map.url).protocol)) {
    throw new ConfigurationError(
      `${JSON.stringify(map.url)} is not an address of a map`,
      'Write https://<service>/v1/maps/<namespace>/<cluster>, as map-url in the Secret <cluster>-app does.',
    );
  }
  const { token } = map;
  return assembleClient({ ...options, mapFile: map.file }, credentials => {
    return new HttpMapSource({
      url: map.url,
      token: typeof token === 'function' ? token : () => Promise.resolve(token),
      ca: async () => map.ca ?? (await credentials.get()).ca,
      dial,
      clock: backgroundClock,
    });
  });
}

/** For programs of this project that have the map from elsewhere than the map service. */
export function assembleClient(
  options: Omit<ClientOptions, 'map'> & { readonly mapFile?: string | undefined },
  mapSource: (credentials: CredentialStore) => MapSource,
): Client {
  const { dial, hooks = {}, pool = {}, timeouts = {} } = options;
  const credentials = new CredentialStore(options.credentials);
  const pools = new ShardPools({
    database: options.database,
    credentials,
    dial,
    tls: options.tls ?? true,
    endpoint: options.endpoint,
    applicationName: options.applicationName ?? 'shardwright',
    max: pool.max ?? 10,
    idleMs: pool.idleMs ?? 30_000,
    connectMs: timeouts.connectMs ?? 5000,
    hooks,
    clock: realClock,
    backgroundClock,
  });
  const watcher = new MapWatcher({
    source: mapSource(credentials),
    file: options.mapFile,
    hooks,
    clock: backgroundClock,
    random: Math.random,
    onChange: changed => pools.follow(changed),
    onComing: writers => pools.expect(writers),
  });
  return new RoutedClient({
    watcher,
    pools,
    executor: new Executor(pools, hooks, realClock),
    hooks,
    clock: realClock,
    random: Math.random,
    callMs: timeouts.callMs ?? 30_000,
  });
}
