import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import { Deadline } from './deadline.ts';
import { Pool, PoolDrainedError } from './pool.ts';

class FakeSession {
  closed = false;
  inTransaction = false;
  idleSinceMs = 0;
  onClosed: () => void = () => undefined;

  get reusable(): boolean {
    return !this.closed && !this.inTransaction;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.onClosed();
  }
}

function setUp(max = 2) {
  const clock = new FakeClock();
  const opened: FakeSession[] = [];
  let failure: Error | undefined;
  const pool = new Pool({
    open: async () => {
      await Promise.resolve();
      if (failure !== undefined) throw failure;
      const session = new FakeSession();
      opened.push(session);
      return session;
    },
    max,
    idleMs: 1000,
    clock,
  });
  const acquire = (timeoutMs = 5000) => pool.acquire(Deadline.of({ timeoutMs }, 0, clock));
  return { clock, pool, opened, acquire, fail: (error: Error | undefined) => (failure = error) };
}

describe('a pool', () => {
  it('opens what is needed, up to its limit, and hands over in turn', async () => {
    const { pool, opened, acquire } = setUp(2);
    const [first, second] = await Promise.all([acquire(), acquire()]);
    const order: string[] = [];
    const third = acquire().then(session => [order.push('third'), session] as const);
    const fourth = acquire().then(session => [order.push('fourth'), session] as const);
    expect(pool.counts).toEqual({ open: 2, idle: 0, waiting: 2 });
    pool.release(first);
    pool.release(second);
    expect((await third)[1]).toBe(first);
    expect((await fourth)[1]).toBe(second);
    expect([order, opened.length]).toEqual([['third', 'fourth'], 2]);
  });

  it('does not give out again what is broken or in a transaction, and replaces it for who waits', async () => {
    const { pool, opened, acquire } = setUp(1);
    const first = await acquire();
    const waiting = acquire();
    first.inTransaction = true;
    pool.release(first);
    expect(first.closed).toBe(true);
    const second = await waiting;
    expect(second).toBe(opened[1]);
    pool.release(second);
    second.close();
    expect(pool.counts).toEqual({ open: 0, idle: 0, waiting: 0 });
    expect(pool.take()).toBeUndefined();
  });

  it('tells one waiter of each failure to open; the others try for themselves', async () => {
    const { acquire, fail } = setUp(1);
    fail(new Error('refused'));
    const outcomes = await Promise.allSettled([acquire(), acquire(), acquire()]);
    expect(outcomes.map(outcome => outcome.status)).toEqual(['rejected', 'rejected', 'rejected']);
    fail(undefined);
    await expect(acquire()).resolves.toBeInstanceOf(FakeSession);
  });

  it('lets a waiter go when its time is over, and owes it nothing then', async () => {
    const { clock, pool, acquire } = setUp(1);
    const first = await acquire();
    const late = acquire(100).catch((error: unknown) => error);
    await clock.advance(100);
    expect(await late).toMatchObject({ code: 'Deadline' });
    pool.release(first);
    expect(pool.counts).toEqual({ open: 1, idle: 1, waiting: 0 });
  });

  it('closes what was idle for long, and not what is used', async () => {
    const { clock, pool, acquire } = setUp(2);
    const [first, second] = await Promise.all([acquire(), acquire()]);
    pool.release(first);
    pool.release(second);
    await clock.advance(600);
    expect(pool.take()).toBe(second);
    pool.release(second);
    await clock.advance(500);
    expect([first.closed, second.closed]).toEqual([true, false]);
    await clock.advance(1000);
    expect([second.closed, clock.pending]).toEqual([true, 0]);
  });

  it('opens few at a time, lets the first serve those who wait, and more only while it is slow', async () => {
    const clock = new FakeClock();
    const opening: ((session: FakeSession) => void)[] = [];
    const pool = new Pool<FakeSession>({
      open: () => new Promise(resolve => opening.push(resolve)),
      max: 10,
      idleMs: 1000,
      clock,
    });
    const served: FakeSession[] = [];
    const waiting = Array.from({ length: 6 }, async () => {
      const session = await pool.acquire(Deadline.of({ timeoutMs: 5000 }, 0, clock));
      served.push(session);
      pool.release(session);
    });
    expect(opening).toHaveLength(2);
    await clock.advance(5);
    expect(opening).toHaveLength(3);
    opening[0]?.(new FakeSession());
    await Promise.all(waiting);
    expect(new Set(served).size).toBe(1);
    await clock.advance(50);
    expect(opening).toHaveLength(3);
  });

  it('opens sessions ahead of need, and remembers how many were needed when their server ends them', async () => {
    const { pool, opened } = setUp(3);
    pool.prepare(2);
    pool.prepare(2);
    await new Promise(resolve => setImmediate(resolve));
    expect(pool.counts).toEqual({ open: 2, idle: 2, waiting: 0 });
    for (const session of opened) session.close();
    expect([pool.counts.open, pool.peak]).toEqual([0, 2]);
    pool.prepare(9);
    await new Promise(resolve => setImmediate(resolve));
    expect(pool.counts.open).toBe(3);
  });

  it('drains: no more sessions, and gone when the last came back', async () => {
    const { pool, acquire } = setUp(1);
    const session = await acquire();
    const waiting = acquire().catch((error: unknown) => error);
    let gone = false;
    const drained = pool.drain().then(() => (gone = true));
    expect(await waiting).toBeInstanceOf(PoolDrainedError);
    await expect(acquire()).rejects.toThrow(PoolDrainedError);
    expect([gone, session.closed]).toEqual([false, false]);
    pool.release(session);
    await drained;
    expect(session.closed).toBe(true);
  });

  it('never has more sessions than its limit, loses none, and leaves nobody waiting', async () => {
    const steps = fc.array(fc.constantFrom('acquire', 'release', 'break', 'fail', 'heal'), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 3 }), async (actions, max) => {
        const { pool, acquire, fail, opened } = setUp(max);
        const held: FakeSession[] = [];
        const pending: Promise<unknown>[] = [];
        for (const action of actions) {
          if (action === 'acquire') {
            pending.push(
              acquire().then(
                session => held.push(session),
                () => undefined,
              ),
            );
          }
          if (action === 'fail') fail(new Error('refused'));
          if (action === 'heal') fail(undefined);
          const session = action === 'release' || action === 'break' ? held.shift() : undefined;
          if (action === 'break') session?.close();
          if (session !== undefined) pool.release(session);
          await new Promise(resolve => setImmediate(resolve));
          expect(opened.filter(each => !each.closed).length).toBeLessThanOrEqual(max);
          expect(pool.counts.open).toBe(opened.filter(each => !each.closed).length);
        }
        fail(undefined);
        while (pool.counts.waiting > 0 || held.length > 0) {
          const session = held.shift();
          if (session !== undefined) pool.release(session);
          await new Promise(resolve => setImmediate(resolve));
        }
        await Promise.all(pending);
        expect(pool.counts.idle).toBe(pool.counts.open);
      }),
      { numRuns: 50 },
    );
  });
});
