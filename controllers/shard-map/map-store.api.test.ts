/**
 * Maps on a real API server. The operator is killed before any of its writes, in every combination that can be while several are
 * under way; whoever comes after it finishes the same change and comes to the same map. A reader on a watch never sees half.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { byCluster, createCaches, indexKey } from '#controllers/caches.ts';
import { labels } from '#crds/api/names.ts';
import { type ApiTest, apiTest, eventually } from '#hack/api-test.ts';
import { accessAuth } from '#hack/local-apiserver.ts';
import { ConflictError } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { silentLog } from '#kernel/log.ts';
import { type ConfigMap, ConfigMaps } from '#kernel/resources.ts';
import { TcpProxy } from '#kernel/testing/tcp-proxy.ts';
import { addShards, removeShard, settleMove, withShardState } from '#sharding/change.ts';
import { createMap } from '#sharding/create-map.ts';
import { InvalidChangeError, MapInTransitionError } from '#sharding/errors.ts';
import type { ShardMap } from '#sharding/map.ts';
import { evenly, mapInput, newShards } from '#sharding/testing/fixtures.ts';
import { comingAnnotation, isMapPage, type MapFacts, markAnnotation, readMap } from './config-maps.ts';
import { MapBusyError, MapExistsError, MapUnavailableError } from './errors.ts';
import { MapStore } from './map-store.ts';

class KilledError extends Error {
  override readonly name = 'KilledError';
}

let api: ApiTest;
let cleanup: AsyncDisposableStack;
const signal = new AbortController().signal;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  api = await apiTest();
});

afterEach(() => cleanup.disposeAsync());

/** A store with a cache of its own, as an operator has it. `guardWrite` throws to refuse a write. */
async function operator(
  guardWrite?: () => void,
  auth = accessAuth(api.access),
): Promise<{ store: MapStore; stop: () => Promise<void>; caches: ReturnType<typeof createCaches> }> {
  const client = api.newClient({ auth, ...(guardWrite && { guardWrite }) });
  const caches = createCaches({ client, log: silentLog, namespaces: [api.namespace] });
  const stopping = new AbortController();
  const running = caches.configMaps.run(stopping.signal);
  const stop = async () => {
    stopping.abort();
    await running;
  };
  cleanup.defer(stop);
  await caches.configMaps.whenSynced(AbortSignal.timeout(20_000));
  return { store: new MapStore({ client, configMaps: caches.configMaps }), stop, caches };
}

async function stored(client: KubeClient = api.client, cluster = 'social'): Promise<readonly ConfigMap[]> {
  const { items } = await client.list<ConfigMap>(ConfigMaps, {
    namespace: api.namespace,
    labelSelector: `${labels.cluster}=${cluster}`,
  });
  return items.filter(isMapPage);
}

/** A map that takes two pages of slots. All are social-0's; three more shards own nothing. */
function large(cluster: string): ShardMap {
  const input = mapInput(evenly, { slots: 2 ** 17, shards: newShards(1) });
  const one = createMap({ ...input, namespace: api.namespace, cluster });
  return { ...addShards(one, newShards(4).slice(1)), epoch: 1 };
}

const owner = { apiVersion: 'v1', kind: 'Namespace', name: 'x', uid: 'nobody' };

const fleet = (name = 'social') => ({ namespace: api.namespace, name });

/** Slots on both pages, and two generations: three pages and the header. */
function spread(map: ShardMap): ShardMap {
  const ranges = [
    { first: 0, last: 9 },
    { first: 2 ** 16 - 5, last: 2 ** 16 + 5 },
  ];
  return settleMove(map, {
    partition: { kind: 'slots', slots: map.slots, ranges },
    from: 'social-0',
    to: 'social-3',
    side: 'write',
    generations: { from: 2, to: 6 },
  });
}

function freeze(map: ShardMap): ShardMap {
  return withShardState(map, 'social-1', 'readonly');
}

/** Its ordinal takes two pages of shards more. */
function grow(map: ShardMap): ShardMap {
  const there = map.shards.some(shard => shard.ordinal === 9000);
  return there ? map : addShards(map, [{ name: 'social-9000', ordinal: 9000 }]);
}

function shrink(map: ShardMap): ShardMap {
  const there = map.shards.some(shard => shard.ordinal === 2);
  return there ? removeShard(map, 'social-2') : map;
}

function decapitate(map: ShardMap): ShardMap {
  return { ...map, shards: map.shards.slice(1) };
}

