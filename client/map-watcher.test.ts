import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import { bumpGeneration } from '#sharding/change.ts';
import type { ComingWriters } from '#sharding/coming.ts';
import { deltaSince, digestOf, type MapDelta, wholeMap } from '#sharding/delta.ts';
import { MapInTransitionError } from '#sharding/errors.ts';
import type { ShardMap } from '#sharding/map.ts';
import { changedPages, type MapPage, toPages } from '#sharding/pages.ts';
import { sampleMaps } from '#sharding/testing/fixtures.ts';
import { Deadline } from './deadline.ts';
import { ClosedError, NoMapError } from './errors.ts';
import type { MapNews, MapSource } from './map-source.ts';
import { MapWatcher } from './map-watcher.ts';

const first = sampleMaps().even;
const second = bumpGeneration(first, 'social-1', 'write');

/** A map service in memory. */
class FakeSource implements MapSource {
  pages: readonly MapPage[] = [];
  available = true;
  streams = true;
  coming: ComingWriters = {};
  fetches = 0;
  #wake = Promise.withResolvers<void>();

  set map(map: ShardMap) {
    this.pages = toPages(map, this.pages);
    this.wake();
  }

  wake(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  fetch(since: number, digest: string | undefined): Promise<MapDelta | undefined> {
    this.fetches++;
    if (!this.available) return Promise.reject(new Error('the service is away'));
    if (digest === digestOf(this.pages)) return Promise.resolve(undefined);
    return Promise.resolve(since === 0 ? wholeMap(this.pages) : deltaSince(this.pages, since));
  }

  async *stream(since: number, signal: AbortSignal): AsyncGenerator<MapNews, void> {
    const aborted = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
    let last = since;
    for (;;) {
      if (!this.available || !this.streams) throw new Error('no stream');
      if (signal.aborted) return;
      yield { kind: 'map', delta: deltaSince(this.pages, last) };
      yield { kind: 'coming', writers: this.coming };
      last = Math.max(...this.pages.map(page => page.epoch));
      await Promise.race([this.#wake.promise, aborted]);
    }
  }

  close(): void {
    this.wake();
  }
}

const watchers: MapWatcher[] = [];
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'map-watcher-'));
});
afterEach(async () => {
  await Promise.all(watchers.splice(0).map(watcher => watcher.close()));
  await rm(folder, { recursive: true });
});

function watch(source: FakeSource, file?: string) {
  const clock = new FakeClock();
  const seen: string[] = [];
  const errors: unknown[] = [];
  const announced: ComingWriters[] = [];
  const watcher = new MapWatcher({
    source,
    file,
    hooks: {
      onMap: ({ epoch, source: from }) => seen.push(`${from} ${epoch}`),
      onMapError: error => errors.push(error),
    },
    clock,
    random: () => 0,
    onChange: () => undefined,
    onComing: writers => announced.push(writers),
  });
  watchers.push(watcher);
  const ready = (timeoutMs = 1000) => watcher.ready(Deadline.of({ timeoutMs }, 0, clock));
  return { clock, watcher, seen, errors, announced, ready };
}

async function settled(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve));
}

