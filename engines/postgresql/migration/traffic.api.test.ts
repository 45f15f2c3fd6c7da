/** An application at work while data moves, back and forth: it loses nothing, and nothing is there twice. Sabotaged, it notices. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Transfer, TransferSession } from '#engines/migration.ts';
import { slotOf } from '#sharding/slot.ts';
import type { Hooks, Sabotage } from './hooks.ts';
import { type Stream, streamName } from './names.ts';
import { Pair, type Side, until, value } from './testing/pair.ts';
import {
  caughtUp,
  cleanAll,
  connectStreams,
  ensureBoth,
  limits,
  switchReaders,
  switchWriters,
} from './testing/steer.ts';
import { Traffic, trafficSchema, trafficTables } from './testing/traffic.ts';

// Whole stories, each with two servers and an application: a busy machine takes its time.
vi.setConfig({ testTimeout: 240_000 });

const moves = (slot: number) => slot >= 128;
/** An account that moves. */
const moving = [1, 2, 3, 4, 5, 6, 7, 8].find(id => moves(slotOf(id, 'bigint', 256)));
const transfer = (id: string): Transfer => ({
  id,
  migration: 'grow',
  keyType: 'bigint',
  partition: { kind: 'slots', slots: 256, ranges: [{ first: 128, last: 255 }] },
  whole: false,
  targetEmpty: true,
  tables: trafficTables,
});

let pair: Pair;
let traffic: Traffic;
let session: TransferSession;

/** A pair for each story: a sabotaged one leaves nothing that another could stand on. */
beforeEach(async () => {
  pair = await Pair.start(
    trafficSchema,
    { tables: trafficTables },
    {
      source: { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 255 }] },
      target: { kind: 'slots', slots: 256, ranges: [] },
    },
  );
  await Traffic.fill(pair);
  traffic = new Traffic(pair, moves);
});
afterEach(async () => {
  await session[Symbol.asyncDispose]();
  await pair[Symbol.asyncDispose]();
});

const begin = async (hooks: Partial<Hooks> = {}) => {
  session = await pair.open(transfer('t1'), hooks);
  traffic.start();
  await traffic.progress();
};

test('there, back, there again and done', async () => {
  await begin();
  await connectStreams(session);
  expect(await session.verify('forward', 'Full')).toMatchObject({ matches: true });
  await switchReaders(pair, session, 'target');
  for (const to of ['target', 'source', 'target'] as const) {
    await switchWriters(pair, session, to);
    expect(await traffic.progress()).toBe(true);
    await caughtUp(session);
  }
  expect(await session.verify('back', 'Full')).toMatchObject({ matches: true });
  await cleanAll(session, 'source');
  expect(await traffic.progress()).toBe(true);
  await traffic.stop();
  expect(traffic.wrong).toEqual([]);
  expect(traffic.acknowledged).toBeGreaterThan(500);
  expect(traffic.scatters).toBeGreaterThan(50);
});

test('rolled back for good, readers too', async () => {
  await begin();
  await connectStreams(session);
  await switchReaders(pair, session, 'target');
  await switchWriters(pair, session, 'target');
  await traffic.progress();
  await switchWriters(pair, session, 'source');
  await switchReaders(pair, session, 'source');
  await cleanAll(session, 'target');
  expect(await traffic.progress()).toBe(true);
  await traffic.stop();
  expect(traffic.wrong).toEqual([]);
});

test('given up before the cutover', async () => {
  await begin();
  await connectStreams(session);
  await switchReaders(pair, session, 'target');
  await switchReaders(pair, session, 'source');
  await cleanAll(session, 'target');
  expect(await traffic.progress()).toBe(true);
  await traffic.stop();
  expect(traffic.wrong).toEqual([]);
});

