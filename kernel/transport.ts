/**
 * HTTP to one API server over a shared pool of kept-alive connections. Guarantees: every request ends by its deadline or
 * its signal; a connection is used again; rotated tokens and certificates are picked up; every failure is a
 * {@link KubeError}. Watches have a pool of their own, so that long streams never use up the one for requests.
 */
import http from 'node:http';
import https from 'node:https';
import { createSecureContext } from 'node:tls';
import { AuthError, type Authenticator, type Credentials } from '#kernel/auth.ts';
import type { Clock } from '#kernel/clock.ts';
import { AbortedError, ConnectionError, DeadlineError, type RequestInfo } from '#kernel/errors.ts';

export interface TransportRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly info: RequestInfo;
  /** With the leading `?`, or empty. */
  readonly query: string;
  readonly contentType?: string;
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
  /** Until the whole answer is there; for a stream, until its head is. */
  readonly deadlineMs: number;
}

export interface TransportResponse {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  /** The request went over a connection that had served another before. */
  readonly reused: boolean;
}

export interface TransportStream {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: http.IncomingMessage;
}

export interface TransportOptions {
  readonly auth: Authenticator;
  readonly clock: Clock;
  /** Connections for requests (watches come on top). */
  readonly maxConnections?: number;
  readonly userAgent?: string;
}

/** Credentials are looked at again after this long; a rotated token stays valid for minutes after its successor came. */
const credentialsMaxAgeMs = 10_000;
/** The API server closes connections that idle for 90 s. Letting go earlier avoids using one as it closes. */
const idleConnectionMs = 60_000;
/** With the system's ten probes a second apart, a peer that vanished is noticed within half a minute. */
const tcpKeepAliveMs = 20_000;

interface Session {
  readonly credentials: Credentials;
  readonly tlsKey: string;
  readonly requests: http.Agent;
  readonly streams: http.Agent;
  readonly since: number;
}

