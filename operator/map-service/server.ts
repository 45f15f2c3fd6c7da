/**
 * The sockets of the map service. Give TLS material, or none where another end of TLS stands in front. It may be replaced
 * while the service runs.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Clock, realClock } from '#kernel/clock.ts';
import { EventStream, type Sink } from './event-stream.ts';
import { type BodyResponse, failure, handle } from './handle.ts';
import type { Authorize, MapPages } from './map-pages.ts';
import { Snapshots } from './snapshots.ts';

export interface MapServiceOptions {
  readonly store: MapPages;
  readonly authorize: Authorize;
  /** PEM. */
  readonly tls?: TlsMaterial;
  readonly clock?: Clock;
  /** Between comments on a quiet stream. Default 15,000. */
  readonly heartbeatMs?: number;
  /** A stream whose client reads nothing for so long is dropped. Default 30,000. */
  readonly patienceMs?: number;
  /** Default 10,000; beyond it streams are refused with 503, and clients poll. */
  readonly maxStreams?: number;
  /** An unexpected failure while answering; the client gets a bare 500. */
  readonly onError?: (error: unknown) => void;
}

export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
}

export interface MapService extends AsyncDisposable {
  readonly port: number;
  readonly streams: number;
  /** Uses another certificate for new connections. */
  replaceTls(tls: TlsMaterial): void;
  /** Ends streams and closes. Clients reconnect elsewhere. */
  close(): Promise<void>;
}

/** Below this a compressed answer saves less than it costs. */
const gzipFromBytes = 8192;
const compress = promisify(gzip);

/** Port 0 takes any free one. */
export async function startMapService(
  options: MapServiceOptions,
  port: number,
  host?: string,
): Promise<MapService> {
  const { store, authorize, clock = realClock, maxStreams = 10_000, onError = () => undefined } = options;
  const snapshots = new Snapshots(store);
  const streams = new Set<EventStream>();
  const timing = { heartbeatMs: options.heartbeatMs ?? 15_000, patienceMs: options.patienceMs ?? 30_000 };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/', headers } = request;
    const outcome = await handle({ method, url, headers }, { snapshots, authorize });
    if (outcome.kind === 'body') return sendBody(outcome, request, response);
    if (streams.size >= maxStreams) return sendBody(tooManyStreams(maxStreams), request, response);
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    if (method === 'HEAD') {
      response.end();
      return;
    }
    response.flushHeaders();
    const stream = new EventStream(outcome.fleet, outcome.since, sinkOf(response), {
      store,
      snapshots,
      clock,
      ...timing,
    });
    streams.add(stream);
    response.on('close', () => {
      stream[Symbol.dispose]();
      streams.delete(stream);
    });
  }

  function listener(request: IncomingMessage, response: ServerResponse): void {
    answer(request, response).catch((error: unknown) => {
      onError(error);
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end();
    });
  }

  const limits = { requestTimeout: 10_000, headersTimeout: 10_000, maxHeaderSize: 16_384 };
  const server: Server | TlsServer =
    options.tls === undefined
      ? createServer(limits, listener)
      : createTlsServer({ ...limits, ...options.tls }, listener);
  server.keepAliveTimeout = 65_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  server.on('error', onError);

  async function close(): Promise<void> {
    const closed = new Promise<void>(resolve => server.close(() => resolve()));
    for (const stream of streams) stream.end();
    server.closeIdleConnections();
    // Whoever does not take the end of its stream in time is cut off.
    const force = clock.after(2000, () => server.closeAllConnections());
    await closed;
    force[Symbol.dispose]();
  }

  return {
    port: boundPort(server),
    get streams() {
      return streams.size;
    },
    replaceTls(tls) {
      if ('setSecureContext' in server) server.setSecureContext(tls);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function sendBody(
  outcome: BodyResponse,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const accepted = request.headers['accept-encoding'] ?? '';
  const worth = outcome.body.length >= gzipFromBytes && /\bgzip\b/.test(accepted);
  const body = worth ? await compress(outcome.body, { level: 1 }) : Buffer.from(outcome.body);
  response.writeHead(outcome.status, {
    ...outcome.headers,
    vary: 'accept-encoding',
    ...(worth ? { 'content-encoding': 'gzip' } : {}),
    ...(outcome.status === 304 ? {} : { 'content-length': body.length }),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function tooManyStreams(max: number): BodyResponse {
  return failure(
    503,
    'TooManyStreams',
    `this replica serves ${max} streams already`,
    'Poll the map instead.',
    {
      'retry-after': '10',
    },
  );
}

function sinkOf(response: ServerResponse): Sink {
  return {
    write: text => response.write(text),
    onDrained: drained => response.on('drain', drained),
    end: () => response.end(),
    destroy: () => response.destroy(),
  };
}

function boundPort(server: Server | TlsServer): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('the map service has no port');
  return address.port;
}
