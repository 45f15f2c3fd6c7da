/** A signal that fires when somebody has changed what an object asks for, so that long work can give way. */
import type { KubeObject } from '#kernel/object.ts';
import type { StoreEvent } from '#kernel/reflector.ts';
import { specChanged } from '#kernel/source.ts';

interface Watched {
  subscribe(handler: (event: StoreEvent<KubeObject>) => void): Disposable;
}

export interface Unchanged extends Disposable {
  readonly signal: AbortSignal;
}

export function whileUnchanged(cache: Watched, { metadata }: KubeObject): Unchanged {
  const changed = new AbortController();
  const subscription = cache.subscribe(event => {
    const { object, initial, type } = event;
    if (object.metadata.uid !== metadata.uid) return;
    // What is replayed shows whether something changed between the look and now.
    const news = initial
      ? object.metadata.generation !== metadata.generation ||
        object.metadata.deletionTimestamp !== metadata.deletionTimestamp
      : type === 'deleted' || specChanged(event);
    if (news) changed.abort(new Error('what is wanted has changed'));
  });
  return { signal: changed.signal, [Symbol.dispose]: () => subscription[Symbol.dispose]() };
}
