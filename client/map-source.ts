/** Talks to the map service: a delta on request, or a stream of them. */
import { Agent as HttpAgent, type IncomingMessage, request as requestPlain } from 'node:http';
import { Agent as HttpsAgent, request as requestTls } from 'node:https';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { createGunzip } from 'node:zlib';
import { type ComingWriters, parseComing } from '#sharding/coming.ts';
import { type MapDelta, parseDelta } from '#sharding/delta.ts';
import type { Clock } from './clock.ts';
import { secure } from './dial.ts';
import { MapServiceError } from './errors.ts';
import { readEvents } from './event-source.ts';
import type { Dial } from './options.ts';

/** A change of the map, or one that is about to come; an announcement holds until the next, or until the stream ends. */
export type MapNews =
  | { readonly kind: 'map'; readonly delta: MapDelta }
  | { readonly kind: 'coming'; readonly writers: ComingWriters };

export interface MapSource {
  /** What leads from `since` (0: nothing) to the newest map. `digest` is of the map at hand: undefined when it is newest. */
  fetch(since: number, digest: string | undefined, signal: AbortSignal): Promise<MapDelta | undefined>;
  /** Yields news until the stream ends or breaks. */
  stream(since: number, signal: AbortSignal): AsyncIterable<MapNews>;
  close(): void;
}

export interface HttpMapSourceOptions {
  readonly url: string;
  readonly token: () => Promise<string>;
  readonly ca: () => Promise<string | undefined>;
  readonly dial: Dial | undefined;
  /** Must not keep the process alive. */
  readonly clock: Clock;
}

const answerTimeoutMs = 10_000;
/** Longer than any heartbeat of the service: a stream without a sign of life for so long is dead. */
const silenceMs = 45_000;
const defaultPorts: Readonly<Record<string, number>> = { 'https:': 443, 'http:': 80 };

export class HttpMapSource implements MapSource {
  readonly #options: HttpMapSourceOptions;
  readonly #url: URL;
  readonly #agent: HttpAgent;

  constructor(options: HttpMapSourceOptions) {
    this.#options = options;
    this.#url = new URL(options.url);
    const agentOptions = { keepAlive: true, maxFreeSockets: 1, timeout: silenceMs };
    const agent = this.#url.protocol === 'http:' ? new HttpAgent(agentOptions) : new HttpsAgent(agentOptions);
    this.#agent = options.dial === undefined ? agent : dialing(agent, this.#url, options.dial, options);
  }

  async fetch(since: number, digest: string | undefined, signal: AbortSignal): Promise<MapDelta | undefined> {
    const timeout = AbortSignal.any([signal, AbortSignal.timeout(answerTimeoutMs)]);
    const response = await this.#get(`?since=${since}`, timeout, {
      'accept-encoding': 'gzip',
      ...(digest === undefined ? {} : { 'if-none-match': `"${digest}"` }),
    });
    if (response.statusCode === 304) {
      response.resume();
      return undefined;
    }
    const body = await text(
      response.headers['content-encoding'] === 'gzip' ? response.pipe(createGunzip()) : response,
    );
    if (response.statusCode !== 200) throw refusal(response.statusCode ?? 0, body);
    return parseDelta(body);
  }

  async *stream(since: number, signal: AbortSignal): AsyncGenerator<MapNews, void> {
    const silence = new AbortController();
    let watchdog: Disposable | undefined;
    const alive = () => {
      watchdog?.[Symbol.dispose]();
      watchdog = this.#options.clock.after(silenceMs, () =>
        silence.abort(
          new MapServiceError(0, 'the map stream fell silent', 'None is needed: it is opened again.'),
        ),
      );
    };
    alive();
    try {
      const response = await this.#get('/events', AbortSignal.any([signal, silence.signal]), {
        accept: 'text/event-stream',
        'last-event-id': String(since),
      });
      if (response.statusCode !== 200) throw refusal(response.statusCode ?? 0, await text(response));
      response.setEncoding('utf8');
      for await (const { event, data } of readEvents(response, alive)) {
        yield event === 'coming'
          ? { kind: 'coming', writers: parseComing(data) }
          : { kind: 'map', delta: parseDelta(data) };
      }
    } finally {
      watchdog?.[Symbol.dispose]();
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  async #get(suffix: string, signal: AbortSignal, headers: Record<string, string>): Promise<IncomingMessage> {
    const [token, ca] = await Promise.all([this.#options.token(), this.#options.ca()]);
    const url = new URL(this.#url.href + suffix);
    const options = {
      agent: this.#agent,
      signal,
      headers: { ...headers, authorization: `Bearer ${token}` },
      ...(ca === undefined ? {} : { ca }),
    };
    return new Promise((resolve, reject) => {
      const request = url.protocol === 'http:' ? requestPlain(url, options) : requestTls(url, options);
      request.on('response', resolve).on('error', reject).end();
      // Watching the map is no reason for an application to stay alive.
      request.on('socket', socket => socket.unref());
    });
  }
}

/** Makes an agent open its connections through a dial, with TLS inside as the URL asks. */
function dialing(agent: HttpAgent, url: URL, dial: Dial, options: HttpMapSourceOptions): HttpAgent {
  const endpoint = { host: url.hostname, port: Number(url.port || defaultPorts[url.protocol]) };
  async function open(): Promise<Duplex> {
    // Not AbortSignal.timeout: that would fire later, too, and a dial may tie its stream to the signal.
    const giveUp = new AbortController();
    const timer = options.clock.after(answerTimeoutMs, () =>
      giveUp.abort(new Error('the dial took too long')),
    );
    try {
      const stream = await dial(endpoint, giveUp.signal);
      return url.protocol === 'http:' ? stream : await secure(stream, endpoint.host, await options.ca());
    } finally {
      timer[Symbol.dispose]();
    }
  }
  return Object.assign(agent, {
    createConnection(_options: unknown, created: (error: unknown, stream?: Duplex) => void): undefined {
      open().then(
        stream => created(null, asSocket(stream)),
        (error: unknown) => created(error),
      );
    },
  });
}

/** The agent calls these on what it takes for a socket. */
function asSocket(stream: Duplex): Duplex {
  const missing: Record<string, () => Duplex> = {};
  for (const method of ['setTimeout', 'setNoDelay', 'setKeepAlive', 'ref', 'unref']) {
    if (!(method in stream)) missing[method] = () => stream;
  }
  return Object.assign(stream, missing);
}

function refusal(status: number, body: string): MapServiceError {
  let detail: { message?: unknown; remedy?: unknown } = {};
  try {
    detail = JSON.parse(body);
  } catch {
    // Not of the map service: a proxy's page. The status says enough.
  }
  const message = typeof detail.message === 'string' ? detail.message : `the map service answered ${status}`;
  const remedy = typeof detail.remedy === 'string' ? detail.remedy : 'Check map-url and map-token.';
  return new MapServiceError(status, message, remedy);
}
