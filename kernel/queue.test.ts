import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { priorities, WorkQueue } from '#kernel/queue.ts';
import { FakeClock } from '#kernel/testing/fake-clock.ts';

function newQueue(backoff = { baseMs: 100, maxMs: 10_000 }) {
  const clock = new FakeClock();
  // The middle of the jitter would hide a wrong sign; 0 gives the full back-off.
  const queue = new WorkQueue({ clock, random: () => 0, backoff });
  return { clock, queue };
}

/** What is due now, in order. */
async function drain(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = [];
  while (queue.sizes.ready > 0) {
    const key = await queue.take();
    if (key === undefined) break;
    keys.push(key);
    queue.done(key);
  }
  return keys;
}

describe('order', () => {
  it('hands out in the order of arrival, each key once', async () => {
    const { queue } = newQueue();
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    expect(await drain(queue)).toEqual(['a', 'b', 'c']);
  });

  it('hands out higher priorities first, and lifts a waiting key', async () => {
    const { queue } = newQueue();
    queue.add('low', priorities.low);
    queue.add('lifted', priorities.low);
    queue.add('normal');
    queue.add('high', priorities.high);
    queue.add('lifted', priorities.high);
    queue.add('high', priorities.low);
    expect(await drain(queue)).toEqual(['lifted', 'high', 'normal', 'low']);
  });

  it('wakes a waiting taker', async () => {
    const { queue } = newQueue();
    const taken = queue.take();
    queue.add('a');
    expect(await taken).toBe('a');
  });
});

describe('one at a time', () => {
  it('runs again afterwards what was added while it ran', async () => {
    const { queue } = newQueue();
    queue.add('a');
    await queue.take();
    queue.add('a');
    queue.add('a');
    expect(queue.sizes).toEqual({ ready: 0, delayed: 0, running: 1 });
    queue.done('a');
    expect(await drain(queue)).toEqual(['a']);
    expect(queue.sizes).toEqual({ ready: 0, delayed: 0, running: 0 });
  });

  it('runs again at the earliest of the times asked for while it ran', async () => {
    const { queue, clock } = newQueue();
    queue.add('a');
    await queue.take();
    queue.addAfter('a', 1000);
    queue.addAfter('a', 5000);
    queue.done('a');
    await clock.advance(1000);
    expect(await drain(queue)).toEqual(['a']);
  });

  it('refuses to end what was not taken', () => {
    const { queue } = newQueue();
    queue.add('a');
    expect(() => queue.done('a')).toThrow('a was not taken');
  });
});

describe('delays', () => {
  it('becomes due at its time', async () => {
    const { queue, clock } = newQueue();
    queue.addAfter('late', 2000);
    queue.addAfter('soon', 1000);
    await clock.advance(999);
    expect(queue.sizes.ready).toBe(0);
    await clock.advance(1);
    expect(await drain(queue)).toEqual(['soon']);
    await clock.advance(1000);
    expect(await drain(queue)).toEqual(['late']);
  });

  it('keeps the earliest of several times, and an add makes it due now', async () => {
    const { queue, clock } = newQueue();
    queue.addAfter('a', 5000);
    queue.addAfter('a', 1000);
    queue.addAfter('a', 9000);
    await clock.advance(1000);
    expect(await drain(queue)).toEqual(['a']);
    queue.addAfter('b', 5000);
    queue.add('b');
    expect(await drain(queue)).toEqual(['b']);
    await clock.advance(10_000);
    expect(await drain(queue)).toEqual([]);
  });

  it('holds one timer however many keys wait', () => {
    const { queue, clock } = newQueue();
    for (let index = 0; index < 1000; index++) queue.addAfter(`key-${index}`, 1000 + index);
    expect(clock.pending).toBe(1);
  });
});

describe('back-off', () => {
  it('doubles per key up to the limit, and starts over once forgotten', () => {
    const { queue } = newQueue({ baseMs: 100, maxMs: 1000 });
    expect([1, 2, 3, 4, 5, 6].map(() => queue.retry('a'))).toEqual([100, 200, 400, 800, 1000, 1000]);
    expect(queue.retry('b')).toBe(100);
    queue.forget('a');
    expect(queue.retry('a')).toBe(100);
  });

  it('waits at least as long as asked', () => {
    const { queue } = newQueue();
    expect(queue.retry('a', 7000)).toBe(7000);
  });

  it('stays finite after very many failures', () => {
    const { queue } = newQueue({ baseMs: 100, maxMs: 1000 });
    for (let failure = 0; failure < 2000; failure++) queue.retry('a');
    expect(queue.retry('a')).toBe(1000);
  });
});

