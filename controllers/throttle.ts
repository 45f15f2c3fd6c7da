/**
 * A source whose events of one name are gathered for a moment: a parent that sums up its children must not do so once per
 * child and event, which would be quadratic while a large fleet comes up.
 */
import type { Clock } from '#kernel/clock.ts';
import { formatKey } from '#kernel/object.ts';
import type { Enqueue, Request, Source } from '#kernel/source.ts';

/** `delayMs` is asked for each name when the first event of a batch comes. */
export function throttled(source: Source, clock: Clock, delayMs: (request: Request) => number): Source {
  return {
    subscribe(enqueue: Enqueue): Disposable {
      const waiting = new Map<string, { priority: number; timer: Disposable }>();
      const subscription = source.subscribe((request, priority) => {
        const key = formatKey(request);
        const batch = waiting.get(key);
        if (batch) {
          batch.priority = Math.max(batch.priority, priority);
          return;
        }
        const timer = clock.after(delayMs(request), () => {
          const level = waiting.get(key)?.priority ?? priority;
          waiting.delete(key);
          enqueue(request, level);
        });
        waiting.set(key, { priority, timer });
      });
      return {
        [Symbol.dispose]() {
          subscription[Symbol.dispose]();
          for (const { timer } of waiting.values()) timer[Symbol.dispose]();
          waiting.clear();
        },
      };
    },
    resync: enqueue => source.resync(enqueue),
  };
}
