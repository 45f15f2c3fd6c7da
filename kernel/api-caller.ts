/** One call of the API: JSON out, JSON back or a typed error, measured. What each verb means is in kube-client.ts. */
import type { IncomingMessage } from 'node:http';
import type { Authenticator } from '#kernel/auth.ts';
import { type Clock, realClock } from '#kernel/clock.ts';
import { apiError, KubeError, ProtocolError, type RequestInfo, type StatusBody } from '#kernel/errors.ts';
import { jsonText } from '#kernel/json-text.ts';
import type { CallOptions } from '#kernel/kube-options.ts';
import type { Resource } from '#kernel/resource.ts';
import { readBody, Transport, type TransportRequest } from '#kernel/transport.ts';

/** One request as a metric: `code` is the HTTP status or, without an answer, the error's code. */
export interface RequestSample {
  readonly verb: string;
  readonly resource: string;
  readonly code: string;
  readonly durationMs: number;
  /** Over a connection that had served another request before. */
  readonly reused: boolean;
}

export interface ApiCallerOptions {
  readonly auth: Authenticator;
  readonly clock?: Clock;
  /** Connections for requests (watches come on top); default 32. */
  readonly maxConnections?: number;
  readonly userAgent?: string;
  readonly onRequest?: (sample: RequestSample) => void;
  /** `Warning` headers of the API server. */
  readonly onWarning?: (text: string, request: RequestInfo) => void;
}

export interface ApiCall {
  readonly method: TransportRequest['method'];
  readonly verb: string;
  readonly resource: Resource;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly contentType?: string;
  readonly body?: unknown;
  readonly options: CallOptions;
}

const defaultDeadlineMs = 30_000;

export class ApiCaller {
  readonly #options: ApiCallerOptions;
  readonly #clock: Clock;
  readonly #transport: Transport;

  constructor(options: ApiCallerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.#transport = new Transport({ ...options, clock: this.#clock });
  }

  /** The answer's JSON. R is what the API promises; it is not checked again. */
  async call<R>(call: ApiCall): Promise<R> {
    const request = prepare(call);
    const response = await this.#measured(call, () => this.#transport.request(request));
    const warning = response.headers['warning'];
    if (warning) this.#options.onWarning?.(warning, request.info);
    if (response.status < 200 || response.status > 299) {
      throw toError(response.status, response.body, request.info, response.headers);
    }
    try {
      const value: R = JSON.parse(response.body);
      return value;
    } catch (cause) {
      throw new ProtocolError('the answer is not JSON', request.info, { cause });
    }
  }

  /** The answer as a stream, once its head says that it is a good one. */
  async open(call: ApiCall): Promise<IncomingMessage> {
    const request = prepare(call);
    const response = await this.#measured(call, async () => {
      const stream = await this.#transport.stream(request);
      return { ...stream, reused: false };
    });
    if (response.status === 200) return response.body;
    throw toError(response.status, await readBody(response.body), request.info, response.headers);
  }

  /** The text at a path outside of the resources. */
  async text(path: string, options: CallOptions): Promise<string> {
    const info = { verb: 'get', path };
    const { signal, deadlineMs = defaultDeadlineMs } = options;
    const response = await this.#transport.request({ method: 'GET', info, query: '', signal, deadlineMs });
    if (response.status !== 200) throw toError(response.status, response.body, info, response.headers);
    return response.body;
  }

  close(): void {
    this.#transport.close();
  }

  async #measured<R extends { readonly status: number; readonly reused: boolean }>(
    { verb, resource }: ApiCall,
    send: () => Promise<R>,
  ): Promise<R> {
    const { onRequest } = this.#options;
    if (!onRequest) return send();
    const start = this.#clock.monotonicMs();
    const report = (code: string, reused: boolean) => {
      const durationMs = this.#clock.monotonicMs() - start;
      onRequest({ verb, resource: resource.plural, code, reused, durationMs });
    };
    try {
      const response = await send();
      report(String(response.status), response.reused);
      return response;
    } catch (error) {
      report(error instanceof KubeError ? error.code : 'Error', false);
      throw error;
    }
  }
}

function prepare(call: ApiCall): TransportRequest {
  return {
    method: call.method,
    info: { verb: call.verb, path: call.path },
    query: queryString(call.query ?? {}),
    signal: call.options.signal,
    deadlineMs: call.options.deadlineMs ?? defaultDeadlineMs,
    ...(call.contentType ? { contentType: call.contentType } : {}),
    ...(call.body === undefined ? {} : { body: jsonText(call.body) }),
  };
}

function queryString(query: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') parameters.set(name, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}

function toError(
  status: number,
  body: string,
  info: RequestInfo,
  headers: { readonly 'retry-after'?: string | undefined },
): KubeError {
  let parsed: StatusBody = {};
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === 'object' && value !== null) parsed = value;
  } catch {
    // Proxies and early filters answer in plain text.
    parsed = { message: `${status}: ${body.slice(0, 200).trim()}` };
  }
  return apiError(status, parsed, info, headers['retry-after']);
}