describe('stop', () => {
  it('releases takers, drops what waits and ends with the last one running', async () => {
    const { queue, clock } = newQueue();
    queue.add('running');
    await queue.take();
    queue.add('running');
    const waiting = queue.take();
    queue.addAfter('later', 1000);
    let drained = false;
    const stopped = queue.stop().finally(() => {
      drained = true;
    });
    expect(await waiting).toBeUndefined();
    await clock.advance(5000);
    expect(drained).toBe(false);
    queue.done('running');
    await stopped;
    expect(await queue.take()).toBeUndefined();
    expect(queue.sizes).toEqual({ ready: 0, delayed: 0, running: 0 });
    expect(clock.pending).toBe(0);
  });
});

describe('against a plain model', () => {
  interface Waiting {
    priority: number;
    turn: number;
    dueAt: number;
  }

  /** The same rules, slowly: a map that is searched each time. */
  class Model {
    readonly waiting = new Map<string, Waiting>();
    readonly running = new Map<string, Waiting | undefined>();
    turn = 0;

    get sizes() {
      const waiting = [...this.waiting.values()];
      const ready = waiting.filter(({ turn }) => turn >= 0).length;
      return { ready, delayed: waiting.length - ready, running: this.running.size };
    }

    add(key: string, now: number, delay: number, priority: number): void {
      const dueAt = now + delay;
      if (this.running.has(key)) {
        const again = this.running.get(key);
        this.running.set(key, {
          priority: Math.max(again?.priority ?? priority, priority),
          turn: 0,
          dueAt: Math.min(again?.dueAt ?? dueAt, dueAt),
        });
        return;
      }
      const old = this.waiting.get(key);
      if (!old) {
        this.waiting.set(key, { priority, turn: delay === 0 ? this.turn++ : -1, dueAt });
        return;
      }
      old.priority = Math.max(old.priority, priority);
      if (old.turn < 0 && dueAt < old.dueAt) old.dueAt = dueAt;
      if (old.turn < 0 && delay === 0) old.turn = this.turn++;
    }

    promote(now: number): void {
      const due = [...this.waiting.values()].filter(each => each.turn < 0 && each.dueAt <= now);
      for (const each of due.toSorted((a, b) => a.dueAt - b.dueAt)) each.turn = this.turn++;
    }

    /** Keys that may come next: those of the best priority, the first of them (ties in time may go either way). */
    take(): string | undefined {
      const ready = [...this.waiting].filter(([, each]) => each.turn >= 0);
      const [best] = ready.toSorted(([, a], [, b]) => b.priority - a.priority || a.turn - b.turn);
      if (!best) return undefined;
      this.waiting.delete(best[0]);
      this.running.set(best[0], undefined);
      return best[0];
    }

    done(key: string, now: number): void {
      const again = this.running.get(key);
      this.running.delete(key);
      if (again) this.waiting.set(key, { ...again, turn: again.dueAt <= now ? this.turn++ : -1 });
    }
  }

  const key = fc.constantFrom('a', 'b', 'c', 'd', 'e');
  const step = fc.oneof(
    fc.record({
      act: fc.constant('add' as const),
      key,
      // Distinct times: keys that fall due at the same instant may go in either order.
      delay: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 400 })),
      priority: fc.constantFrom(-100, 0, 100),
    }),
    fc.record({ act: fc.constant('take' as const) }),
    fc.record({ act: fc.constant('done' as const), which: fc.nat({ max: 4 }) }),
    fc.record({ act: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 300 }) }),
  );

  it('hands out the same keys, never one that is running', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async steps => {
        const { queue, clock } = newQueue();
        const model = new Model();
        // Fractions make every due time distinct.
        let fraction = 0;
        const taken: (string | undefined)[] = [];
        const expected: (string | undefined)[] = [];
        for (const action of steps) {
          const now = clock.monotonicMs();
          if (action.act === 'add') {
            const delay = action.delay === 0 ? 0 : action.delay + (fraction += 1 / 1024);
            queue.addAfter(action.key, delay, action.priority);
            model.add(action.key, now, delay, action.priority);
          } else if (action.act === 'take') {
            model.promote(now);
            expected.push(model.take());
            taken.push(queue.sizes.ready === 0 ? undefined : await queue.take());
          } else if (action.act === 'done') {
            const running = [...model.running.keys()][action.which];
            if (running === undefined) continue;
            queue.done(running);
            model.done(running, now);
          } else {
            await clock.advance(action.ms);
            model.promote(clock.monotonicMs());
          }
          expect(queue.sizes).toEqual(model.sizes);
        }
        expect(taken).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });
});

it('works through ten thousand keys in the order of their priority', async () => {
  const { queue, clock } = newQueue();
  for (let index = 0; index < 10_000; index++) {
    queue.addAfter(`key-${index}`, (index * 7919) % 1000, index % 3);
  }
  await clock.advance(1000);
  const order = (await drain(queue)).map(key => Number(key.slice(4)) % 3);
  expect(order).toHaveLength(10_000);
  expect(order).toEqual(order.toSorted((a, b) => b - a));
});