describe('a map', () => {
  test('is made once, over what is left of an earlier try', async () => {
    const { store } = await operator();
    const map = large('social');
    await store.create(fleet(), map, owner, signal);
    expect(store.read(fleet())).toMatchObject({ kind: 'Present', stored: { map } });
    await expect(store.create(fleet(), map, owner, signal)).rejects.toThrow(MapExistsError);
    await api.client.delete(ConfigMaps, { namespace: api.namespace, name: 'social-map' });
    const { store: next } = await operator();
    expect(next.read(fleet()).kind).toBe('Absent');
    await next.create(fleet(), { ...map, slots: map.slots }, owner, signal);
    expect(readMap(await stored())).toMatchObject({ kind: 'Present', stored: { map } });
  });

  test('that is not there cannot be changed', async () => {
    const { store } = await operator();
    const change = store.publish(fleet(), { by: 'me', signal, change: map => map });
    await expect(change).rejects.toThrow(MapUnavailableError);
    await expect(store.mark(fleet(), 'me', signal)).rejects.toThrow(MapUnavailableError);
  });
});

async function announced(): Promise<(string | undefined)[]> {
  return (await stored()).map(page => page.metadata.annotations?.[comingAnnotation]).filter(Boolean);
}

describe('a mark', () => {
  test('keeps others out until it is taken back or the change is there', async () => {
    const { store } = await operator();
    await store.create(fleet(), large('social'), owner, signal);
    await store.mark(fleet(), 'me', signal);
    await store.mark(fleet(), 'me', signal);
    await expect(store.mark(fleet(), 'you', signal)).rejects.toThrow(MapBusyError);
    const busy = store.publish(fleet(), { by: 'you', signal, change: freeze });
    await expect(busy).rejects.toMatchObject({ code: 'MapBusy', by: 'me' });
    await store.unmark(fleet(), 'you', signal);
    expect(store.read(fleet())).toMatchObject({ stored: { markedBy: 'me', map: { epoch: 1 } } });
    await store.unmark(fleet(), 'me', signal);
    await store.publish(fleet(), { by: 'you', signal, change: freeze });
    await store.mark(fleet(), 'me', signal);
    const seen: unknown[] = [];
    const visible = (map: ShardMap): unknown => seen.push([map.epoch, store.read(fleet())]);
    await store.publish(fleet(), { by: 'me', signal, change: spread, visible });
    expect(seen).toMatchObject([[3, { kind: 'Present', stored: { markedBy: 'me', map: { epoch: 3 } } }]]);
    const pages = await stored();
    expect(readMap(pages)).toMatchObject({ kind: 'Present', stored: { map: { epoch: 3 } } });
    expect(pages.some(page => page.metadata.annotations?.[markAnnotation])).toBe(false);
  });

  test('may carry an announcement, which goes with it; nobody announces another one’s change', async () => {
    const { store } = await operator();
    await store.create(fleet(), large('social'), owner, signal);
    await store.announce(fleet(), 'me', { 'social-1': 2 }, signal);
    expect(await announced()).toEqual([]);
    await store.mark(fleet(), 'me', signal);
    await store.announce(fleet(), 'me', { 'social-1': 2 }, signal);
    await expect(store.announce(fleet(), 'you', { 'social-1': 3 }, signal)).rejects.toThrow(MapBusyError);
    expect(await announced()).toEqual(['{"social-1":2}']);
    await store.unmark(fleet(), 'me', signal);
    expect(await announced()).toEqual([]);
    await store.mark(fleet(), 'me', signal);
    await store.announce(fleet(), 'me', { 'social-1': 2 }, signal);
    await store.publish(fleet(), { by: 'me', signal, change: spread });
    expect(await announced()).toEqual([]);
  });

  test('says what is in the way of publishing: another one’s mark, a header that is not ours, no API server', async () => {
    const server = new URL(api.access.url);
    await using proxy = await TcpProxy.to(server);
    server.port = String(proxy.port);
    const { store, stop } = await operator(undefined, { ...accessAuth(api.access), server });
    await store.create(fleet(), large('social'), owner, signal);
    await store.mark(fleet(), 'me', signal);
    expect(await store.hindrance(fleet(), 'me', signal)).toBeUndefined();
    expect(await store.hindrance(fleet(), 'you', signal)).toContain('me');
    proxy.cut();
    expect(await store.hindrance(fleet(), 'me', signal)).toContain('could not be published now');
    proxy.open();
    expect(await store.hindrance(fleet(), 'me', signal)).toBeUndefined();
    proxy.silence();
    expect(await store.hindrance(fleet(), 'me', signal)).toContain('could not be published now');
    await stop();
    const header = (await stored()).find(page => page.metadata.annotations?.[markAnnotation]);
    const body = { metadata: { labels: { by: 'hand' } } };
    await api.client.patch(ConfigMaps, header?.metadata ?? { name: '' }, { type: 'merge', body });
    expect(await store.hindrance(fleet(), 'me', signal)).toContain('changed meanwhile');
  });

  test('changes no page: nothing is sent to readers for it', async () => {
    const { store } = await operator();
    await store.create(fleet(), large('social'), owner, signal);
    const before = (await stored()).map(page => page.data);
    await store.mark(fleet(), 'me', signal);
    expect((await stored()).map(page => page.data)).toEqual(before);
  });
});

