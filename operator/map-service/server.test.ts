/** The map service over real sockets on loopback, asked by plain HTTP and by the client library's own map source. */
import { createHash } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { realClock } from '#client/clock.ts';
import { dialDirectly } from '#client/dial.ts';
import { HttpMapSource } from '#client/map-source.ts';
import { createAuthority, issueCertificate } from '#controllers/pki/authority.ts';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import { addShards, bumpGeneration } from '#sharding/change.ts';
import { createMap } from '#sharding/create-map.ts';
import { applyDelta, digestOf, parseDelta } from '#sharding/delta.ts';
import type { ShardMap } from '#sharding/map.ts';
import { shardsPerPage } from '#sharding/page-ids.ts';
import { changedPages, fromPages, type MapPage, toPages } from '#sharding/pages.ts';
import { byRing, mapInput, newShards, sampleMaps } from '#sharding/testing/fixtures.ts';
import { move } from '#sharding/testing/moves.ts';
import { sameToken } from './map-pages.ts';
import { type MapService, type MapServiceOptions, startMapService } from './server.ts';
import { MemoryMapPages } from './testing/memory-map-pages.ts';

const token = 'the-token';
const path = '/v1/maps/demo/social';
const first = sampleMaps().even;
const second = bumpGeneration(first, 'social-1', 'write');

const moved = move(first, {
  partition: { kind: 'slots', slots: first.slots, ranges: [{ first: 0, last: 9 }] },
  from: 'social-0',
  to: 'social-1',
  side: 'write',
});

/** Some megabytes on the wire, other ones for each epoch. */
function bulky(epoch: number): ShardMap {
  const name = (ordinal: number): string =>
    createHash('shake256', { outputLength: 450_000 }).update(`${epoch} ${ordinal}`).digest('base64');
  const pages = [1, 2, 3, 4, 5, 6].map(page => page * shardsPerPage);
  return {
    ...addShards(
      first,
      pages.map(ordinal => ({ name: name(ordinal), ordinal })),
    ),
    epoch,
  };
}

/** Some of the pages of a change, over what was before. */
function mixed(before: readonly MapPage[], some: readonly MapPage[]): readonly MapPage[] {
  return before.map(page => some.find(({ id }) => id === page.id) ?? page);
}

const services: MapService[] = [];
afterEach(async () => {
  await Promise.all(services.splice(0).map(service => service.close()));
});

function allowed(given: string, namespace: string, cluster: string): boolean {
  return sameToken(given, token) && namespace === 'demo' && cluster !== 'other';
}

async function refusal(response: Response): Promise<Record<string, unknown>> {
  const body: Record<string, unknown> = Object.fromEntries(Object.entries((await response.json()) ?? {}));
  return { status: response.status, ...body };
}

async function start(options: Partial<MapServiceOptions> = {}) {
  const store = new MemoryMapPages();
  store.setMap(first);
  const service = await startMapService({ store, authorize: allowed, ...options }, 0, '127.0.0.1');
  services.push(service);
  const url = `http://127.0.0.1:${service.port}`;
  const ask = (suffix = '', headers: Record<string, string> = {}) =>
    fetch(`${url}${path}${suffix}`, { headers: { authorization: `Bearer ${token}`, ...headers } });
  return { store, service, url, ask };
}

/** Reads a stream's text as it comes. */
async function openEvents(response: Response) {
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
  let text = '';
  return {
    async until(found: (text: string) => boolean): Promise<string> {
      while (!found(text)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`the stream ended after ${JSON.stringify(text)}`);
        text += Buffer.from(value).toString('utf8');
      }
      return text;
    },
    async ended(): Promise<boolean> {
      for (;;) {
        const { done } = await reader.read();
        if (done) return true;
      }
    },
    close: () => reader.cancel(),
  };
}