describe('a watcher', () => {
  it('fetches once and then follows the stream', async () => {
    const source = new FakeSource();
    source.map = first;
    const { watcher, seen, ready } = watch(source);
    expect((await ready()).epoch).toBe(1);
    source.map = second;
    await settled(() => watcher.map?.epoch === 2);
    expect(watcher.map).toEqual(second);
    expect([seen, source.fetches]).toEqual([['poll 1', 'stream 2'], 1]);
  });

  it('passes on what is announced, and that nothing is when the stream breaks', async () => {
    const source = new FakeSource();
    source.map = first;
    const { announced, ready } = watch(source);
    await ready();
    await settled(() => announced.length > 0);
    source.coming = { 'social-1': 2 };
    source.wake();
    await settled(() => announced.length > 1);
    source.streams = false;
    source.wake();
    await settled(() => announced.length > 2);
    expect(announced).toEqual([{}, { 'social-1': 2 }, {}]);
  });

  it('polls where streams do not work', async () => {
    const source = new FakeSource();
    source.streams = false;
    source.map = first;
    const { clock, watcher, ready } = watch(source);
    await ready();
    source.map = second;
    await clock.advance(5000);
    expect(watcher.map?.epoch).toBe(2);
    const before = source.fetches;
    await clock.advance(50_000);
    // Every 5 s in the end: often enough to notice, seldom enough not to burden.
    expect(source.fetches - before).toBeGreaterThanOrEqual(9);
    expect(source.fetches - before).toBeLessThanOrEqual(20);
  });

  it('keeps its map while the service is away, and catches up', async () => {
    const source = new FakeSource();
    source.map = first;
    const { clock, watcher, errors, ready } = watch(source);
    await ready();
    source.available = false;
    source.wake();
    await clock.advance(60_000);
    expect(watcher.map).toEqual(first);
    expect(await watcher.refresh()).toBe(false);
    expect(errors.length).toBeGreaterThan(5);
    source.map = second;
    source.available = true;
    await clock.advance(5000);
    expect(watcher.map).toEqual(second);
  });

  it('says what the service answered when there is no map in time', async () => {
    const source = new FakeSource();
    source.available = false;
    const { clock, ready } = watch(source);
    const outcome = ready(2000).catch((error: unknown) => error);
    await clock.advance(2000);
    expect(await outcome).toBeInstanceOf(NoMapError);
    expect(await outcome).toMatchObject({ cause: new Error('the service is away') });
  });

  it('never takes a map that is damaged, or older than its own', async () => {
    const source = new FakeSource();
    source.map = second;
    const { watcher, ready, errors } = watch(source);
    await ready();
    source.pages = toPages(first);
    expect(await watcher.refresh()).toBe(false);
    source.pages = toPages({ ...second, epoch: 3 }).map(page => ({ ...page, data: 'AAAA' }));
    expect(await watcher.refresh()).toBe(false);
    expect(errors).toMatchObject([{ code: 'DamagedMap' }]);
    expect(watcher.map).toEqual(second);
  });

  it('never takes pages in the middle of a change, from the service or from its file', async () => {
    const file = join(folder, 'map.json');
    const source = new FakeSource();
    source.map = first;
    const before = toPages(first);
    const after = toPages(second, before);
    const changed = changedPages(before, after);
    const { watcher, ready, errors } = watch(source);
    await ready();
    for (const page of changed) {
      // Whoever sends this did not look; whoever gets it does.
      source.pages = before.map(old => (old.id === page.id ? page : old));
      expect(await watcher.refresh()).toBe(false);
      expect(watcher.map).toEqual(first);
      await writeFile(file, JSON.stringify(wholeMap(source.pages)));
      const away = new FakeSource();
      away.available = false;
      const restarted = watch(away, file);
      restarted.watcher.start();
      await settled(() => restarted.errors.length > 0);
      expect(restarted.watcher.map).toBeUndefined();
    }
    expect(errors.length).toBeGreaterThanOrEqual(changed.length);
    for (const error of errors) expect(error).toBeInstanceOf(MapInTransitionError);
    source.pages = after;
    expect(await watcher.refresh()).toBe(true);
    expect(watcher.map).toEqual(second);
  });

  it('fetches the whole map when a delta does not fit, or when told that the fleet may be another', async () => {
    const source = new FakeSource();
    source.map = second;
    const { watcher, ready } = watch(source);
    await ready();
    // A page came late, with an epoch below one that this client had seen already.
    const others = toPages({ ...second, tables: [{ name: 'other', key: 'id' }] });
    const late = others.find(page => page.id === 'header');
    source.pages = toPages(second).map(page => (late?.id === page.id ? { ...late, epoch: 1 } : page));
    expect(await watcher.refresh()).toBe(true);
    expect(watcher.map?.tables).toEqual([{ name: 'other', key: 'id' }]);
    source.pages = toPages(first);
    expect(await watcher.refresh(true)).toBe(true);
    expect(watcher.map).toEqual(first);
  });

  it('starts from its file, keeps it up to date, and does without a damaged one', async () => {
    const file = join(folder, 'map.json');
    const source = new FakeSource();
    source.map = first;
    const before = watch(source, file);
    await before.ready();
    source.map = second;
    await settled(() => before.watcher.map?.epoch === 2);
    await before.watcher.close();
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ since: 0, epoch: 2 });

    const away = new FakeSource();
    away.available = false;
    const restarted = watch(away, file);
    expect((await restarted.ready()).epoch).toBe(2);
    expect(restarted.seen).toEqual(['file 2']);

    await writeFile(file, '{"format":1,');
    const { ready, seen } = watch(source, file);
    expect((await ready()).epoch).toBe(2);
    expect(seen).toEqual(['poll 2']);
  });

  it('tells of the next map as soon as the stream brings it, and asks for it meanwhile', async () => {
    const source = new FakeSource();
    source.map = first;
    const { clock, watcher, ready } = watch(source);
    await ready();
    const deadline = Deadline.of({ timeoutMs: 10_000 }, 0, clock);
    const { version } = watcher;
    const [news, fetches] = [watcher.next(version, 1000, deadline, false), source.fetches];
    source.map = second;
    expect(await news).toBe(true);
    // Of one that is there already, at once; without one, when time is over. Nobody asks twice at the same time.
    expect(await watcher.next(version, 1000, deadline, false)).toBe(true);
    const none = [1, 2, 3].map(() => watcher.next(watcher.version, 100, deadline, false));
    await clock.advance(100);
    expect(await Promise.all(none)).toEqual([false, false, false]);
    expect(source.fetches - fetches).toBeLessThanOrEqual(2);
    expect(clock.monotonicMs()).toBe(100);
  });

  it('lets go of who waits when it is closed', async () => {
    const source = new FakeSource();
    source.available = false;
    const { watcher, ready } = watch(source);
    const outcome = ready().catch((error: unknown) => error);
    await watcher.close();
    expect(await outcome).toBeInstanceOf(ClosedError);
  });
});