test('an unfinished change is not unmarked: it is published again', async () => {
  let allowed = Number.POSITIVE_INFINITY;
  const { store } = await operator(() => {
    if (allowed-- <= 0) throw new KilledError();
  });
  await store.create(fleet(), large('social'), owner, signal);
  await store.mark(fleet(), 'me', signal);
  allowed = 1;
  await expect(store.publish(fleet(), { by: 'me', signal, change: spread })).rejects.toThrow(KilledError);
  allowed = Number.POSITIVE_INFINITY;
  await expect(store.unmark(fleet(), 'me', signal)).rejects.toThrow(MapInTransitionError);
  await store.publish(fleet(), { by: 'me', signal, change: spread });
  expect(readMap(await stored()).kind).toBe('Present');
});

describe('publishing', () => {
  test('twice in a row needs no cache in between', async () => {
    const { store, stop } = await operator();
    await store.create(fleet(), large('social'), owner, signal);
    await stop();
    const states = ['readonly', 'maintenance', 'active'] as const;
    for (const state of states) {
      const change = (map: ShardMap): ShardMap => withShardState(map, 'social-2', state);
      const published = await store.publish(fleet(), { by: 'me', signal, change });
      expect(store.read(fleet())).toMatchObject({ kind: 'Present', stored: { map: published } });
    }
    expect(readMap(await stored())).toMatchObject({ stored: { map: { epoch: 4 } } });
  });

  test('at the same time is one after the other', async () => {
    const { store } = await operator();
    await store.create(fleet(), large('social'), owner, signal);
    await Promise.all(
      [0, 1, 2, 3].map(i =>
        store.publish(fleet(), {
          by: `writer ${i}`,
          signal,
          change: map => withShardState(map, `social-${i}`, 'readonly'),
        }),
      ),
    );
    const facts = readMap(await stored());
    expect(facts).toMatchObject({ stored: { map: { epoch: 5 } } });
    expect(JSON.stringify(facts)).not.toContain('"active"');
  });

  test('with a cache that is behind is a conflict, and mends nothing by force', async () => {
    const { store } = await operator();
    await store.create(fleet(), large('social'), owner, signal);
    const late = await operator();
    await late.stop();
    await store.publish(fleet(), { by: 'me', signal, change: spread });
    const lost = late.store.publish(fleet(), { by: 'you', signal, change: freeze });
    await expect(lost).rejects.toThrow(ConflictError);
    expect(readMap(await stored())).toMatchObject({ kind: 'Present', stored: { map: { epoch: 2 } } });
  });

  test('refuses a change that breaks the map, and writes nothing', async () => {
    const { store } = await operator();
    const map = large('social');
    await store.create(fleet(), map, owner, signal);
    const broken = store.publish(fleet(), { by: 'me', signal, change: decapitate });
    await expect(broken).rejects.toThrow(InvalidChangeError);
    expect(readMap(await stored())).toMatchObject({ stored: { map } });
  });

  test('no change writes nothing', async () => {
    let writes = 0;
    const { store } = await operator(() => writes++);
    await store.create(fleet(), large('social'), owner, signal);
    await store.publish(fleet(), { by: 'me', signal, change: spread });
    const before = writes;
    expect((await store.publish(fleet(), { by: 'me', signal, change: spread })).epoch).toBe(2);
    await store.publish(fleet(), { by: 'me', signal, change: map => map });
    expect(writes).toBe(before);
  });

  test('reaches a reader on a watch as a whole or not at all', async () => {
    const { store } = await operator();
    await store.create(fleet(), large('social'), owner, signal);
    const watching = await operator();
    const { configMaps } = watching.caches;
    const seen: string[] = [];
    cleanup.use(
      configMaps.subscribe(() => {
        const facts = readMap(configMaps.byIndex(byCluster, indexKey(api.namespace, 'social')));
        seen.push(facts.kind === 'Present' ? `epoch ${facts.stored.map.epoch}` : facts.kind);
      }),
    );
    seen.length = 0;
    await store.publish(fleet(), { by: 'me', signal, change: spread });
    await eventually(() => (seen.at(-1) === 'epoch 2' ? true : undefined));
    expect(new Set(seen)).toEqual(new Set(['epoch 1', 'InTransition', 'epoch 2']));
  });
});