export class Transport {
  readonly #options: TransportOptions;
  readonly #secure: boolean;
  #session: Session | undefined;
  #refreshing: Promise<Session> | undefined;
  #closed = false;
  readonly #used = new WeakSet<object>();

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#secure = options.auth.server.protocol === 'https:';
  }

  /** Sends, and reads the whole answer. Repeats once after a 401 (with fresh credentials) or a connection that had gone stale. */
  async request(request: TransportRequest): Promise<TransportResponse> {
    const deadline = this.#options.clock.monotonicMs() + request.deadlineMs;
    for (let attempt = 1; ; attempt++) {
      const session = await this.#current(false);
      const left = { ...request, deadlineMs: Math.max(1, deadline - this.#options.clock.monotonicMs()) };
      let response: TransportResponse;
      try {
        response = await this.#send(session, left, readBody);
      } catch (error) {
        // Only where acting twice is harmless: a create could have been done before the connection broke.
        if (attempt === 1 && error instanceof StaleConnectionError && request.method !== 'POST') continue;
        throw error;
      }
      if (response.status === 401 && attempt === 1) {
        await this.#current(true);
        continue;
      }
      return response;
    }
  }

  /** Sends, and hands over the answer as it comes. The signal ends the stream too. */
  async stream(request: TransportRequest): Promise<TransportStream> {
    const session = await this.#current(false);
    return this.#send(session, request, undefined);
  }

  /** Closes all connections; requests in flight fail. */
  close(): void {
    this.#closed = true;
    this.#session?.requests.destroy();
    this.#session?.streams.destroy();
  }

  #current(fresh: boolean): Promise<Session> {
    const { clock } = this.#options;
    const session = this.#session;
    if (!fresh && session && clock.monotonicMs() - session.since < credentialsMaxAgeMs) {
      return Promise.resolve(session);
    }
    this.#refreshing ??= this.#refresh(fresh).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh(fresh: boolean): Promise<Session> {
    const credentials = await this.#options.auth.credentials({ fresh });
    const tlsKey = JSON.stringify(credentials.tls);
    const since = this.#options.clock.monotonicMs();
    const old = this.#session;
    if (old && old.tlsKey === tlsKey) {
      this.#session = { ...old, credentials, since };
    } else {
      // A rotated certificate: new connections use it, the old pool empties by itself.
      this.#session = {
        credentials,
        tlsKey,
        requests: credentials.agent ?? this.#agent(credentials, this.#options.maxConnections ?? 32),
        streams: credentials.agent ?? this.#agent(credentials, Number.POSITIVE_INFINITY),
        since,
      };
    }
    return this.#session;
  }

  #agent(credentials: Credentials, maxSockets: number): http.Agent {
    const options = {
      keepAlive: true,
      keepAliveMsecs: tcpKeepAliveMs,
      keepAliveInitialDelay: tcpKeepAliveMs,
      scheduling: 'lifo',
      timeout: idleConnectionMs,
      maxSockets,
    } as const;
    if (!this.#secure) return new http.Agent(options);
    const { ca, cert, key, ...tls } = credentials.tls;
    // One context for all connections: made anew for each, it costs memory and time, and its PEM a place in the agent's books.
    try {
      const secureContext = createSecureContext({ ca, cert, key });
      return new https.Agent({ ...options, ...tls, secureContext });
    } catch (cause) {
      const remedy = 'Look at the PEM of the kubeconfig, or of the mounted service account.';
      throw new AuthError('the certificates for the API server cannot be read', remedy, { cause });
    }
  }

  #send(session: Session, request: TransportRequest, read: typeof readBody): Promise<TransportResponse>;
  #send(session: Session, request: TransportRequest, read: undefined): Promise<TransportStream>;
  #send(
    session: Session,
    request: TransportRequest,
    read: typeof readBody | undefined,
  ): Promise<TransportResponse | TransportStream> {
    const { info, signal, body } = request;
    const { server } = this.#options.auth;
    if (signal?.aborted) return Promise.reject(new AbortedError('aborted', info, { cause: signal.reason }));
    if (this.#closed) return Promise.reject(new ConnectionError('the client is closed', info));
    const headers: Record<string, string | number> = {
      accept: 'application/json',
      'user-agent': this.#options.userAgent ?? 'shardwright',
      ...session.credentials.headers,
    };
    if (body !== undefined) {
      headers['content-type'] = request.contentType ?? 'application/json';
      headers['content-length'] = Buffer.byteLength(body);
    }
    const { promise, resolve, reject } = Promise.withResolvers<TransportResponse | TransportStream>();
    const sent = (this.#secure ? https : http).request({
      method: request.method,
      protocol: server.protocol,
      hostname: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port,
      path: server.pathname.replace(/\/$/, '') + info.path + request.query,
      agent: read ? session.requests : session.streams,
      headers,
    });
    // Node's own `reusedSocket` leaves out connections that go straight from one waiting request to the next.
    let reused = false;
    sent.on('socket', socket => {
      reused = this.#used.has(socket);
      this.#used.add(socket);
    });
    let why: Error | undefined;
    const stop = (reason: Error) => {
      why ??= reason;
      sent.destroy(reason);
    };
    const onAbort = () => stop(new AbortedError('aborted', info, { cause: signal?.reason }));
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = this.#options.clock.after(request.deadlineMs, () =>
      stop(new DeadlineError(`no answer within ${Math.round(request.deadlineMs)} ms`, info)),
    );
    // A stream that has begun belongs to its reader; its signal still ends it.
    const settle = () => {
      timer[Symbol.dispose]();
      signal?.removeEventListener('abort', onAbort);
    };
    const fail = (cause: Error) => {
      settle();
      reject(why ?? connectionError(cause, reused, info));
    };
    sent.on('error', fail);
    sent.on('response', response => {
      const status = response.statusCode ?? 0;
      if (!read) {
        timer[Symbol.dispose]();
        response.on('close', settle);
        resolve({ status, headers: response.headers, body: response });
        return;
      }
      read(response).then(text => {
        settle();
        return resolve({ status, headers: response.headers, body: text, reused });
      }, fail);
    });
    sent.end(body);
    return promise;
  }
}

/** A kept-alive connection that the other side had already given up. */
export class StaleConnectionError extends ConnectionError {}

function connectionError(cause: Error, reused: boolean, info: RequestInfo): ConnectionError {
  const code = 'code' in cause ? cause.code : undefined;
  const stale = reused && (code === 'ECONNRESET' || code === 'EPIPE');
  return new (stale ? StaleConnectionError : ConnectionError)(cause.message, info, { cause });
}

/** The whole body as text; rejects if the connection breaks before its end. */
export function readBody(response: http.IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    response.on('error', reject);
    response.on('close', () => {
      if (!response.complete) reject(new Error('the connection closed in the middle of the answer'));
    });
  });
}
