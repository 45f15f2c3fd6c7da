import { DatabaseError, type QueryResult } from 'pg';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import { AttemptError } from './attempt.ts';
import type { ScatterOptions } from './client.ts';
import { Deadline } from './deadline.ts';
import { ShardError, UnknownOutcomeError } from './errors.ts';
import { gather } from './scatter.ts';
import type { Target } from './shard-pools.ts';

const read = 'SELECT count(*) AS n FROM t';
const write = 'UPDATE t SET n = n + 1';

function refused(): DatabaseError {
  const error = new DatabaseError('division by zero', 7, 'error');
  error.code = '22012';
  return error;
}

/** Three shards that answer as `script` says, by shard and number of the call to it. */
function setUp(script: (shard: string, call: number, deadline: Deadline) => Promise<unknown> | undefined) {
  const clock = new FakeClock();
  const log: string[] = [];
  const calls = new Map<string, number>();
  let running = 0;
  let most = 0;
  const executor = {
    async run(
      { shard, generation }: Target,
      _statement: unknown,
      deadline: Deadline,
    ): Promise<QueryResult<never>> {
      const call = (calls.get(shard) ?? 0) + 1;
      calls.set(shard, call);
      log.push(`${shard} g${generation}`);
      most = Math.max(most, ++running);
      try {
        await (script(shard, call, deadline) ?? new Promise(resolve => setImmediate(resolve)));
      } finally {
        running--;
      }
      return { rows: [], rowCount: call, command: 'SELECT', oid: 0, fields: [] };
    },
  };
  let generation = 1;
  const targets = () =>
    ['a-0', 'a-1', 'a-2'].map((shard): Target => ({ shard, access: 'write', generation }));
  const scatter = async (sql: string, options: ScatterOptions = {}) => {
    const deadline = Deadline.of(options, 10_000, clock);
    const outcome = gather(sql, options, deadline, {
      executor,
      targets,
      mapVersion: () => generation,
      nextMap: () => Promise.resolve(++generation > 0),
      isPassing: () => false,
      isFinal: () => Promise.resolve(true),
      hooks: {},
      random: () => 0,
      isReadOnly: () => false,
    }).then(
      parts => ({ shards: parts.map(part => part.shard), error: undefined as unknown }),
      (error: unknown) => ({ shards: [], error }),
    );
    for (let step = 0; step < 30; step++) await clock.advance(500);
    return outcome;
  };
  return { scatter, log, most: () => most };
}

const targetOf = (shard: string): Target => ({ shard, access: 'write', generation: 1 });
const stale = (shard: string) =>
  Promise.reject(new AttemptError(targetOf(shard), 'stale', false, new Error('generation')));
const lost = (shard: string) =>
  Promise.reject(new AttemptError(targetOf(shard), 'broken', true, new Error('reset')));

describe('a scatter', () => {
  it('asks all shards at once and answers in their order', async () => {
    const { scatter, most } = setUp(() => undefined);
    expect(await scatter(read)).toEqual({ shards: ['a-0', 'a-1', 'a-2'], error: undefined });
    expect(most()).toBe(3);
  });

  it('asks one after the other, or few at a time, when told', async () => {
    const one = setUp(() => undefined);
    await one.scatter(read, { strategy: 'sequential' });
    expect([one.most(), one.log]).toEqual([1, ['a-0 g1', 'a-1 g1', 'a-2 g1']]);
    const two = setUp(() => undefined);
    await two.scatter(read, { concurrency: 2 });
    expect(two.most()).toBe(2);
  });

  it('starts over as a whole when one shard is stale: all answers are of one map', async () => {
    const { scatter, log } = setUp((shard, call) =>
      shard === 'a-2' && call === 1 ? stale(shard) : undefined,
    );
    expect((await scatter(read)).shards).toEqual(['a-0', 'a-1', 'a-2']);
    expect(log.slice(-3)).toEqual(['a-0 g2', 'a-1 g2', 'a-2 g2']);
  });

  it('cancels the others when a read has to start over', async () => {
    let cancelled = 0;
    const { scatter } = setUp((shard, call, deadline) => {
      if (call > 1) return undefined;
      if (shard === 'a-0') return stale(shard);
      return new Promise((_resolve, reject) => {
        deadline.onOver(() => {
          cancelled++;
          reject(deadline.reason());
        });
      });
    });
    expect((await scatter(read)).shards).toHaveLength(3);
    expect(cancelled).toBe(2);
  });

  it('does not start a write over once a shard may have done it, and says which did', async () => {
    const { scatter, log } = setUp((shard, call) =>
      shard === 'a-1' && call === 1 ? stale(shard) : undefined,
    );
    const { error } = await scatter(write);
    expect(error).toBeInstanceOf(ShardError);
    expect(error).toMatchObject({ shards: ['a-1'], succeeded: ['a-0', 'a-2'] });
    expect(log).toHaveLength(3);
  });

  it('starts a write over when no shard did it, and when repeating is harmless', async () => {
    const none = setUp((shard, call) => (call === 1 ? stale(shard) : undefined));
    expect((await none.scatter(write)).shards).toHaveLength(3);
    const harmless = setUp((shard, call) => (shard === 'a-1' && call === 1 ? lost(shard) : undefined));
    expect((await harmless.scatter(write, { idempotent: true })).shards).toHaveLength(3);
  });

  it('says for which shard a write’s outcome is unknown', async () => {
    const { scatter } = setUp(shard => (shard === 'a-1' ? lost(shard) : undefined));
    const { error } = await scatter(write);
    expect(error).toMatchObject({ shards: ['a-1'], succeeded: ['a-0', 'a-2'] });
    expect(error instanceof ShardError && error.causes.get('a-1')).toBeInstanceOf(UnknownOutcomeError);
  });

  it('names the shard whose server refused', async () => {
    const { scatter } = setUp(shard =>
      shard === 'a-1'
        ? Promise.reject(new AttemptError(targetOf(shard), 'final', false, refused()))
        : undefined,
    );
    const { error } = await scatter(read);
    expect(error).toMatchObject({
      code: 'Shard',
      shards: ['a-1'],
      message: expect.stringContaining('division by zero'),
    });
  });

  it('gives up after as many retries as were allowed', async () => {
    const { scatter, log } = setUp(shard => (shard === 'a-1' ? stale(shard) : undefined));
    const { error } = await scatter(read, { retries: 2 });
    expect(error).toMatchObject({ shards: ['a-1'] });
    expect(log.filter(line => line.startsWith('a-1'))).toHaveLength(3);
  });

  it('passes on what is wrong with the call itself', async () => {
    const { scatter } = setUp(() => Promise.reject(new TypeError('cyclic parameter')));
    expect((await scatter(read)).error).toBeInstanceOf(TypeError);
  });
});
