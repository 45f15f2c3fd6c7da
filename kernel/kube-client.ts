/**
 * Typed access to the API server: one method per verb, one class per failure (errors.ts). Holds no state but its
 * connections. Objects are what the server sends; nothing is cached, retried or rate-limited here - queues back off.
 */

import { type ApiCall, ApiCaller, type ApiCallerOptions } from '#kernel/api-caller.ts';
import { GoneError } from '#kernel/errors.ts';
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
import { watchEvents } from '#kernel/watch-events.ts';

export interface KubeClientOptions extends ApiCallerOptions {
  /** Kinds of ours, so that objects of them can be applied by their apiVersion and kind alone. */
  readonly resources?: readonly Resource[];
  /** Called before every write; throws to refuse it (leader.ts: fencing). */
  readonly guardWrite?: () => void;
}

/** Objects per page of a list: some hundred KB of JSON, parsed in a few ms. */
const pageSize = 500;

export class KubeClient {
  readonly catalog: ResourceCatalog;
  /** Namespace of the account or context in use. */
  readonly defaultNamespace: string;
  readonly #guardWrite: () => void;
  readonly #caller: ApiCaller;

  constructor(options: KubeClientOptions) {
    this.catalog = new ResourceCatalog(options.resources ?? []);
    this.defaultNamespace = options.auth.namespace;
    this.#guardWrite = options.guardWrite ?? (() => {});
    this.#caller = new ApiCaller(options);
  }

  get<T extends KubeObject>(resource: Resource<T>, key: ObjectKey, options: CallOptions = {}): Promise<T> {
    return this.#caller.call<T>({
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
    const call: ApiCall = {
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
    };
    return watchEvents(await this.#caller.open(call), { verb: call.verb, path: call.path });
  }

  /** Any path, e.g. `/version` or `/readyz`: the text of a 200. */
  raw(path: string, options: CallOptions = {}): Promise<string> {
    return this.#caller.text(path, options);
  }

  /** Closes all connections; what is in flight fails. */
  close(): void {
    this.#caller.close();
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
    const body = await this.#caller.call<{
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

  async #write<R>(call: Omit<ApiCall, 'options'> & { readonly options: WriteOptions }): Promise<R> {
    const { fieldManager, dryRun, fieldValidation } = call.options;
    const query = { ...call.query, fieldManager, fieldValidation, dryRun: dryRun ? 'All' : undefined };
    this.#guardWrite();
    return this.#caller.call<R>({ ...call, query });
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
