import { expect, test } from 'vitest';
import type { Enqueue, Request, Source } from '#kernel/source.ts';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import { throttled } from './throttle.ts';

const request = (name: string): Request => ({ namespace: 'default', name });

function setUp(delayMs: (of: Request) => number) {
  const clock = new FakeClock();
  const woken: string[] = [];
  const listening: Enqueue[] = [];
  const source: Source = {
    subscribe(enqueue) {
      listening.push(enqueue);
      return { [Symbol.dispose]: () => undefined };
    },
    resync: enqueue => enqueue(request('all'), 0),
  };
  const gathered = throttled(source, clock, delayMs);
  const enqueue: Enqueue = ({ name }, priority) => woken.push(`${name} ${priority}`);
  const event = (name: string, priority = 1): void => {
    for (const each of listening) each(request(name), priority);
  };
  return { clock, woken, gathered, enqueue, event };
}

test('events of one name are one, of the highest priority; another name does not wait for it', async () => {
  const { clock, woken, gathered, enqueue, event } = setUp(({ name }) => (name === 'slow' ? 100 : 0));
  using _ = gathered.subscribe(enqueue);
  event('slow');
  event('slow', 2);
  event('fast');
  await clock.advance(50);
  expect(woken).toEqual(['fast 1']);
  event('slow');
  await clock.advance(50);
  expect(woken).toEqual(['fast 1', 'slow 2']);
  event('slow');
  await clock.advance(100);
  expect(woken).toEqual(['fast 1', 'slow 2', 'slow 1']);
});

test('looking again at everything waits for nothing, and what nobody listens to any more is let go', async () => {
  const { clock, woken, gathered, enqueue, event } = setUp(() => 100);
  gathered.resync(enqueue);
  expect(woken).toEqual(['all 0']);
  const subscription = gathered.subscribe(enqueue);
  event('slow');
  subscription[Symbol.dispose]();
  await clock.advance(200);
  expect([woken, clock.pending]).toEqual([['all 0'], 0]);
});
