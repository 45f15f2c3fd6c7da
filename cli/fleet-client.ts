/**
 * The client library from outside the cluster: connections run through the API server, and the map comes from its
 * ConfigMaps, so that neither a network nor the operator is needed.
 */

import type { Client } from '#client/client.ts';
import { assembleClient } from '#client/create-client.ts';
import type { MapSource } from '#client/map-source.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { digestOf, wholeMap } from '#sharding/delta.ts';
import { CliError } from './errors.ts';
import type { Fleet } from './fleet.ts';
import type { Session } from './session.ts';

export async function openClient(
  session: Session,
  cluster: ShardCluster,
  timeoutMs: number,
): Promise<Client> {
  const { name } = cluster.metadata;
  // What is missing for good is told at once, and in words of our own: the client would try until its time is over.
  await Promise.all([credentials(session.fleet, name), session.fleet.map(name)]);
  return assembleClient(
    {
      database: cluster.spec.engine.database,
      credentials: () => credentials(session.fleet, name),
      dial: session.dial,
      pool: { max: 2 },
      // A stream through the API server takes several round trips more than a direct connection.
      timeouts: { connectMs: Math.min(timeoutMs, 20_000), callMs: timeoutMs },
      applicationName: 'kubectl-shardwright',
    },
    () => new ConfigMapSource(session.fleet, name),
  );
}

async function credentials(
  fleet: Fleet,
  cluster: string,
): Promise<{ password: string; nextPassword?: string; ca?: string }> {
  const secret = await fleet.appSecret(cluster);
  const { password, 'next-password': nextPassword, 'ca.crt': ca } = secret;
  if (password === undefined) {
    throw new CliError(
      'NoPassword',
      `Secret ${cluster}-app has no password`,
      'Wait until the fleet is Ready.',
    );
  }
  return {
    password,
    ...(nextPassword === undefined ? {} : { nextPassword }),
    ...(ca === undefined ? {} : { ca }),
  };
}

/** Reads the ConfigMaps again whenever the client asks; changes in between are of no use to one command. */
class ConfigMapSource implements MapSource {
  readonly #fleet: Fleet;
  readonly #cluster: string;

  constructor(fleet: Fleet, cluster: string) {
    this.#fleet = fleet;
    this.#cluster = cluster;
  }

  async fetch(_since: number, digest: string | undefined): ReturnType<MapSource['fetch']> {
    const { pages } = await this.#fleet.map(this.#cluster);
    return digestOf(pages) === digest ? undefined : wholeMap(pages);
  }

  async *stream(_since: number, signal: AbortSignal): ReturnType<MapSource['stream']> {
    const closed = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => closed.resolve(), { once: true });
    if (!signal.aborted) await closed.promise;
    // Nothing is ever yielded.
    yield* [];
  }

  close(): void {
    // Holds nothing open.
  }
}