describe('a twin that is sabotaged is found out', () => {
  test('when sessions of the older generation stay', async () => {
    await begin({ sabotage: 'old sessions stay' });
    await connectStreams(session);
    await traffic.lingerOn();
    const change = pair.switchTo('write', 'target');
    await until(
      'fenced',
      () => session.fence(change, limits),
      ({ kind }) => kind === 'Fenced',
    );
    pair.publish(change);
    // Making sure of logins would end old sessions too, a moment later: it is in that moment that they do harm.
    await traffic.progress(5_000);
    // What reads on does so within the second, or has been ended.
    for (let n = 0; n < 20 && traffic.wrong.length === 0; n++)
      await new Promise(resolve => setTimeout(resolve, 50));
    await traffic.stop().catch((error: unknown) => traffic.wrong.push(String(error)));
    expect(traffic.wrong.join()).toContain('read on after the map was published');
  });

  test('when streams carry on what came by the other', async () => {
    expect(await writtenBetween('no origin filter')).toBe(1);
  });
});

/**
 * Of two writes the first is carried there before the second is made, and only then does the stream back go on. What the source has
 * afterwards: 2, unless the first came back and undid the second.
 */
async function writtenBetween(sabotage?: Sabotage): Promise<unknown> {
  session = await pair.open(transfer('t1'), sabotage && { sabotage });
  await connectStreams(session);
  const { source, target } = pair;
  const write = () => source.admin.query('UPDATE accounts SET version = version + 1 WHERE id = $1', [moving]);
  await halt(source, 'back');
  await write();
  await until(
    'there',
    () => versionAt(target),
    version => version === 1,
  );
  await halt(target, 'forward');
  await write();
  const back = streamName('t1', 'back');
  const written = await value(target.admin, 'SELECT pg_current_wal_insert_lsn()::text');
  await source.admin.query(`ALTER SUBSCRIPTION ${back} ENABLE`);
  const read = 'SELECT confirmed_flush_lsn >= $2::pg_lsn FROM pg_replication_slots WHERE slot_name = $1';
  await until(
    'carried back',
    () => value(target.admin, read, [back, written]),
    done => done === true,
  );
  return versionAt(source);
}

function versionAt({ admin }: Side): Promise<unknown> {
  return value(admin, 'SELECT version FROM accounts WHERE id = $1', [moving]);
}

/** The stream to this end stands still. */
async function halt({ admin }: Side, stream: Stream): Promise<void> {
  const name = streamName('t1', stream);
  await admin.query(`ALTER SUBSCRIPTION ${name} DISABLE`);
  await until(
    'halted',
    () => value(admin, 'SELECT count(pid)::int FROM pg_stat_subscription WHERE subname = $1', [name]),
    workers => workers === 0,
  );
}

test('what the streams carry does not come back, however late they are', async () => {
  expect(await writtenBetween()).toBe(2);
});

async function crashAfterCommit(sabotage?: Sabotage): Promise<void> {
  const hooks = {
    step: (done: string) =>
      done === 'committed' ? Promise.reject(new Error('cut off here')) : Promise.resolve(),
    ...(sabotage && { sabotage }),
  };
  await begin(hooks);
  await connectStreams(session);
  const change = pair.switchTo('write', 'target');
  await expect(session.fence(change, limits)).rejects.toThrow('cut off here');
  await session[Symbol.asyncDispose]();
  // Its successor knows what the databases say, and nothing else.
  session = await pair.open(transfer('t1'));
  const { writes } = await session.observe();
  if (writes === 'target') {
    await session.fence(change, limits);
    pair.publish(change);
    await ensureBoth(pair);
  } else await session.cleanUp('target');
}

describe('an operator that dies right after the commit', () => {
  test('has left the record of its decision', async () => {
    await crashAfterCommit();
    expect(await traffic.progress()).toBe(true);
    await traffic.stop();
    expect(traffic.wrong).toEqual([]);
  });

  test('without it, nobody could write any more', async () => {
    await crashAfterCommit('no decision record');
    expect(await traffic.progress(3_000)).toBe(false);
    await traffic.stop().catch(() => undefined);
  });
});
