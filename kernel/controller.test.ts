import { afterEach, describe, expect, it } from 'vitest';
import { Controller, type ControllerOptions, type Reconcile } from '#kernel/controller.ts';
import { TooManyRequestsError } from '#kernel/errors.ts';
import { Metrics } from '#kernel/metrics.ts';
import { priorities } from '#kernel/queue.ts';
import type { Enqueue, Request, Source } from '#kernel/source.ts';
import { TerminalError } from '#kernel/terminal-error.ts';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import { RecordingLog } from '#kernel/testing/recording-log.ts';

/** A source that a test drives by hand. */
class HandSource implements Source {
  readonly objects: Request[] = [];
  #enqueue: Enqueue | undefined;

  subscribe(enqueue: Enqueue): Disposable {
    this.#enqueue = enqueue;
    for (const object of this.objects) enqueue(object, priorities.low);
    return {
      [Symbol.dispose]: () => {
        this.#enqueue = undefined;
      },
    };
  }

  resync(enqueue: Enqueue): void {
    for (const object of this.objects) enqueue(object, priorities.low);
  }

  change(name: string): void {
    this.#enqueue?.({ namespace: 'ns', name }, priorities.normal);
  }

  get subscribed(): boolean {
    return this.#enqueue !== undefined;
  }
}

const stops: AbortController[] = [];

afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

function start(reconcile: Reconcile, options: Partial<ControllerOptions> = {}) {
  const clock = new FakeClock();
  const source = new HandSource();
  const log = new RecordingLog();
  const metrics = new Metrics();
  const runs: { name: string; at: number }[] = [];
  const controller = new Controller({
    name: 'test',
    sources: [source],
    log,
    metrics,
    clock,
    random: () => 0,
    resyncMs: 0,
    backoff: { baseMs: 100, maxMs: 1000 },
    ...options,
    reconcile: (request, context) => {
      runs.push({ name: request.name, at: clock.monotonicMs() });
      return reconcile(request, context);
    },
  });
  const stop = new AbortController();
  const fence = new AbortController();
  stops.push(stop);
  const done = controller.run({ stop: stop.signal, fence: fence.signal, graceMs: 5000 });
  return { clock, source, log, metrics, runs, controller, stop, fence, done };
}

async function results(metrics: Metrics): Promise<Record<string, number>> {
  const { values } = await metrics.reconcileTime.get();
  const counts = values.filter(({ metricName }) => metricName?.endsWith('_count'));
  return Object.fromEntries(counts.map(({ labels, value }) => [labels.result, value]));
}

describe('results', () => {
  it('waits for a change after a success', async () => {
    const { clock, source, runs, metrics } = start(async () => {});
    source.change('a');
    await clock.advance(3_600_000);
    expect(runs).toHaveLength(1);
    source.change('a');
    await clock.advance(0);
    expect(runs).toHaveLength(2);
    expect(await results(metrics)).toEqual({ success: 2 });
  });

  it('comes back after the time asked for', async () => {
    let first = true;
    const { clock, source, runs } = start(async () => {
      const answer = first ? { requeueAfterMs: 7000 } : undefined;
      first = false;
      return answer;
    });
    source.change('a');
    await clock.advance(60_000);
    expect(runs.map(({ at }) => at)).toEqual([0, 7000]);
  });

  it('backs off after errors of any kind, also thrown without await', async () => {
    const { clock, source, runs, log, metrics } = start(() => {
      throw new Error('boom');
    });
    source.change('a');
    await clock.advance(1500);
    expect(runs.map(({ at }) => at)).toEqual([0, 100, 300, 700, 1500]);
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(5);
    expect(await results(metrics)).toEqual({ error: 5 });
  });

  it('starts the back-off over after a success', async () => {
    let failing = true;
    const { clock, source, runs } = start(async () => {
      if (failing) throw new Error('boom');
    });
    source.change('a');
    await clock.advance(300);
    failing = false;
    await clock.advance(400);
    failing = true;
    source.change('a');
    await clock.advance(100);
    expect(runs.map(({ at }) => at)).toEqual([0, 100, 300, 700, 700, 800]);
  });

  it('waits as long as the server asks', async () => {
    const { clock, source, runs } = start(() =>
      Promise.reject(new TooManyRequestsError(429, {}, { verb: 'get', path: '/' }, 60_000)),
    );
    source.change('a');
    await clock.advance(60_000);
    expect(runs.map(({ at }) => at)).toEqual([0, 60_000]);
  });

  it('does not retry a terminal error until something changes, not even by a resync', async () => {
    const failure = new TerminalError('NoRegion', 'region mars has no node', 'Label a node.');
    const { clock, source, runs, metrics } = start(() => Promise.reject(failure), { resyncMs: 10_000 });
    source.objects.push({ namespace: 'ns', name: 'a' });
    source.change('a');
    await clock.advance(60_000);
    expect(runs).toHaveLength(1);
    source.change('a');
    await clock.advance(0);
    expect(runs).toHaveLength(2);
    expect(await results(metrics)).toEqual({ terminal: 2 });
  });

  it('looks at everything again at each resync', async () => {
    const { clock, source, runs } = start(async () => {}, { resyncMs: 10_000 });
    source.objects.push({ namespace: 'ns', name: 'a' });
    await clock.advance(35_000);
    expect(runs.map(({ at }) => at)).toEqual([10_000, 20_000, 30_000]);
  });
});

