/**
 * Typed access to the API server: one method per verb, one class per failure (errors.ts). Holds no state but its
 * connections. Objects are what the server sends; nothing is cached, retried or rate-limited here - queues back off.
 */

import type { Authenticator } from '#kernel/auth.ts';
import { type Clock, realClock } from '#kernel/clock.ts';
import {
  apiError,
  GoneError,
  KubeError,
  ProtocolError,
  type RequestInfo,
  type StatusBody,
} from '#kernel/errors.ts';
import type {
  ApplyOptions,
  CallOptions,
  DeleteOptions,
  ObjectList,
  Patch,
  Scope,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from '#kernel/kube-options.ts';
import type { KubeObject, ObjectKey } from '#kernel/object.ts';
import { type Resource, resourcePath } from '#kernel/resource.ts';
import { ResourceCatalog } from '#kernel/resource-catalog.ts';
import { readBody, Transport, type TransportRequest } from '#kernel/transport.ts';
import { watchEvents } from '#kernel/watch-events.ts';

/** One request as a metric: `code` is the HTTP status or, without an answer, the error's code. */
export interface RequestSample {
  readonly verb: string;
  readonly resource: string;
  readonly code: string;
  readonly durationMs: number;
  /** Over a connection that had served another request before. */
  readonly reused: boolean;
}

export interface KubeClientOptions {
  readonly auth: Authenticator;
  readonly clock?: Clock;
  /** Kinds of ours, so that objects of them can be applied by their apiVersion and kind alone. */
  readonly resources?: readonly Resource[];
  readonly maxConnections?: number;
  readonly userAgent?: string;
  readonly onRequest?: (sample: RequestSample) => void;
  /** `Warning` headers of the API server. */
  readonly onWarning?: (text: string, request: RequestInfo) => void;
  /** Called before every write; throws to refuse it (leader.ts: fencing). */
  readonly guardWrite?: () => void;
}

const defaultDeadlineMs = 30_000;
/** Objects per page of a list: some hundred KB of JSON, parsed in a few ms. */
const pageSize = 500;

interface Call {
  readonly method: TransportRequest['method'];
  readonly verb: string;
  readonly resource: Resource;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly contentType?: string;
  readonly body?: unknown;
  readonly options: CallOptions;
}

export class KubeClient {
  readonly catalog: ResourceCatalog;
  /** Namespace of the account or context in use. */
  readonly defaultNamespace: string;
  readonly #options: KubeClientOptions;
  readonly #clock: Clock;
  readonly #transport: Transport;

  constructor(options: KubeClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.catalog = new ResourceCatalog(options.resources ?? []);
    this.defaultNamespace = options.auth.namespace;
    this.#transport = new Transport({ ...options, clock: this.#clock });
  }

  get<T extends KubeObject>(resource: Resource<T>, key: ObjectKey, options: CallOptions = {}): Promise<T> {
    return this.#call<T>({
      method: 'GET',
      verb: 'get',
      resource,
      path: resourcePath(resource, key),
      options,
    });
  }

  /** All objects, read in pages from one consistent snapshot. */
  async list<T extends KubeObject>(
    resource: Resource<T>,
    scope: Scope = {},
    options: CallOptions = {},
  ): Promise<ObjectList<T>> {
    const items: T[] = [];
    let resourceVersion = '';
    try {
      for await (const page of this.listPages(resource, scope, options)) {
        for (const item of page.items) items.push(item);
        resourceVersion = page.resourceVersion;
      }
    } catch (error) {
      if (!(error instanceof GoneError)) throw error;
      // The snapshot was compacted away between two pages: one answer without pages cannot be.
      return this.#listPage(resource, scope, { limit: 0 }, options);
    }
    return { items, resourceVersion };
  }

  /** The same, page by page; a {@link GoneError} after the first means the snapshot is gone. */
  async *listPages<T extends KubeObject>(
    resource: Resource<T>,
    scope: Scope = {},
    options: CallOptions & { readonly limit?: number | undefined } = {},
  ): AsyncGenerator<ObjectList<T>, void, void> {
    let token: string | undefined;
    do {
      const page = await this.#listPage(
        resource,
        scope,
        { limit: options.limit ?? pageSize, token },
        options,
      );
      yield page;
      token = page.token;
    } while (token);
  }

  /** Throws AlreadyExistsError if there is one of that name. */
  create<T extends KubeObject>(object: T, options: WriteOptions = {}): Promise<T> {
    const { subresource } = options;
    const resource = this.catalog.of(object);
    const { namespace, name } = object.metadata;
    const path = resourcePath(resource, subresource ? { namespace, name, subresource } : { namespace });
    return this.#write({ method: 'POST', verb: 'create', resource, path, body: object, options });
  }

  /** Compare-and-swap: throws ConflictError unless `metadata.resourceVersion` (if set) is the live one. */
  replace<T extends KubeObject>(object: T, options: WriteOptions = {}): Promise<T> {
    const resource = this.catalog.of(object);
    return this.#write({
      method: 'PUT',
      verb: 'update',
      resource,
      path: resourcePath(resource, at(object.metadata, options)),
      body: object,
      options,
    });
  }

  /** Server-side apply: the fields in `object` are ours from now on; those we applied before and left out now go. */
  apply<T extends KubeObject>(object: T, options: ApplyOptions): Promise<T> {
    const resource = this.catalog.of(object);
    return this.#write({
      method: 'PATCH',
      verb: 'apply',
      resource,
      path: resourcePath(resource, at(object.metadata, options)),
      query: { force: options.force },
      contentType: 'application/apply-patch+yaml',
      body: object,
      options,
    });
  }

  /** Server-side apply of the status alone. */
  applyStatus<T extends KubeObject>(object: T, options: ApplyOptions): Promise<T> {
    return this.apply(object, { ...options, subresource: 'status' });
  }

  patch<T extends KubeObject>(
    resource: Resource<T>,
    key: ObjectKey,
    patch: Patch,
    options: WriteOptions = {},
  ): Promise<T> {
    return this.#write({
      method: 'PATCH',
      verb: 'patch',
      resource,
      path: resourcePath(resource, at(key, options)),
      contentType: patch.type === 'merge' ? 'application/merge-patch+json' : 'application/json-patch+json',
      body: patch.body,
      options,
    });
  }

  /** Asks for deletion; finalizers and grace periods may keep the object for a while. */
  async delete(resource: Resource, key: ObjectKey, options: DeleteOptions = {}): Promise<void> {
    await this.#write({
      method: 'DELETE',
      verb: 'delete',
      resource,
      path: resourcePath(resource, key),
      body: deleteBody(options),
      options: { signal: options.signal, deadlineMs: options.deadlineMs },
    });
  }

  /** Deletes all objects of one namespace that the selectors choose. */
  async deleteCollection(
    resource: Resource,
    scope: Scope & { readonly namespace: string },
    options: DeleteOptions = {},
  ): Promise<void> {
    const { namespace, labelSelector, fieldSelector } = scope;
    await this.#write({
      method: 'DELETE',
      verb: 'deletecollection',
      resource,
      path: resourcePath(resource, { namespace }),
      query: { labelSelector, fieldSelector },
      body: deleteBody(options),
      options: { signal: options.signal, deadlineMs: options.deadlineMs },
    });
  }

  /**
   * Resolves once the server has accepted. The stream ends when the server ends it (timeoutSeconds) or throws:
   * GoneError when `resourceVersion` is too old, ConnectionError when it breaks. Leaving the loop closes it.
   */
  async watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
  ): Promise<AsyncIterable<WatchEvent<T>>> {
    const { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds } = options;
    const request = this.#prepare({
      method: 'GET',
      verb: 'watch',
      resource,
      path: resourcePath(resource, { namespace }),
      query: {
        watch: true,
        allowWatchBookmarks: true,
        labelSelector,
        fieldSelector,
        resourceVersion,
        timeoutSeconds,
      },
      options,
    });
    const response = await this.#measured('watch', resource, async () => {
      const stream = await this.#transport.stream(request);
      return { ...stream, reused: false };
    });
    if (response.status !== 200) {
      throw toError(response.status, await readBody(response.body), request.info, response.headers);
    }
    return watchEvents(response.body, request.info);
  }

  /** Any path, e.g. `/version` or `/readyz`: the text of a 200. */
  async raw(path: string, options: CallOptions = {}): Promise<string> {
    const info = { verb: 'get', path };
    const { signal, deadlineMs = defaultDeadlineMs } = options;
    const response = await this.#transport.request({ method: 'GET', info, query: '', signal, deadlineMs });
    if (response.status !== 200) throw toError(response.status, response.body, info, response.headers);
    return response.body;
  }

  /** Closes all connections; what is in flight fails. */
  close(): void {
    this.#transport.close();
  }

  async #listPage<T extends KubeObject>(
    resource: Resource<T>,
    scope: Scope,
    page: { readonly limit: number; readonly token?: string | undefined },
    options: CallOptions,
  ): Promise<ObjectList<T> & { readonly token: string | undefined }> {
    const { namespace, labelSelector, fieldSelector } = scope;
    const query = { labelSelector, fieldSelector, limit: page.limit || undefined, continue: page.token };
    const path = resourcePath(resource, { namespace });
    const body = await this.#call<{
      items: T[] | null;
      metadata: { resourceVersion: string; continue?: string };
    }>({ method: 'GET', verb: 'list', resource, path, query, options });
    const items = body.items ?? [];
    // Items of built-in kinds come without their type.
    for (const item of items) {
      item.apiVersion ??= resource.apiVersion;
      item.kind ??= resource.kind;
    }
    return { items, resourceVersion: body.metadata.resourceVersion, token: body.metadata.continue };
  }

  async #write<R>(call: Omit<Call, 'options'> & { readonly options: WriteOptions }): Promise<R> {
    const { fieldManager, dryRun, fieldValidation } = call.options;
    const query = { ...call.query, fieldManager, fieldValidation, dryRun: dryRun ? 'All' : undefined };
    this.#options.guardWrite?.();
    return this.#call<R>({ ...call, query });
  }

  async #call<R>(call: Call): Promise<R> {
    const request = this.#prepare(call);
    const response = await this.#measured(call.verb, call.resource, () => this.#transport.request(request));
    this.#warn(response.headers['warning'], request.info);
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

  #prepare(call: Call): TransportRequest {
    return {
      method: call.method,
      info: { verb: call.verb, path: call.path },
      query: queryString(call.query ?? {}),
      signal: call.options.signal,
      deadlineMs: call.options.deadlineMs ?? defaultDeadlineMs,
      ...(call.contentType ? { contentType: call.contentType } : {}),
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
    };
  }

  async #measured<R extends { readonly status: number; readonly reused: boolean }>(
    verb: string,
    resource: Resource,
    send: () => Promise<R>,
  ): Promise<R> {
    const { onRequest } = this.#options;
    if (!onRequest) return send();
    const start = this.#clock.monotonicMs();
    const report = (code: string, reused: boolean) =>
      onRequest({
        verb,
        resource: resource.plural,
        code,
        reused,
        durationMs: this.#clock.monotonicMs() - start,
      });
    try {
      const response = await send();
      report(String(response.status), response.reused);
      return response;
    } catch (error) {
      report(error instanceof KubeError ? error.code : 'Error', false);
      throw error;
    }
  }

  #warn(header: string | undefined, info: RequestInfo): void {
    if (header) this.#options.onWarning?.(header, info);
  }
}

function at(key: ObjectKey, options: WriteOptions): Parameters<typeof resourcePath>[1] {
  const { namespace, name } = key;
  return options.subresource ? { namespace, name, subresource: options.subresource } : { namespace, name };
}

function deleteBody(options: DeleteOptions): unknown {
  const { propagationPolicy, preconditions, gracePeriodSeconds, dryRun } = options;
  return {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    propagationPolicy,
    preconditions,
    gracePeriodSeconds,
    dryRun: dryRun ? ['All'] : undefined,
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