/**
 * Each change, marked beforehand or not, with every subset of its writes refused: those that are under way at the same time may
 * arrive in any combination, and after a failure nothing more begins.
 */
describe('killed at any write', () => {
  const changes: [string, (map: ShardMap) => ShardMap, string[]][] = [
    ['owners and generations', spread, ['Present', 'Present marked', 'InTransition marked']],
    ['one page', freeze, ['Present', 'Present marked', 'InTransition', 'InTransition marked']],
    // What the header does not name yet is none of the map.
    ['pages that the map did not have', grow, ['Present', 'Present marked']],
    ['a shard that leaves', shrink, ['Present', 'Present marked', 'InTransition', 'InTransition marked']],
  ];

  test.each(changes)('%s', { timeout: 240_000 }, async (what, change, finds) => {
    const expected = bare(change(large('x')));
    const met = new Set<string>();
    for (const markFirst of [false, true]) {
      const whole = await walk(`whole-${markFirst}`, markFirst, change, 0);
      expect(bare(whole.map)).toEqual(expected);
      const done: { mask: number; bits: number }[] = [];
      for (let refused = 1; refused < 2 ** whole.writes; refused++) {
        // Writes that were never reached make no difference.
        if (done.some(({ mask, bits }) => (refused & mask) === bits)) continue;
        const cut = await walk(`cut-${markFirst}-${refused}`, markFirst, change, refused);
        const mask = 2 ** cut.writes - 1;
        done.push({ mask, bits: refused & mask });
        expect([what, refused.toString(2), bare(cut.map)]).toEqual([what, refused.toString(2), expected]);
        expect(cut.others).toBe(cut.left.endsWith(' marked') ? 'MapBusy' : 'done');
        met.add(cut.left);
      }
    }
    expect(met).toEqual(new Set(finds));
  });
});

interface Walk {
  /** What the next operator finds. */
  readonly left: string;
  /** What somebody else is told who then wants to change the map. */
  readonly others: unknown;
  /** Once the same change was published again. */
  readonly map: ShardMap;
  readonly writes: number;
}

/** `refused`: as bits, the writes that fail, counted from the first after the map was made. */
async function walk(
  cluster: string,
  markFirst: boolean,
  change: (map: ShardMap) => ShardMap,
  refused: number,
): Promise<Walk> {
  const request = fleet(cluster);
  let armed = false;
  let writes = 0;
  const first = await operator(() => {
    if (armed && (refused >> writes++) & 1) throw new KilledError();
  });
  await first.store.create(request, large(cluster), owner, signal);
  armed = true;
  try {
    if (markFirst) await first.store.mark(request, 'me', signal);
    await first.store.publish(request, { by: 'me', signal, change });
  } catch (error) {
    if (!(error instanceof KilledError)) throw error;
  }
  await first.stop();
  const second = await operator();
  const found = second.store.read(request);
  const others = await codeOf(second.store.publish(request, { by: 'another', signal, change: map => map }));
  const map = await second.store.publish(request, { by: 'me', signal, change });
  const facts = readMap(await stored(api.client, cluster));
  await second.stop();
  expect(facts).toMatchObject({ kind: 'Present', stored: { map } });
  expect(facts).not.toHaveProperty('stored.markedBy');
  const mark = found.kind === 'InTransition' ? found.raw.markedBy : markOf(found);
  return { left: `${found.kind}${mark === undefined ? '' : ' marked'}`, others, map, writes };
}

function markOf(facts: MapFacts): string | undefined {
  return facts.kind === 'Present' ? facts.stored.markedBy : undefined;
}

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return 'done';
  } catch (error) {
    return error instanceof MapBusyError ? error.code : error;
  }
}

/** Without what depends on how often it was tried. */
function bare(map: ShardMap): object {
  return { ...map, epoch: 0, cluster: '' };
}
