/** What makes a controller run: changes of cached objects, turned into the names of what to reconcile. */
import type { KubeObject, ObjectMeta } from '#kernel/object.ts';
import { priorities } from '#kernel/queue.ts';
import type { Reflector, StoreEvent } from '#kernel/reflector.ts';

/** What to reconcile: a name, never an event. `namespace` is empty for a cluster-scoped kind. */
export interface Request {
  readonly namespace: string;
  readonly name: string;
}

export type Enqueue = (request: Request, priority: number) => void;

/** A kind that a controller watches, whatever the type of its objects. Made by {@link watching}. */
export interface Source {
  /** Enqueues for what is there already, then for each change. */
  subscribe(enqueue: Enqueue): Disposable;
  /** Enqueues, at low priority, for what is there. */
  resync(enqueue: Enqueue): void;
}

export interface SourceOptions<T extends KubeObject> {
  readonly reflector: Reflector<T>;
  readonly map: (event: StoreEvent<T>) => readonly Request[];
  /** Events for which it is false are not mapped; default: all are. */
  readonly predicate?: (event: StoreEvent<T>) => boolean;
  /** Default normal. Initial events and resyncs are low whatever is said here. */
  readonly priority?: (event: StoreEvent<T>) => number;
}

export function watching<T extends KubeObject>(options: SourceOptions<T>): Source {
  const { reflector, map, predicate, priority } = options;
  const enqueueFor = (event: StoreEvent<T>, enqueue: Enqueue) => {
    if (predicate && !predicate(event)) return;
    const level = event.initial ? priorities.low : (priority?.(event) ?? priorities.normal);
    for (const request of map(event)) enqueue(request, level);
  };
  return {
    subscribe: enqueue => reflector.subscribe(event => enqueueFor(event, enqueue)),
    resync(enqueue) {
      for (const object of reflector.values()) enqueueFor({ type: 'added', object, initial: true }, enqueue);
    },
  };
}

/** Maps an object to its own name. */
export function toSelf(event: StoreEvent<KubeObject>): Request[] {
  return [requestFor(event.object.metadata)];
}

/** Maps an object to the owner of that kind which controls it. */
export function toController(kind: string): (event: StoreEvent<KubeObject>) => Request[] {
  return ({ object }) => {
    const owner = object.metadata.ownerReferences?.find(each => each.controller && each.kind === kind);
    return owner ? [{ namespace: object.metadata.namespace ?? '', name: owner.name }] : [];
  };
}

/** Maps an object to the name in one of its labels, in its namespace. A label that changed wakes both. */
export function toLabel(label: string): (event: StoreEvent<KubeObject>) => Request[] {
  return ({ object, old }) => {
    const names = new Set([object.metadata.labels?.[label], old?.metadata.labels?.[label]]);
    return [...names].flatMap(name => (name ? [{ namespace: object.metadata.namespace ?? '', name }] : []));
  };
}

/** True unless only the status changed: for a controller's own kind, whose status it writes itself. */
export function specChanged({ type, object, old }: StoreEvent<KubeObject>): boolean {
  if (type !== 'modified' || !old) return true;
  const [now, before] = [object.metadata, old.metadata];
  return (
    now.generation === undefined ||
    now.generation !== before.generation ||
    now.deletionTimestamp !== before.deletionTimestamp ||
    !sameEntries(now.annotations, before.annotations) ||
    !sameEntries(now.labels, before.labels) ||
    now.finalizers?.join() !== before.finalizers?.join()
  );
}

function requestFor(metadata: ObjectMeta): Request {
  return { namespace: metadata.namespace ?? '', name: metadata.name };
}

function sameEntries(
  a: Readonly<Record<string, string>> = {},
  b: Readonly<Record<string, string>> = {},
): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key]);
}
