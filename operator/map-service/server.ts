/**
 * The sockets of the map service: `GET /v1/maps/<namespace>/<cluster>`, with `?since=<epoch>`, and `/events`. The caller
 * gives TLS material (or none, behind another TLS end) and may replace it while the server runs.
 */
import type { Authorize, MapStore } from './map-store.ts';

export interface MapServiceOptions {
  readonly store: MapStore;
  readonly authorize: Authorize;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly heartbeatMs?: number;
  readonly maxStreams?: number;
}

export interface MapService extends AsyncDisposable {
  readonly port: number;
  /** Uses another certificate for new connections. */
  replaceTls(tls: { readonly cert: string; readonly key: string }): void;
  /** Ends streams and closes. Clients reconnect elsewhere. */
  close(): Promise<void>;
}

export function startMapService(
  _options: MapServiceOptions,
  _port: number,
  _host?: string,
): Promise<MapService> {
  return Promise.reject(new Error('not written yet'));
}
