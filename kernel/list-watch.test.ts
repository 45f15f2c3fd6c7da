/** Silence on a watch, against a scripted server and a clock that a test moves. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { expect, it, onTestFinished } from 'vitest';
import { eventually } from '#hack/api-test.ts';
import { KubeClient } from '#kernel/kube-client.ts';
import { silentLog } from '#kernel/log.ts';
import { Metrics } from '#kernel/metrics.ts';
import { Reflector } from '#kernel/reflector.ts';
import { ConfigMaps } from '#kernel/resources.ts';
import { FakeClock } from '#kernel/testing/fake-clock.ts';

interface OpenWatch {
  readonly query: URLSearchParams;
  readonly response: ServerResponse;
}

/** Lists nothing at version 10, and leaves each watch open for the test to write to. */
async function follow() {
  const watches: OpenWatch[] = [];
  let lists = 0;
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://localhost');
    if (searchParams.get('watch')) {
      response.flushHeaders();
      watches.push({ query: searchParams, response });
    } else {
      lists++;
      response.end(JSON.stringify({ items: [], metadata: { resourceVersion: '10' } }));
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const clock = new FakeClock();
  const client = new KubeClient({
    clock,
    auth: {
      server: new URL(`http://127.0.0.1:${port}`),
      namespace: 'default',
      credentials: () => Promise.resolve({ tls: {}, headers: {} }),
    },
  });
  const metrics = new Metrics();
  const reflector = new Reflector({
    client,
    resource: ConfigMaps,
    clock,
    random: () => 0,
    log: silentLog,
    metrics,
  });
  const stop = new AbortController();
  const done = reflector.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await done;
    client.close();
    server.closeAllConnections();
    server.close();
  });
  const nthWatch = (n: number) => eventually(() => watches[n - 1], 5000);
  return { clock, reflector, metrics, watches, nthWatch, lists: () => lists };
}

const bookmark = `${JSON.stringify({
  type: 'BOOKMARK',
  object: { kind: 'ConfigMap', apiVersion: 'v1', metadata: { resourceVersion: '77' } },
})}\n`;

it('opens a watch again from the last bookmark when bookmarks stop coming', async () => {
  const { clock, reflector, nthWatch, lists } = await follow();
  const first = await nthWatch(1);
  expect(first.query.get('resourceVersion')).toBe('10');
  expect(first.query.get('timeoutSeconds')).toBe('300');
  await clock.advance(60_000);
  first.response.write(bookmark);
  await eventually(() => reflector.stalenessMs === 0 || undefined, 5000);
  await clock.advance(149_000);
  expect(reflector.stalenessMs).toBe(149_000);
  await clock.advance(2000);
  const second = await nthWatch(2);
  expect(second.query.get('resourceVersion')).toBe('77');
  expect(lists()).toBe(1);
});

it('leaves a quiet watch alone on a server that sends no bookmarks, until its promised end is over', async () => {
  const { clock, watches, nthWatch } = await follow();
  await nthWatch(1);
  await clock.advance(310_000);
  expect(watches).toHaveLength(1);
  await clock.advance(10_000);
  expect((await nthWatch(2)).query.get('resourceVersion')).toBe('10');
});

it('does not hammer a server that ends every watch at once', async () => {
  const { clock, watches, nthWatch } = await follow();
  (await nthWatch(1)).response.end();
  // The back-off is set once the end has been noticed.
  await eventually(() => (clock.pending > 0 && watches.length === 1) || undefined, 5000);
  for (let n = 2; n <= 4; n++) {
    while (watches.length < n) await clock.advance(10);
    (await nthWatch(n)).response.end();
  }
  expect(clock.monotonicMs()).toBeGreaterThan(250);
});
