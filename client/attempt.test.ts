import { DatabaseError } from 'pg';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import { AttemptError, judge, type RepeatContext, repeat } from './attempt.ts';
import { NotSentError, type Verdict } from './classify.ts';
import { InterruptedError } from './connection.ts';
import { Deadline } from './deadline.ts';
import {
  DeadlineError,
  ReadOnlyShardError,
  ShardUnreachableError,
  StatementError,
  UnknownOutcomeError,
} from './errors.ts';
import type { Target } from './shard-pools.ts';

function refused(code: string): DatabaseError {
  const error = new DatabaseError('refused', 7, 'error');
  error.code = code;
  error.severity = 'ERROR';
  return error;
}

function setUp(over: Partial<RepeatContext> = {}) {
  const clock = new FakeClock();
  const refreshes: boolean[] = [];
  const retries: number[] = [];
  const context: RepeatContext = {
    mapVersion: () => 1,
    nextMap: async (_version, ms, deadline, whole) => {
      refreshes.push(whole);
      await deadline.pause(ms);
      return false;
    },
    isPassing: () => false,
    isFinal: () => Promise.resolve(true),
    hooks: { onRetry: ({ attempt }) => retries.push(attempt) },
    random: () => 0,
    isReadOnly: () => false,
    ...over,
  };
  /** Fails with each error in turn, then succeeds. */
  function run(
    errors: readonly unknown[],
    { harmless = false, timeoutMs = 60_000, signal = undefined as AbortSignal | undefined } = {},
  ) {
    const deadline = Deadline.of({ timeoutMs, ...(signal === undefined ? {} : { signal }) }, 0, clock);
    let tries = 0;
    const outcome = repeat({ deadline, harmless: () => harmless }, context, () => {
      const error = errors[tries++];
      return error === undefined ? Promise.resolve('done') : Promise.reject(error);
    });
    return outcome.then(
      value => ({ value, tries, error: undefined as unknown }),
      (error: unknown) => ({ value: undefined, tries, error }),
    );
  }
  async function through<T>(promise: Promise<T>): Promise<T> {
    for (let second = 0; second < 120; second++) await clock.advance(1000);
    return promise;
  }
  return { clock, context, refreshes, retries, run, through };
}

const target: Target = { shard: 'social-1', access: 'write', generation: 1 };

function afterSessionEnded(error: unknown, sent: boolean): unknown {
  return judge(target, error, { sent, sessionEnded: true });
}

const attempt = (verdict: Verdict, cause: unknown = new Error('lost')) =>
  new AttemptError(target, verdict, verdict === 'broken', cause);

