import { expect, test } from 'vitest';
import { marked, newPages, pageWrites, readMap } from '#controllers/shard-map/config-maps.ts';
import type { StoreHandler } from '#kernel/reflector.ts';
import type { ConfigMap } from '#kernel/resources.ts';
import { withShardState } from '#sharding/change.ts';
import { fromPages } from '#sharding/pages.ts';
import { sampleMaps } from '#sharding/testing/fixtures.ts';
import { CachedMaps } from './cached-maps.ts';

const map = sampleMaps().even;
const owner = { apiVersion: 'shardwright.io/v1alpha1', kind: 'ShardCluster', name: 'social', uid: 'u' };

/** A watch whose events a test sends. */
class FakeWatch {
  readonly #objects = new Map<string, ConfigMap>();
  readonly #handlers = new Set<StoreHandler<ConfigMap>>();

  byIndex(): ConfigMap[] {
    return [...this.#objects.values()];
  }

  subscribe(handler: StoreHandler<ConfigMap>): Disposable {
    this.#handlers.add(handler);
    return { [Symbol.dispose]: () => this.#handlers.delete(handler) };
  }

  send(object: ConfigMap): void {
    const old = this.#objects.get(object.metadata.name);
    this.#objects.set(object.metadata.name, object);
    const event = old ? { type: 'modified' as const, object, old } : { type: 'added' as const, object };
    for (const handler of this.#handlers) handler({ ...event, initial: false });
  }
}

test('a mark on a map is no news; an announcement is, and a change, and leaves the pages that it does not touch as they are', () => {
  const watch = new FakeWatch();
  using maps = new CachedMaps(watch);
  let news = 0;
  maps.subscribe(map.namespace, map.cluster, () => news++);
  expect(maps.pages(map.namespace, map.cluster)).toBeUndefined();
  for (const page of newPages(map, owner)) watch.send(page);
  expect(news).toBe(3);
  const before = maps.pages(map.namespace, map.cluster)!;
  expect(fromPages(before)).toEqual(map);

  const header = watch.byIndex().find(object => object.metadata.name === 'social-map')!;
  watch.send(marked(header, 'someone'));
  watch.send(marked(header, undefined));
  expect([news, maps.pages(map.namespace, map.cluster) === before]).toEqual([3, true]);
  expect(maps.coming(map.namespace, map.cluster)).toEqual({});

  watch.send(marked(header, 'someone', { 'social-1': 2 }));
  const coming = maps.coming(map.namespace, map.cluster);
  expect([news, coming]).toEqual([4, { 'social-1': 2 }]);
  expect(maps.coming(map.namespace, map.cluster)).toBe(coming);
  watch.send(marked(header, undefined));
  expect([news, maps.coming(map.namespace, map.cluster)]).toEqual([5, {}]);
  expect(maps.pages(map.namespace, map.cluster)).toBe(before);

  const facts = readMap(watch.byIndex());
  if (facts.kind !== 'Present') throw new Error(facts.kind);
  const next = withShardState(map, 'social-1', 'readonly');
  const writes = pageWrites(facts.stored, next);
  for (const page of [...writes.replaced, writes.header!]) watch.send(page);
  expect(news).toBe(7);
  const after = maps.pages(map.namespace, map.cluster)!;
  expect(fromPages(after)).toEqual(next);
  expect(after.filter(page => before.includes(page)).map(page => page.id)).toEqual(['slots-0']);
});