describe('one answer', () => {
  it('is the whole map, under an ETag that a second request can name', async () => {
    const { ask } = await start();
    const response = await ask();
    expect(response.status).toBe(200);
    const delta = parseDelta(await response.text());
    expect(fromPages(applyDelta([], delta))).toEqual(first);
    const etag = response.headers.get('etag') ?? '';
    expect(etag).toBe(`"${delta.digest}"`);
    expect((await ask('', { 'if-none-match': etag })).status).toBe(304);
    expect((await ask('?since=1', { 'if-none-match': `"else", W/${etag}` })).status).toBe(304);
  });

  it('is a delta for who names an epoch, and nothing for who is ahead of this replica', async () => {
    const { ask, store } = await start();
    const before = applyDelta([], parseDelta(await (await ask()).text()));
    store.setMap(second);
    const delta = parseDelta(await (await ask('?since=1')).text());
    expect(delta).toMatchObject({ since: 1, epoch: 2 });
    expect(fromPages(applyDelta(before, delta))).toEqual(second);
    const ahead = parseDelta(await (await ask('?since=7')).text());
    expect(ahead).toMatchObject({ since: 7, epoch: 2, pages: [] });
    const current = toPages({ ...second, epoch: 7 });
    expect(applyDelta(current, ahead)).toBe(current);
  });

  it('is compressed when it is large', async () => {
    const { ask, store } = await start();
    const large = createMap(mapInput(byRing, { slots: 2 ** 16, shards: newShards(300) }));
    store.setMap(large);
    const response = await ask();
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(fromPages(parseDelta(await response.text()).pages)).toEqual(large);
  });

  it('keeps to the last whole map while the pages of the next arrive one by one', async () => {
    const { ask, store } = await start();
    await ask();
    const before = toPages(first);
    const after = toPages(moved, before);
    const changed = changedPages(before, after);
    expect(changed.length).toBe(3);
    for (const order of [changed, changed.toReversed()]) {
      store.setPages('demo', 'social', before);
      await ask();
      for (let n = 1; n < order.length; n++) {
        store.setPages('demo', 'social', mixed(before, order.slice(0, n)));
        const answer = parseDelta(await (await ask('?since=1')).text());
        expect([answer.epoch, answer.digest]).toEqual([1, digestOf(before)]);
      }
      store.setPages('demo', 'social', mixed(before, order));
      expect(fromPages(applyDelta(before, parseDelta(await (await ask('?since=1')).text())))).toEqual(moved);
    }
  });

  it('leaves out a page that is none of the map', async () => {
    const { ask, store } = await start();
    const stray: MapPage = { id: 'entries-99', epoch: 9, data: 'x' };
    store.setPages('demo', 'social', [...toPages(first), stray]);
    expect(parseDelta(await (await ask()).text())).toMatchObject({
      epoch: 1,
      digest: digestOf(toPages(first)),
    });
  });
});

describe('a refusal', () => {
  it('tells nothing to who has no right token, whether there is a map or not', async () => {
    const { url, ask } = await start();
    const answers = await Promise.all([
      fetch(url + path),
      ask('', { authorization: 'Bearer wrong' }),
      ask('', { authorization: 'Basic dXNlcg==' }),
      fetch(`${url}/v1/maps/demo/other`, { headers: { authorization: `Bearer ${token}` } }),
      fetch(`${url}/v1/maps/elsewhere/social`, { headers: { authorization: `Bearer ${token}` } }),
    ]);
    for (const answer of answers) {
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
      expect(await refusal(answer)).toMatchObject({ status: 401, code: 'Unauthorized' });
    }
  });

  it('says what to do', async () => {
    const { url, ask, store } = await start();
    expect(await refusal(await fetch(`${url}/v1/maps/demo/Social`))).toMatchObject({
      status: 404,
      code: 'NotFound',
    });
    expect(await refusal(await fetch(url + path, { method: 'POST' }))).toMatchObject({ status: 405 });
    expect(await refusal(await ask('?since=-1'))).toMatchObject({ status: 400, code: 'BadEpoch' });
    store.setPages('demo', 'social', undefined);
    expect(await refusal(await ask())).toMatchObject({ status: 404, code: 'NoSuchMap' });
    store.setPages('demo', 'social', toPages(first).slice(1));
    const broken = await ask();
    expect(broken.headers.get('retry-after')).toBe('1');
    expect(await refusal(broken)).toMatchObject({ status: 503, code: 'BrokenMap' });
  });

  it('says when a map that was never whole while it ran is in the middle of a change', async () => {
    const { ask, store } = await start();
    store.setPages('demo', 'social', undefined);
    await ask();
    const [page] = changedPages(toPages(first), toPages(moved, toPages(first)));
    store.setPages('demo', 'social', mixed(toPages(first), [page!]));
    const response = await ask();
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await refusal(response)).toMatchObject({ status: 503, code: 'MapInTransition' });
  });

  it('survives what is no HTTP, and an authorizer that fails', async () => {
    const errors: unknown[] = [];
    const { service, ask } = await start({
      authorize: () => Promise.reject(new Error('no Secrets today')),
      onError: error => errors.push(error),
    });
    await new Promise<void>(resolve => {
      const socket = connectTcp(service.port, '127.0.0.1', () =>
        socket.write('\u0016\u0003\u0001 nonsense\r\n\r\n'),
      );
      socket
        .resume()
        .on('error', () => undefined)
        .on('close', () => resolve());
    });
    expect((await ask()).status).toBe(500);
    expect(errors).toEqual([new Error('no Secrets today')]);
  });
});

