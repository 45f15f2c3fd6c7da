/**
 * Server-side apply of only what differs: where the live object holds what we want and we have applied nothing else,
 * no request is made; a resync of ten thousand shards that are as they should be costs none. What differs is
 * repaired at once.
 *
 * What was applied last is kept as a hash in an annotation of the object itself, so it survives a restart, and a
 * field that is left out later is noticed. Our own writes are believed before the watch brings them back.
 *
 * What does not exist is made by a plain create, at half the cost; the annotation says so (`created:`), and the object's
 * first apply moves the ownership of its fields (ownership.ts). From then on nothing tells the two apart.
 */
import { canonicalJson, digest } from '#kernel/canonical.ts';
import { type Clock, realClock } from '#kernel/clock.ts';
import { contains, project } from '#kernel/contains.ts';
import { AlreadyExistsError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { CallOptions } from '#kernel/kube-options.ts';
import { type KubeObject, keyOf, type ObjectKey } from '#kernel/object.ts';
import { ownByApply } from '#kernel/ownership.ts';
import type { StoreEvent } from '#kernel/reflector.ts';
import { kindOf, type Resource } from '#kernel/resource.ts';

/** A reflector, as far as applying needs it. */
export interface LiveObjects {
  readonly resource: Resource;
  get(key: ObjectKey): KubeObject | undefined;
  subscribe(handler: (event: StoreEvent<KubeObject>) => void): Disposable;
}

export interface ApplierOptions {
  readonly client: KubeClient;
  /** One per controller. */
  readonly fieldManager: string;
  /** Where to look for live objects; kinds without one are read from the API server each time. */
  readonly caches: readonly LiveObjects[];
  /** Prefix of the annotation, a domain of ours. Default `shardwright.io`. */
  readonly domain?: string;
  readonly clock?: Clock;
}

export interface ApplyCall extends CallOptions {
  /** The live object if the caller has just read it (null: there should be none); default: from the cache, else read. */
  readonly live?: KubeObject | null;
}

export interface StatusCall extends CallOptions {
  /** The resourceVersion that the object must have: a status from an older copy is a ConflictError. */
  readonly over?: string | undefined;
  /** Which of the status' fields are this field manager's, where others write some too; default: all. */
  readonly owns?: (field: string) => boolean;
}

export interface Applied<T extends KubeObject> {
  /** As the server has it now. */
  readonly object: T;
  readonly changed: boolean;
}

/** In the annotation of what was never applied but created, before the hash. */
const createdMark = 'created:';

/** How long our own write is believed when no watch confirms it: the cache may not cover the object. */
const believeMs = 10_000;

export class Applier implements Disposable {
  readonly #options: ApplierOptions;
  readonly #clock: Clock;
  readonly #caches: ReadonlyMap<string, LiveObjects>;
  readonly #annotation: string;
  readonly #subscriptions = new DisposableStack();
  /** Written by us, not seen on the watch yet. */
  readonly #unseen = new Map<string, { readonly object: KubeObject; readonly at: number }>();
  /** Applies under way; true when the watch has spoken meanwhile. */
  readonly #underWay = new Map<string, { overtaken: boolean }>();
  /** Where the server writes our values in its own way (`1024Mi` as `1Gi`): what it made of them. */
  readonly #normalised = new Map<string, { readonly hash: string; readonly projection: string }>();
  readonly #statusHashes = new Map<string, string>();

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.#annotation = `${options.domain ?? 'shardwright.io'}/applied-by-${options.fieldManager}`;
    this.#caches = new Map(options.caches.map(cache => [kindOf(cache.resource), cache]));
    for (const cache of options.caches) {
      this.#subscriptions.use(cache.subscribe(event => this.#observe(event)));
    }
  }

  /** Makes `desired` so. Takes fields over from other managers: what it names is ours. */
  async apply<T extends KubeObject>(desired: T, call: ApplyCall = {}): Promise<Applied<T>> {
    const id = idOf(desired);
    const wanted = normaliseSecret(desired);
    const hash = digest(wanted);
    const live = await this.#live(desired, call);
    if (live) {
      const known = live.metadata.annotations?.[this.#annotation];
      const intent = this.#marked(wanted, known === createdMark + hash ? known : hash);
      if (this.#holds(id, live, intent, hash)) return { object: live, changed: false };
    }
    const mark = { overtaken: false };
    this.#underWay.set(id, mark);
    let object: T;
    try {
      object =
        (live ? undefined : await this.#create(wanted, hash, call)) ??
        (await this.#apply(wanted, hash, live, call));
    } finally {
      this.#underWay.delete(id);
    }
    const intent = this.#marked(wanted, object.metadata.annotations?.[this.#annotation] ?? hash);
    if (contains(object, intent)) this.#normalised.delete(id);
    else this.#normalised.set(id, { hash, projection: canonicalJson(project(object, intent)) });
    const changed = object.metadata.resourceVersion !== live?.metadata.resourceVersion;
    // An event that came while we waited may be newer than our answer; then the cache is right.
    if (changed && !mark.overtaken && this.#caches.has(kindOf(desired))) {
      this.#unseen.set(id, { object, at: this.#clock.monotonicMs() });
    }
    return { object, changed };
  }

  /**
   * Applies the whole status (as far as it is ours) of an object that exists, if it differs. A deleted and re-created
   * object of the same name is not touched: that is a ConflictError, as is, if `over` is given, one with another resourceVersion.
   */
  async applyStatus<T extends KubeObject>(
    live: T,
    status: object,
    call: StatusCall = {},
  ): Promise<Applied<T>> {
    const id = idOf(live);
    const hash = digest([live.metadata.uid, status]);
    const known = this.#statusHashes.get(id);
    const current = live['status'];
    const same =
      known === undefined
        ? canonicalJson(ownFields(current, call)) === canonicalJson(status)
        : known === hash && contains(current, status);
    if (same) return { object: live, changed: false };
    const { apiVersion, kind, metadata } = live;
    const { name, namespace, uid } = metadata;
    const intent = {
      apiVersion,
      kind,
      metadata: {
        name,
        ...(namespace ? { namespace } : {}),
        ...(uid ? { uid } : {}),
        ...(call.over === undefined ? {} : { resourceVersion: call.over }),
      },
      status,
    };
    const { client, fieldManager } = this.#options;
    const answer: KubeObject = await client.applyStatus(intent, {
      ...callOptions(call),
      fieldManager,
      force: true,
    });
    this.#statusHashes.set(id, hash);
    return {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the server answers with the kind it was asked for
      object: answer as T,
      changed: answer.metadata.resourceVersion !== metadata.resourceVersion,
    };
  }

  /** Stops listening to the caches. */
  [Symbol.dispose](): void {
    this.#subscriptions.dispose();
  }

  /** Undefined when there is one already. */
  async #create<T extends KubeObject>(wanted: T, hash: string, call: ApplyCall): Promise<T | undefined> {
    const { client, fieldManager } = this.#options;
    try {
      return await client.create(this.#marked(wanted, createdMark + hash), {
        ...callOptions(call),
        fieldManager,
        // As an apply: a field that the server does not know is an error.
        fieldValidation: 'Strict',
      });
    } catch (error) {
      if (error instanceof AlreadyExistsError) return undefined;
      throw error;
    }
  }

  async #apply<T extends KubeObject>(
    wanted: T,
    hash: string,
    live: T | undefined,
    call: ApplyCall,
  ): Promise<T> {
    const { client, fieldManager } = this.#options;
    const mark = live?.metadata.annotations?.[this.#annotation];
    // Without the annotation, or without a look at the object, it may be one that was created.
    if (mark === undefined || mark.startsWith(createdMark)) {
      await ownByApply(client, wanted, fieldManager, callOptions(call));
    }
    return client.apply(this.#marked(wanted, hash), { ...callOptions(call), fieldManager, force: true });
  }

  #holds(id: string, live: KubeObject, intent: KubeObject, hash: string): boolean {
    if (contains(live, intent)) return true;
    const normalised = this.#normalised.get(id);
    return normalised?.hash === hash && normalised.projection === canonicalJson(project(live, intent));
  }

  async #live<T extends KubeObject>(desired: T, call: ApplyCall): Promise<T | undefined> {
    const found = await this.#find(desired, call);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- same kind and name, so the same type
    return found as T | undefined;
  }

  #find(desired: KubeObject, call: ApplyCall): Promise<KubeObject | undefined> | KubeObject | undefined {
    const { live } = call;
    if (live !== undefined) return live ?? undefined;
    const cache = this.#caches.get(kindOf(desired));
    if (!cache) {
      const { client } = this.#options;
      return orUndefined(client.get(client.catalog.of(desired), desired.metadata, callOptions(call)));
    }
    const unseen = this.#unseen.get(idOf(desired));
    if (unseen && this.#clock.monotonicMs() - unseen.at < believeMs) return unseen.object;
    return cache.get(desired.metadata);
  }

  #observe({ type, object, initial }: StoreEvent<KubeObject>): void {
    if (initial && this.#underWay.size === 0 && this.#unseen.size === 0) return;
    const id = idOf(object);
    this.#unseen.delete(id);
    const mark = this.#underWay.get(id);
    if (mark) mark.overtaken = true;
    if (type === 'deleted') {
      this.#normalised.delete(id);
      this.#statusHashes.delete(id);
    }
  }

  #marked<T extends KubeObject>(wanted: T, text: string): T {
    const annotations = { ...wanted.metadata.annotations, [this.#annotation]: text };
    return { ...wanted, metadata: { ...wanted.metadata, annotations } };
  }
}

function idOf(object: KubeObject): string {
  return `${kindOf(object)}/${keyOf(object)}`;
}

function ownFields(status: unknown, { owns }: StatusCall): unknown {
  if (!owns || typeof status !== 'object' || status === null) return status;
  return Object.fromEntries(Object.entries(status).filter(([field]) => owns(field)));
}

function callOptions({ signal, deadlineMs }: CallOptions): CallOptions {
  return { signal, deadlineMs };
}

/** `stringData` is write-only: as `data` it can be compared. */
function normaliseSecret<T extends KubeObject>(object: T): T {
  const { stringData, ...rest } = object;
  if (object.kind !== 'Secret' || typeof stringData !== 'object' || stringData === null) return object;
  const encoded = Object.entries(stringData).map(([name, text]) => [
    name,
    Buffer.from(String(text)).toString('base64'),
  ]);
  const data = typeof rest['data'] === 'object' ? rest['data'] : {};
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- still a Secret, less one optional field
  return { ...rest, data: { ...data, ...Object.fromEntries(encoded) } } as unknown as T;
}
