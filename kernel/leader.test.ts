import { afterEach, describe, expect, it } from 'vitest';
import { ConflictError, ConnectionError } from '#kernel/errors.ts';
import { LeaderElector, NotLeadingError } from '#kernel/leader.ts';
import type { LeaseStore } from '#kernel/lease-store.ts';
import { silentLog } from '#kernel/log.ts';
import type { Lease } from '#kernel/resources.ts';
import { FakeClock } from '#kernel/testing/fake-clock.ts';

const info = { verb: 'update', path: '/lease' };

/** A lease on a server with compare-and-swap, which can be cut off from one replica at a time. */
class FakeLease {
  lease: Lease | undefined;
  version = 0;
  readonly cutOff = new Set<string>();

  storeFor(identity: string): LeaseStore {
    const reach = async () => {
      if (this.cutOff.has(identity)) throw new ConnectionError('no route', info);
    };
    return {
      read: async () => {
        await reach();
        return structuredClone(this.lease);
      },
      write: async lease => {
        await reach();
        if (lease.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) {
          throw new ConflictError(409, {}, info);
        }
        this.version++;
        this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(this.version) } };
      },
    };
  }

  get holder(): string | undefined {
    return this.lease?.spec?.holderIdentity;
  }
}

const stops: AbortController[] = [];

afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

function replica(identity: string, lease: FakeLease, clock: FakeClock) {
  const elector = new LeaderElector({
    store: lease.storeFor(identity),
    identity,
    log: silentLog,
    clock,
    random: () => 0,
  });
  const stop = new AbortController();
  stops.push(stop);
  const state = { leads: 0, leading: false, fencedAt: undefined as number | undefined };
  const done = elector.run(stop.signal, fence => {
    state.leads++;
    state.leading = true;
    return new Promise(resolve => {
      const end = () => {
        state.leading = false;
        resolve();
      };
      stop.signal.addEventListener('abort', end);
      fence.addEventListener('abort', () => {
        state.fencedAt = clock.monotonicMs();
        end();
      });
    });
  });
  return { elector, stop, state, done };
}

function pair() {
  const clock = new FakeClock();
  const lease = new FakeLease();
  return { clock, lease, a: replica('a', lease, clock), b: replica('b', lease, clock) };
}

describe('hand-over', () => {
  it('has one leader, for as long as it renews', async () => {
    const { clock, lease, a, b } = pair();
    await clock.advance(120_000);
    expect(lease.holder).toBe('a');
    expect([a.state.leading, b.state.leading]).toEqual([true, false]);
    expect(a.state.leads).toBe(1);
  });

  it('gives the lease back on a stop, so that the other need not wait for it to expire', async () => {
    const { clock, lease, a, b } = pair();
    await clock.advance(5000);
    a.stop.abort();
    await a.done;
    expect(lease.holder).toBe('');
    await clock.advance(2500);
    expect(b.state.leading).toBe(true);
    expect(lease.lease?.spec?.leaseTransitions).toBe(1);
  });

  it('fences a leader that is cut off before another can lead', async () => {
    const { clock, lease, a, b } = pair();
    await clock.advance(4000);
    lease.cutOff.add('a');
    while (!b.state.leading) await clock.advance(500);
    expect(a.state.leading).toBe(false);
    expect(a.state.fencedAt).toBeLessThan(clock.monotonicMs());
    expect(() => a.elector.assertLeading()).toThrow(NotLeadingError);
    expect(lease.holder).toBe('b');
  });

  it('survives an outage shorter than its limit', async () => {
    const { clock, lease, a, b } = pair();
    await clock.advance(4000);
    lease.cutOff.add('a').add('b');
    await clock.advance(7000);
    lease.cutOff.clear();
    await clock.advance(60_000);
    expect([a.state.leads, b.state.leads]).toEqual([1, 0]);
    expect(a.state.fencedAt).toBeUndefined();
  });

  it('comes back as a follower after losing the lease', async () => {
    const { clock, lease, a, b } = pair();
    await clock.advance(4000);
    lease.cutOff.add('a');
    await clock.advance(30_000);
    lease.cutOff.delete('a');
    await clock.advance(30_000);
    expect([a.state.leading, b.state.leading]).toEqual([false, true]);
    b.stop.abort();
    await b.done;
    await clock.advance(3000);
    expect(a.state.leading).toBe(true);
  });
});

describe('fencing', () => {
  it('refuses writes after the process stood still, even before a timer could fire', async () => {
    const { clock, a } = pair();
    await clock.advance(4000);
    a.elector.assertLeading();
    clock.freeze(11_000);
    expect(() => a.elector.assertLeading()).toThrow(NotLeadingError);
  });

  it('ends at once when it sees that another holds the lease', async () => {
    const { clock, lease, a } = pair();
    await clock.advance(4000);
    const held = lease.lease;
    if (held?.spec) held.spec.holderIdentity = 'intruder';
    await clock.advance(2000);
    expect(a.state.fencedAt).toBeDefined();
    expect(a.elector.leading).toBe(false);
  });
});

it('refuses times that do not keep leaders apart', () => {
  const store = new FakeLease().storeFor('a');
  const options = { store, identity: 'a', log: silentLog };
  expect(() => new LeaderElector({ ...options, leaseMs: 10_000, renewWithinMs: 10_000 })).toThrow(RangeError);
});
