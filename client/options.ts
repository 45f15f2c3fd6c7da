/** What a client is made from. Every default is stated here and applied in one place. */
import type { Duplex } from 'node:stream';
import type { ClientHooks } from './hooks.ts';

/** Where a service of the fleet listens, by its name inside the cluster. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/**
 * Opens a byte stream to an endpoint: for programs outside the cluster's network. TLS runs inside the stream and still
 * checks the endpoint's own name. Rejecting means that nothing was sent.
 */
export type Dial = (endpoint: Endpoint, signal: AbortSignal) => Promise<Duplex>;

/** What the Secret `<cluster>-app` holds. */
export interface Credentials {
  readonly password: string;
  /** During a rotation: tried when `password` is refused. */
  readonly nextPassword?: string;
  /** Of the login that writes reference tables. */
  readonly referencePassword?: string;
  /** PEM; one or more certificates. Without it the system's authorities are trusted. */
  readonly ca?: string;
}

export interface ClientOptions {
  readonly map: {
    /** `https://<service>/v1/maps/<namespace>/<cluster>` */
    readonly url: string;
    /** A function is asked for every request. */
    readonly token: string | (() => Promise<string>);
    /** PEM of the authority behind the map service. Default: `credentials.ca`. */
    readonly ca?: string;
    /** Keeps the last map in this file, so that a restart works while the operator is away. */
    readonly file?: string;
  };
  readonly database: string;
  /** A function is asked again whenever a password was refused, so that a rotated Secret is picked up. */
  readonly credentials: Credentials | (() => Promise<Credentials>);
  readonly dial?: Dial;
  /** Of the connections to the shards. `false` is for tests with a plain server. Default true. */
  readonly tls?: boolean;
  readonly pool?: {
    /** Connections per shard and login. Default 10. */
    readonly max?: number;
    /** An unused connection is closed after this time. Default 30,000. */
    readonly idleMs?: number;
  };
  readonly timeouts?: {
    /** For opening one connection. Default 5,000. */
    readonly connectMs?: number;
    /** For one call with all its repetitions, where the call does not say. Default 30,000. */
    readonly callMs?: number;
  };
  /** Shown in pg_stat_activity. Default `shardwright`. */
  readonly applicationName?: string;
  /** Where a shard listens. Default: its Services in the map's namespace, on the pooler's port. */
  readonly endpoint?: (shard: string, side: 'write' | 'read', namespace: string) => Endpoint;
  readonly hooks?: ClientHooks;
}
