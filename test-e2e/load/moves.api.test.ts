/**
 * Slots go to and fro between two real servers by the engine's own verbs, while the load works on them through the client
 * library and a map service: what a migration is to an application, without Kubernetes. Prints what it cost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dialDirectly } from '#client/dial.ts';
import { type Client, createClient } from '#client/index.ts';
import { createAuthority, issueCertificate } from '#controllers/pki/authority.ts';
import type { End, Switch, Transfer, TransferSession } from '#engines/migration.ts';
import { Pair } from '#engines/postgresql/migration/testing/pair.ts';
import { copied } from '#engines/postgresql/migration/testing/steer.ts';
import { sameToken } from '#operator/map-service/map-pages.ts';
import { type MapService, startMapService } from '#operator/map-service/server.ts';
import { MemoryMapPages } from '#operator/map-service/testing/memory-map-pages.ts';
import { settleMove } from '#sharding/change.ts';
import { createMap } from '#sharding/create-map.ts';
import type { ShardMap } from '#sharding/map.ts';
import type { Partition } from '#sharding/partition.ts';
import { type FinishedLoad, tellLoad, wrongs } from './deploy.ts';
import { Journal } from './journal.ts';
import { stallBetween } from './latency.ts';
import { type LoadRecord, loadConfig } from './records.ts';
import { runLoad } from './run.ts';
import { loadSchema, loadTables } from './shape.ts';

const token = 'token-of-this-test';
const range = (first: number, last: number): Partition => ({
  kind: 'slots',
  slots: 256,
  ranges: [{ first, last }],
});
const moving = range(64, 127);
const shardOf = { source: 'social-0', target: 'social-1' } as const;
const limits = { lockTimeoutMs: 300, maxStallMs: 1000 };

let pair: Pair;
let service: MapService;
let client: Client;
let map: ShardMap;
let journal: Journal;
const store = new MemoryMapPages();
const records: LoadRecord[] = [];

beforeAll(async () => {
  const owned = { source: range(0, 127), target: range(128, 255) };
  pair = await Pair.start(loadSchema({ keyType: 'bigint' }), { tables: loadTables }, owned);
  map = createMap({
    namespace: 'fleet',
    cluster: 'social',
    keyType: 'bigint',
    slots: 256,
    tables: loadTables,
    shards: [0, 1].map(ordinal => ({ name: `social-${ordinal}`, ordinal })),
    layout: { algorithm: 'hash', assignment: { strategy: 'even' } },
  });
  store.setMap(map);
  const authority = await createAuthority('load test', new Date());
  const tls = await issueCertificate(authority, ['localhost'], new Date());
  service = await startMapService(
    {
      store,
      authorize: given => sameToken(given, token),
      tls: { cert: tls.certificate, key: tls.key },
      heartbeatMs: 1000,
    },
    0,
    '127.0.0.1',
  );
  journal = new Journal(1000, record => records.push(record));
  client = createClient({
    map: { url: 'https://localhost/v1/maps/fleet/social', token, ca: authority.certificate },
    database: 'social',
    credentials: { password: 'app-secret', ca: pair.source.container.ca + pair.target.container.ca },
    dial: ({ host }, signal) => dialDirectly({ host: '127.0.0.1', port: portOf(host) }, signal),
    hooks: journal.hooks,
  });
  await client.ready();
});

afterAll(async () => {
  await client?.close();
  await service?.close();
  await pair?.[Symbol.asyncDispose]();
});

function portOf(host: string): number {
  if (host === 'localhost') return service.port;
  return pair[host.startsWith('social-0') ? 'source' : 'target'].container.port;
}

/** The map first, then what the shard controller does when it sees it. */
async function publish(change: Switch): Promise<void> {
  const from: End = change.to === 'target' ? 'source' : 'target';
  map = settleMove(map, {
    partition: moving,
    from: shardOf[from],
    to: shardOf[change.to],
    side: change.side,
    generations: { from: change.generations[from].to, to: change.generations[change.to].to },
  });
  store.setMap(map);
  pair.publish(change);
  await Promise.all([pair.ensureAccess('source'), pair.ensureAccess('target')]);
}

interface Switched {
  readonly stallMs: number;
  readonly atMs: number;
}

async function switchReaders(session: TransferSession, to: End): Promise<void> {
  const change = pair.switchTo('read', to);
  await session.openReaders(change);
  await publish(change);
  await session.closeReaders(change);
}

async function switchWriters(session: TransferSession, to: End): Promise<Switched> {
  for (let attempt = 1; ; attempt++) {
    const change = pair.switchTo('write', to);
    const result = await session.fence(change, limits);
    if (result.kind === 'Fenced') {
      const atMs = Date.now();
      await publish(change);
      return { stallMs: result.stallMs, atMs };
    }
    if (attempt === 5) throw new Error(`undone: ${result.message}`);
    await sleep(500);
  }
}

async function verified(session: TransferSession, stream: 'forward' | 'back'): Promise<void> {
  const { matches, differences } = await session.verify(stream, 'Full');
  if (!matches) throw new Error(`rows differ: ${differences.join('; ')}`);
}

async function cleanUp(session: TransferSession, loser: End): Promise<void> {
  while ((await session.closeSuperseded()) > 0) await sleep(200);
  while (!(await session.cleanUp(loser)));
  for (const { traces } of Object.values((await session.observe()).ends)) expect(traces).toEqual([]);
}

function transferOf(turn: number): Transfer {
  return {
    id: `turn${turn}`,
    migration: `turn-${turn}`,
    keyType: 'bigint',
    partition: moving,
    whole: false,
    targetEmpty: false,
    tables: loadTables,
  };
}

/** There; and back again within the rollback window, or cleaned up. */
async function move(turn: number, rollBack: boolean): Promise<Switched[]> {
  const session = await pair.open(transferOf(turn));
  try {
    await session.prepare();
    await session.startForward();
    await copied(session);
    await session.startBack();
    await verified(session, 'forward');
    await switchReaders(session, 'target');
    const switched = [await switchWriters(session, 'target')];
    await verified(session, 'back');
    if (rollBack) {
      await switchReaders(session, 'source');
      switched.push(await switchWriters(session, 'source'));
    }
    await cleanUp(session, rollBack ? 'target' : 'source');
    return switched;
  } finally {
    await session[Symbol.asyncDispose]();
  }
}

it('loses and doubles nothing in five moves and their rollbacks, and every scatter is right', {
  timeout: 300_000,
}, async () => {
  const config = loadConfig.parse({
    shape: { owners: 200 },
    writers: 8,
    writesPerSecond: 120,
    replicas: true,
    durationMs: 280_000,
  });
  const stop = new AbortController();
  const running = runLoad(config, client, journal, stop.signal);
  await expect.poll(() => journal.acknowledged, { timeout: 60_000 }).toBeGreaterThan(100);
  const switched: Switched[] = [];
  for (let turn = 1; turn <= 5; turn++) switched.push(...(await move(turn, true)));
  await sleep(500);
  stop.abort();
  const finished: FinishedLoad = { report: await running, records };
  tellLoad('five moves and rollbacks without Kubernetes', finished);
  const calls = records.filter(record => record.type === 'call');
  const stalls = switched.map(({ stallMs, atMs }) => {
    const waited = stallBetween(calls, finished.report.usual, atMs - stallMs - 50, atMs + 500);
    return `${stallMs.toFixed(0)}/${waited.toFixed(0)}`;
  });
  process.stderr.write(`fence/longest wait of a call, ms: ${stalls.join(' ')}\n`);
  expect(wrongs(finished)).toEqual([]);
  expect(finished.report.failed).toBe(0);
});