describe('a stream', () => {
  it('starts with what the client lacks and goes on with each change', async () => {
    const { ask, store } = await start();
    const response = await ask('/events', { 'last-event-id': '1' });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const events = await openEvents(response);
    await events.until(text => text.includes('id: 1\n'));
    store.setMap(second);
    const text = await events.until(each => /id: 2\n.*\n.*\n\n/.test(each));
    const data = text.match(/id: 2\nevent: map\ndata: (.*)\n/)?.[1] ?? '';
    expect(parseDelta(data)).toMatchObject({ since: 1, epoch: 2 });
    await events.close();
  });

  it('beats while nothing happens, ends when the map is gone, and leaves no subscription', async () => {
    const clock = new FakeClock();
    const { ask, store, service } = await start({ clock, heartbeatMs: 1000 });
    const events = await openEvents(await ask('/events'));
    await events.until(text => text.includes('id: 1'));
    await clock.advance(1000);
    await events.until(text => text.includes(': alive'));
    store.setPages('demo', 'social', undefined);
    expect(await events.ended()).toBe(true);
    await expect.poll(() => [service.streams, store.listeners('demo', 'social')]).toEqual([0, 0]);
  });

  it('drops a client that reads nothing, and buffers little for it', { timeout: 30_000 }, async () => {
    const clock = new FakeClock();
    const { store, service } = await start({ clock, heartbeatMs: 1000, patienceMs: 3000 });
    const socket = connectTcp(service.port, '127.0.0.1', () =>
      socket.write(`GET ${path}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n\r\n`),
    );
    const closed = new Promise<void>(resolve => socket.on('close', resolve).on('error', () => undefined));
    socket.pause();
    await expect.poll(() => service.streams).toBe(1);
    // More than the kernel's buffers hold, folded: the stream itself never has more than one event.
    for (const epoch of [2, 3]) store.setMap(bulky(epoch));
    await clock.advance(10_000);
    await expect.poll(() => service.streams).toBe(0);
    socket.resume();
    await closed;
  });

  it('is refused beyond the limit, and the map is not', async () => {
    const { ask } = await start({ maxStreams: 1 });
    const events = await openEvents(await ask('/events'));
    const refused = await ask('/events');
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'TooManyStreams' });
    expect((await ask()).status).toBe(200);
    await events.close();
  });
});

async function secured() {
  const authority = await createAuthority('map service test', new Date());
  const { certificate: cert, key } = await issueCertificate(authority, ['localhost'], new Date());
  const started = await start({ tls: { cert, key } });
  const source = (over: Partial<ConstructorParameters<typeof HttpMapSource>[0]> = {}) =>
    new HttpMapSource({
      url: `https://localhost:${started.service.port}${path}`,
      token: () => Promise.resolve(token),
      ca: () => Promise.resolve(authority.certificate),
      dial: undefined,
      clock: realClock,
      ...over,
    });
  return { ...started, source, authority };
}

describe('the client library’s source', () => {
  const never = new AbortController().signal;

  it('fetches over TLS, directly and through a dial', async () => {
    const { source, service } = await secured();
    const dial = source({
      url: `https://localhost:1${path}`,
      dial: (_endpoint, signal) => dialDirectly({ host: '127.0.0.1', port: service.port }, signal),
    });
    for (const each of [source(), dial]) {
      const delta = await each.fetch(0, undefined, never);
      expect(delta?.epoch).toBe(1);
      expect(await each.fetch(1, delta?.digest, never)).toBeUndefined();
      each.close();
    }
  });

  it('trusts no other authority, and passes on what the service says', async () => {
    const { source } = await secured();
    const { certificate } = await createAuthority('somebody else', new Date());
    const mistrusting = source({ ca: () => Promise.resolve(certificate) });
    await expect(mistrusting.fetch(0, undefined, never)).rejects.toThrow(/certificate/);
    const unknown = source({ token: () => Promise.resolve('wrong') });
    await expect(unknown.fetch(0, undefined, never)).rejects.toMatchObject({
      code: 'MapService',
      status: 401,
    });
    mistrusting.close();
    unknown.close();
  });

  it('follows the stream, what is announced in it too, across a change of certificate', async () => {
    const { source, store, service, authority } = await secured();
    const { certificate: cert, key } = await issueCertificate(authority, ['localhost'], new Date());
    service.replaceTls({ cert, key });
    const following = source();
    const seen: unknown[] = [];
    for await (const news of following.stream(0, never)) {
      if (news.kind === 'coming') {
        seen.push(news.writers);
        if ('social-1' in news.writers) store.setMap(second);
        else break;
      } else {
        seen.push([news.delta.since, news.delta.epoch]);
        if (news.delta.epoch === 1) store.announce('demo', 'social', { 'social-1': 2 });
        else store.announce('demo', 'social', {});
      }
    }
    expect(seen).toEqual([[0, 1], { 'social-1': 2 }, [1, 2], {}]);
    following.close();
  });
});

it('compares tokens by their content alone', () => {
  expect(sameToken('a', 'a')).toBe(true);
  expect(sameToken('a', 'ab')).toBe(false);
  expect(sameToken('', '')).toBe(false);
});
