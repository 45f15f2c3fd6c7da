/**
 * `routing`: how fast a key finds its shard, beside the npm package hashring in the same process, and how large a map of
 * 2^20 slots over 100,000 shards is. Of the two ways to spread slots, sizes are those of the ring, the larger. hashring has
 * 1,000 shards only, which is kind to it: 100,000 need minutes to build, and its lookups then miss every cache.
 * Options: --shards N, --hashring-shards N.
 */
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Assignment, assignSlots } from '#sharding/assignment.ts';
import { createMap } from '#sharding/create-map.ts';
import { parseDelta, wholeMap } from '#sharding/delta.ts';
import type { Key, KeyType } from '#sharding/key.ts';
import type { ShardMap } from '#sharding/map.ts';
import { fromPages, toPages } from '#sharding/pages.ts';
import { createRouter, type Router } from '#sharding/router.ts';
import { slotOf } from '#sharding/slot.ts';
import { median, report, round } from './bench.ts';

const slots = 2 ** 20;
const keysPerRound = 2 ** 18;
const rounds = 9;
const spreadKeys = 1_002_372;
const spreadShards = 4;

const even: Assignment = { strategy: 'even' };
const ring: Assignment = { strategy: 'ring', hash: 'md5' };

interface HashRing {
  get(key: string): string;
}
type HashRingClass = new (servers: readonly string[], algorithm: string, options: object) => HashRing;

export async function run(): Promise<object> {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: {
      shards: { type: 'string', default: '100000' },
      'hashring-shards': { type: 'string', default: '1000' },
    },
  });
  const shards = Number(values.shards);
  const { router, mapBytes, mapMemoryBytes } = measureMap(shards);
  const hashring = buildHashring(Number(values['hashring-shards']));
  return {
    bench: 'routing',
    shards,
    ...measureSpeed(router, hashring),
    mapBytes,
    mapMemoryBytes,
    spread: { even: spread(even), ring: spread(ring) },
  };
}

function bigMap(shards: number, assignment: Assignment, keyType: KeyType): ShardMap {
  return createMap({
    namespace: 'bench',
    cluster: 'social',
    keyType,
    slots,
    tables: [{ name: 'users', key: 'id' }],
    shards: Array.from({ length: shards }, (_, ordinal) => ({ name: `social-${ordinal}`, ordinal })),
    layout: { algorithm: 'hash', assignment },
  });
}

/** Bytes of the whole map as the map service sends it, and what a client holds once it can route. */
function measureMap(shards: number): { router: Router; mapBytes: number; mapMemoryBytes: number } {
  report(`making maps of ${slots} slots over ${shards} shards`);
  const evenBytes = encode(bigMap(shards, even, 'text')).length;
  const wire = encode(bigMap(shards, ring, 'text'));
  const before = liveBytes();
  const router = createRouter(fromPages(parseDelta(wire).pages));
  const mapMemoryBytes = liveBytes() - before;
  report(
    `on the wire ${wire.length} bytes for a ring, ${evenBytes} for an even map; in memory ${mapMemoryBytes}`,
  );
  return { router, mapBytes: wire.length, mapMemoryBytes };
}

function encode(map: ShardMap): string {
  return JSON.stringify(wholeMap(toPages(map)));
}

function buildHashring(shards: number): HashRing {
  const started = performance.now();
  const HashRingClass: HashRingClass = createRequire(import.meta.url)('hashring');
  const names = Array.from({ length: shards }, (_, i) => `social-${i}`);
  // 38 x 4 points are the nearest it has to our 150.
  const hashring = new HashRingClass(names, 'md5', { 'vnode count': 38 });
  report(`hashring of ${shards} shards built in ${round((performance.now() - started) / 1000, 1)} s`);
  return hashring;
}

/** Side by side: in each round every contender takes its turn; the figures are medians over the rounds. */
function measureSpeed(router: Router, hashring: HashRing): object {
  const texts = Array.from({ length: keysPerRound }, (_, i) => `user:${(i * 7919) % 100_000_007}`);
  const uuids = texts.map((_, i) => uuid(i));
  const keySlots = Uint32Array.from(texts, key => slotOf(key, 'text', slots));
  const bigint = routerOf(router, 'bigint');
  const byUuid = routerOf(router, 'uuid');
  // A loop of its own for each: sharing one would make its call site polymorphic and time that instead.
  const contenders = {
    lookup: () => {
      for (let i = 0; i < keysPerRound; i++) sink ^= router.slotOwner(keySlots[i] ?? 0);
    },
    text: () => {
      for (let i = 0; i < keysPerRound; i++) sink ^= router.route(texts[i] ?? '').ordinal;
    },
    bigint: () => {
      for (let i = 0; i < keysPerRound; i++) sink ^= bigint.route(i * 7919).ordinal;
    },
    uuid: () => {
      for (let i = 0; i < keysPerRound; i++) sink ^= byUuid.route(uuids[i] ?? '').ordinal;
    },
    hashring: () => {
      for (let i = 0; i < keysPerRound; i++) sink ^= hashring.get(texts[i] ?? '').length;
    },
  };
  const times = new Map(Object.keys(contenders).map(name => [name, new Array<number>()]));
  for (let n = 0; n < rounds; n++) {
    for (const [name, measure] of Object.entries(contenders)) times.get(name)?.push(timed(measure));
  }
  const ns = (name: keyof typeof contenders): number => round(median(times.get(name) ?? []), 1);
  report(
    `ns per route: bigint ${ns('bigint')}, text ${ns('text')}, uuid ${ns('uuid')}; hashring ${ns('hashring')}`,
  );
  return { nsPerLookup: ns('lookup'), nsPerRoute: ns('text'), hashringNs: ns('hashring') };
}

/** The same ring for keys of another type. */
function routerOf(router: Router, keyType: KeyType): Router {
  const shards = router.allShards();
  const write = Uint32Array.from({ length: slots }, (_, slot) => router.slotOwner(slot));
  return createRouter({
    format: 1,
    namespace: 'bench',
    cluster: 'social',
    epoch: 1,
    keyType,
    slots,
    tables: [],
    nextOrdinal: (shards.at(-1)?.ordinal ?? -1) + 1,
    shards,
    ownership: { algorithm: 'hash', owners: { write, read: write } },
  });
}

/** Keeps the results alive, so that the work is not optimized away. */
let sink = 0;

/** Nanoseconds of processor time per key: what else runs on the machine does not count. */
function timed(work: () => void): number {
  const started = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(started);
  return ((user + system) * 1000) / keysPerRound;
}

/** Fewest and most keys of a shard, in percent of the ideal share more or less. */
function spread(assignment: Assignment): readonly [number, number] {
  const fleetSlots = 16_384;
  const ordinals = Array.from({ length: spreadShards }, (_, i) => i);
  const owners = assignSlots(fleetSlots, ordinals, assignment);
  const counts = ordinals.map(() => 0);
  for (let key: Key = 1; key <= spreadKeys; key++) {
    const owner = owners[slotOf(key, 'bigint', fleetSlots)] ?? 0;
    counts[owner] = (counts[owner] ?? 0) + 1;
  }
  const percent = counts.map(count => round((count / (spreadKeys / spreadShards) - 1) * 100));
  return [Math.min(...percent), Math.max(...percent)];
}

function uuid(i: number): string {
  const hex = (Math.imul(i + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0');
  return `${hex}-${hex.slice(0, 4)}-4${hex.slice(1, 4)}-a${hex.slice(3, 6)}-${hex}${hex.slice(4)}`;
}

/** Bytes of live objects and buffers, after a full collection. */
function liveBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