describe('concurrency', () => {
  it('runs different names at once, as many as it has workers, and one name never twice', async () => {
    let running = 0;
    let most = 0;
    const under = new Set<string>();
    const release: (() => void)[] = [];
    const { clock, source } = start(
      async ({ name }) => {
        expect(under.has(name)).toBe(false);
        under.add(name);
        most = Math.max(most, ++running);
        await new Promise<void>(resolve => release.push(resolve));
        running--;
        under.delete(name);
      },
      { workers: 3 },
    );
    for (const name of ['a', 'b', 'c', 'd', 'e']) source.change(name);
    await clock.advance(0);
    for (const name of ['a', 'b', 'c', 'd', 'e']) source.change(name);
    while (release.length > 0) {
      release.shift()?.();
      await clock.advance(0);
    }
    expect(most).toBe(3);
    expect(running).toBe(0);
  });
});

describe('deadline', () => {
  it('tells a reconcile that takes too long, and reports one that does not listen', async () => {
    let told = false;
    const { clock, source, controller } = start(
      (_request, { signal }) =>
        new Promise(() => {
          signal.addEventListener('abort', () => {
            told = true;
          });
        }),
      { deadlineMs: 1000 },
    );
    source.change('a');
    await clock.advance(999);
    expect(told).toBe(false);
    await clock.advance(1);
    expect(told).toBe(true);
    expect(controller.stuck()).toEqual([]);
    await clock.advance(3000);
    expect(controller.stuck()).toEqual(['ns/a']);
  });
});

describe('stop', () => {
  it('lets a reconcile finish within the grace, takes nothing new, and can run again', async () => {
    const running: (() => void)[] = [];
    const finish = () => running.shift()?.();
    const { clock, source, stop, done, runs, controller } = start(
      () =>
        new Promise(resolve => {
          running.push(resolve);
        }),
    );
    source.change('a');
    await clock.advance(0);
    stop.abort();
    await clock.advance(1000);
    expect(source.subscribed).toBe(true);
    source.change('b');
    finish();
    await done;
    expect(source.subscribed).toBe(false);
    expect(runs.map(({ name }) => name)).toEqual(['a']);

    const again = new AbortController();
    stops.push(again);
    source.objects.push({ namespace: 'ns', name: 'c' });
    void controller.run({ stop: again.signal });
    await clock.advance(0);
    expect(runs.map(({ name }) => name)).toEqual(['a', 'c']);
    finish();
  });

  it('aborts what is left after the grace, and at once when fenced', async () => {
    const abortedAt: number[] = [];
    const wait: Reconcile = (_request, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          abortedAt.push(0);
          reject(new Error('aborted'));
        });
      });
    const slow = start(wait);
    slow.source.change('a');
    await slow.clock.advance(0);
    slow.stop.abort();
    await slow.clock.advance(4999);
    expect(abortedAt).toHaveLength(0);
    await slow.clock.advance(1);
    await slow.done;
    expect(abortedAt).toHaveLength(1);

    const fenced = start(wait);
    fenced.source.change('a');
    await fenced.clock.advance(0);
    fenced.fence.abort();
    await fenced.done;
    expect(abortedAt).toHaveLength(2);
    expect(await results(fenced.metrics)).toEqual({ stopped: 1 });
  });
});

it('reports its queue and carries who and which in each log line', async () => {
  const { clock, source, log, metrics } = start(async (_request, context) => {
    context.log.info({}, 'looking');
    return { requeueAfterMs: 1000 };
  });
  source.change('a');
  await clock.advance(0);
  const line = log.lines.find(({ message }) => message === 'looking');
  expect(line?.fields).toMatchObject({ controller: 'test', namespace: 'ns', name: 'a' });
  expect(line?.fields['reconcileId']).toMatch(/^[0-9a-f]{8}$/);
  expect(await metrics.registry.metrics()).toContain(
    'shardwright_queue_depth{controller="test",state="delayed"} 1',
  );
});
