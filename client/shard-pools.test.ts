import { describe, expect, it } from 'vitest';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import { bumpGeneration } from '#sharding/change.ts';
import { sampleMaps } from '#sharding/testing/fixtures.ts';
import { CredentialStore } from './credentials.ts';
import { Deadline } from './deadline.ts';
import { PoolDrainedError } from './pool.ts';
import { type Access, ShardPools } from './shard-pools.ts';

const first = sampleMaps().even;

function setUp() {
  const clock = new FakeClock();
  const dialled: string[] = [];
  const pools = new ShardPools({
    database: 'app',
    credentials: new CredentialStore({ password: 'x' }),
    dial: ({ host }) => {
      dialled.push(host);
      return Promise.reject(new Error('nobody is there'));
    },
    tls: false,
    endpoint: undefined,
    applicationName: 'test',
    max: 3,
    idleMs: 1000,
    connectMs: 1000,
    hooks: {},
    clock,
    backgroundClock: clock,
  });
  pools.follow(first);
  return { clock, pools, dialled };
}

const target = (generation: number, shard = 'social-1', access: Access = 'write') => ({
  shard,
  access,
  generation,
});

describe('the pool of a target', () => {
  it('is of exactly the generation that the map in force names, never of a newer or an older one', () => {
    const { pools } = setUp();
    const old = pools.get(target(1));
    expect(pools.get(target(1))).toBe(old);
    pools.follow(bumpGeneration(first, 'social-1', 'write'));
    expect(() => pools.get(target(1))).toThrow(PoolDrainedError);
    expect(pools.get(target(2))).not.toBe(old);
    expect(() => pools.get(target(3))).toThrow(PoolDrainedError);
  });

  it('is not there for a shard that the map in force lacks', () => {
    expect(() => setUp().pools.get(target(1, 'social-9'))).toThrow(PoolDrainedError);
  });

  it('keeps readers apart from writers', () => {
    const { pools } = setUp();
    const writers = pools.get(target(1));
    const readers = pools.get(target(1, 'social-1', 'read'));
    pools.follow(bumpGeneration(first, 'social-1', 'read'));
    expect(pools.get(target(1))).toBe(writers);
    expect(() => pools.get(target(1, 'social-1', 'read'))).toThrow(PoolDrainedError);
    expect(pools.get(target(2, 'social-1', 'fallback'))).not.toBe(readers);
  });

  it('turns away whoever waited in the old one', async () => {
    const { clock, pools } = setUp();
    const waiting = pools.get(target(1)).acquire(Deadline.of({ timeoutMs: 100 }, 0, clock));
    pools.follow(bumpGeneration(first, 'social-1', 'write'));
    await expect(waiting).rejects.toBeInstanceOf(PoolDrainedError);
  });

  it('is passing from the moment that another generation is announced until a map names that', () => {
    const { pools, dialled } = setUp();
    pools.expect({ 'social-1': 2, 'social-9': 5 });
    expect([pools.isPassing(target(1)), pools.isPassing(target(1, 'social-2'))]).toEqual([true, false]);
    expect(pools.isPassing(target(1, 'social-1', 'read'))).toBe(false);
    expect(() => pools.get(target(2))).toThrow(PoolDrainedError);
    pools.follow(bumpGeneration(first, 'social-1', 'write'));
    expect([pools.isPassing(target(2)), dialled]).toEqual([false, []]);
    pools.expect({});
    expect(pools.isPassing(target(1))).toBe(false);
  });

  it('is opened for nobody where no session was in use', () => {
    const { pools, dialled } = setUp();
    pools.get(target(1));
    pools.follow(bumpGeneration(first, 'social-1', 'write'));
    expect(dialled).toEqual([]);
  });
});