describe('repeat', () => {
  it.each(['stale', 'password', 'away', 'conflict'] as const)(
    'tries again what took no effect: %s',
    async verdict => {
      const { run, through, retries } = setUp();
      const outcome = await through(run([attempt(verdict), attempt(verdict)]));
      expect(outcome).toMatchObject({ value: 'done', tries: 3 });
      expect(retries).toEqual([1, 2]);
    },
  );

  it('tries again what may have taken effect only where that is harmless', async () => {
    const { run, through } = setUp();
    expect(await through(run([attempt('broken')], { harmless: true }))).toMatchObject({ value: 'done' });
    const { error, tries } = await through(run([attempt('broken')]));
    expect(error).toBeInstanceOf(UnknownOutcomeError);
    expect(error).toMatchObject({ shards: ['social-1'], cause: new Error('lost') });
    expect(tries).toBe(1);
  });

  it('gives the server’s final word at once', async () => {
    const { run, through, refreshes } = setUp();
    const { error, tries } = await through(run([attempt('final', refused('23505'))]));
    expect(error).toBeInstanceOf(StatementError);
    expect([tries, refreshes]).toEqual([1, []]);
  });

  it('asks for the map, whole after a while, and believes a refusal that no map explains', async () => {
    const { run, through, refreshes } = setUp();
    const stale = Array.from({ length: 50 }, () => attempt('stale', refused('42501')));
    const { error, tries } = await through(run(stale));
    expect(error).toMatchObject({ code: 'Statement', sqlState: '42501' });
    expect(tries).toBe(9);
    expect(refreshes).toEqual([...Array.from({ length: 8 }, () => false), true]);
  });

  it('waits for the map for as long as the call may last when its login is closed', async () => {
    const { run, through } = setUp({ isFinal: () => Promise.resolve(false) });
    const refusals = Array.from({ length: 20 }, (_, n) => attempt(n % 2 === 0 ? 'stale' : 'password'));
    expect(await through(run(refusals))).toMatchObject({ value: 'done', tries: 21 });
  });

  it('first waits for milliseconds only: a fence is followed by its map at once', async () => {
    const waits: number[] = [];
    const { run, through } = setUp({
      nextMap: async (_version, ms) => {
        waits.push(ms);
        return false;
      },
    });
    await through(run(Array.from({ length: 6 }, () => attempt('stale'))));
    expect(waits).toEqual([2, 4, 8, 16, 32, 64]);
  });

  it('leaves a shard alone whose change was announced, until its map is there', async () => {
    const pauses: number[] = [];
    const { run } = setUp({
      isPassing: ({ generation }) => generation === 1,
      nextMap: (_version, ms) => {
        pauses.push(ms);
        return Promise.resolve(true);
      },
    });
    const passing = new AttemptError(target, 'stale', false, refused('42501'));
    const other = new AttemptError({ ...target, generation: 2 }, 'stale', false, refused('42501'));
    expect(await run([passing, other])).toMatchObject({ value: 'done' });
    expect(pauses[0]).toBeGreaterThanOrEqual(100);
    expect(pauses[1]).toBeLessThan(100);
  });

  it('goes on for as long as the map keeps changing, without a pause', async () => {
    const { run, clock } = setUp({ nextMap: () => Promise.resolve(true) });
    const stale = Array.from({ length: 20 }, () => attempt('stale', refused('42501')));
    expect(await run(stale)).toMatchObject({ value: 'done', tries: 21 });
    expect(clock.monotonicMs()).toBe(0);
  });

  it('does not begin again what must not be, even where nothing took effect', async () => {
    const { clock, context } = setUp();
    const deadline = Deadline.of(undefined, 1000, clock);
    const outcome = repeat({ deadline, harmless: () => true, mayRepeat: () => false }, context, () =>
      Promise.reject(attempt('stale', refused('42501'))),
    );
    await expect(outcome).rejects.toBeInstanceOf(StatementError);
  });

  it('names the shard when time is over', async () => {
    const { run, through } = setUp();
    const away = Array.from({ length: 1000 }, () => attempt('away'));
    const { error } = await through(run(away, { timeoutMs: 3000 }));
    expect(error).toBeInstanceOf(ShardUnreachableError);
    const slow = await through(run([attempt('away'), new DeadlineError(3000)]));
    expect(slow.error).toBeInstanceOf(ShardUnreachableError);
  });

  it('gives the caller’s own reason back', async () => {
    const { run, through } = setUp();
    const abort = new AbortController();
    abort.abort(new RangeError('enough'));
    const { error } = await through(run([attempt('away')], { signal: abort.signal }));
    expect(error).toEqual(new RangeError('enough'));
  });

  it('says that a shard takes no writes when the map does', async () => {
    const { run, through } = setUp({ isReadOnly: shard => shard === 'social-1' });
    const { error, tries } = await through(run([attempt('stale', refused('42501'))]));
    expect(error).toBeInstanceOf(ReadOnlyShardError);
    expect(tries).toBe(1);
    expect(await through(run([attempt('away', new Error('refused'))]))).toMatchObject({ value: 'done' });
  });
});

describe('judge', () => {
  it('keeps errors that are not about a server as they are', () => {
    const local = new TypeError('cyclic');
    expect(judge(target, local, { sent: true, sessionEnded: false })).toBe(local);
    const late = new DeadlineError(5);
    expect(judge(target, late, { sent: false, sessionEnded: true })).toBe(late);
    expect(judge(target, new InterruptedError(true, late), { sent: true, sessionEnded: false })).toBe(late);
  });

  it('knows what may have taken effect', () => {
    expect(afterSessionEnded(new Error('reset'), true)).toMatchObject({ verdict: 'broken', uncertain: true });
    expect(afterSessionEnded(new InterruptedError(false, 'late'), true)).toMatchObject({ uncertain: true });
    expect(afterSessionEnded(new Error('reset'), false)).toMatchObject({ verdict: 'away', uncertain: false });
    expect(afterSessionEnded(new NotSentError('no session'), false)).toMatchObject({
      verdict: 'away',
      uncertain: false,
    });
    expect(afterSessionEnded(refused('42501'), true)).toMatchObject({ verdict: 'stale', uncertain: false });
  });
});
