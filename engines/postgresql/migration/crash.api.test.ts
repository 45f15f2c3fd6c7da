/**
 * The fence cut off between any two of its steps, in both directions, and what its successor finds: nothing has happened or all
 * is decided, and one end can be written - never both, and not none for ever.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { End, Transfer, TransferSession } from '#engines/migration.ts';
import { other } from './ends.ts';
import { ends, Pair, until, value } from './testing/pair.ts';
import { cleanAll, connectStreams, ensureBoth, limits } from './testing/steer.ts';

vi.setConfig({ testTimeout: 120_000 });

const tables = [{ name: 'users', key: 'id' }];
const transfer: Transfer = {
  id: 'c1',
  migration: 'grow',
  keyType: 'bigint',
  partition: { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 255 }] },
  whole: true,
  targetEmpty: true,
  tables,
};
/** In the order in which the fence takes them; from `committed` on it is decided. */
const steps = [
  'looked',
  'opened at the gainer',
  'opened at the loser',
  'begun',
  'locked',
  'marked',
  'arrived',
  'committed',
  'finished',
];
const decidedAt = steps.indexOf('committed');

let pair: Pair;
let session: TransferSession;
beforeAll(async () => {
  pair = await Pair.start(
    'CREATE TABLE users (id bigserial PRIMARY KEY, name text)',
    { tables },
    {
      source: transfer.partition,
      target: { kind: 'slots', slots: 256, ranges: [] },
    },
  );
  await pair.source.admin.query(`INSERT INTO users (name) SELECT 'user' FROM generate_series(1, 100)`);
  session = await pair.open(transfer);
  await connectStreams(session);
});
afterAll(async () => {
  await session?.[Symbol.asyncDispose]();
  await pair?.[Symbol.asyncDispose]();
});

/** Ends at which a client with the given generation can write the row. */
async function writable(generations: Readonly<Record<End, number>>): Promise<readonly End[]> {
  const found: End[] = [];
  for (const end of ends) {
    try {
      const client = await pair.client(end, `app_g${generations[end]}`);
      const { rowCount } = await client.query(`UPDATE users SET name = 'x' WHERE id = 1`);
      if (rowCount === 1) found.push(end);
      await client.end();
    } catch {
      // Refused, or not let in: not writable.
    }
  }
  return found;
}

const inForce = () => ({ source: pair.source.generations.write, target: pair.target.generations.write });
/** The operator is gone: its connections break, nothing more is done. */
const die = async (hooks: { at: string }, change: Parameters<TransferSession['fence']>[0]) => {
  const reached: string[] = [];
  const doomed = await pair.open(transfer, {
    step: async done => {
      reached.push(done);
      if (done !== hooks.at) return;
      void doomed[Symbol.asyncDispose]();
      await new Promise(() => undefined);
    },
  });
  void doomed.fence(change, limits).catch(() => undefined);
  await until('there', () => Promise.resolve(reached.includes(hooks.at)), Boolean);
  // Sessions that were cut are gone when the server has noticed.
  for (const end of ends)
    await until(
      'alone',
      () =>
        value(
          pair[end].admin,
          `SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'shardwright' AND xact_start IS NOT NULL`,
        ),
      count => count === 0,
    );
};

describe.each(['target', 'source'] as const)('giving writes to the %s, cut off after', to => {
  test.each(steps.map((at, index) => ({ at, decided: index >= decidedAt })))(
    '$at',
    async ({ at, decided }) => {
      const loser = other(to);
      // A walk through all steps: where the writes are not with the loser yet, they are brought there first.
      if ((await session.observe()).writes === to) {
        const back = pair.switchTo('write', loser);
        await session.fence(back, limits);
        pair.publish(back);
        await ensureBoth(pair);
      }
      const change = pair.switchTo('write', to);
      await die({ at }, change);
      const { writes } = await session.observe();
      expect(writes).toBe(decided ? to : loser);
      expect(await writable(inForce())).toEqual(decided ? [] : [loser]);
      // Making sure of logins as the map has them: once it is decided, such an order is out of date at the end that lost, and
      // opens nothing; before, it leaves those alone that are ahead of it.
      const orders = await Promise.allSettled(ends.map(end => pair.ensureAccess(end)));
      const refused = orders.filter(({ status }) => status === 'rejected');
      const stale = { status: 'rejected', reason: expect.objectContaining({ code: 'StaleAccess' }) };
      expect(refused).toEqual(decided ? [stale] : []);
      expect(await writable(inForce())).toEqual(decided ? [] : [loser]);
      expect(await session.fence(change, limits)).toMatchObject({
        kind: 'Fenced',
        ...(decided && { tries: 0 }),
      });
      pair.publish(change);
      await ensureBoth(pair);
      expect(await writable(inForce())).toEqual([to]);
      expect((await session.observe()).ends[loser].writers).toEqual([change.generations[loser].to]);
    },
  );
});

test('numbers of a sequence that moved are not given out again', async () => {
  const owner = (await session.observe()).writes;
  const highest = Number(await value(pair[owner].admin, 'SELECT max(id)::int FROM users'));
  const client = await pair.writer(owner);
  expect(await value(client, `INSERT INTO users (name) VALUES ('new') RETURNING id::int`)).toBeGreaterThan(
    highest,
  );
  await client.end();
});

test('an undone fence leaves nothing open', async () => {
  const owner = (await session.observe()).writes;
  const writer = await pair.writer(owner);
  await writer.query(`BEGIN; UPDATE users SET name = 'long' WHERE id = 2`);
  const before = await session.observe();
  const result = await session.fence(pair.switchTo('write', other(owner)), {
    lockTimeoutMs: 100,
    maxStallMs: 250,
  });
  expect(result).toMatchObject({
    kind: 'Undone',
    reason: 'LockTimeout',
    message: expect.stringContaining('app_g'),
  });
  expect((await session.observe()).ends.source.writers).toEqual(before.ends.source.writers);
  expect((await session.observe()).ends.target.writers).toEqual(before.ends.target.writers);
  await writer.query('COMMIT');
  await writer.end();
});

test('whoever has the writes keeps the rows', async () => {
  const owner = (await session.observe()).writes;
  await expect(session.cleanUp(owner)).rejects.toMatchObject({ code: 'WrongMoment' });
  expect(await value(pair[owner].admin, 'SELECT count(*)::int FROM users')).toBeGreaterThan(99);
});

test('a clean-up that is cut off anywhere is finished by the next', async () => {
  const owner = (await session.observe()).writes;
  for (const at of ['closed', 'streams dropped', 'rows deleted', `cleaned ${owner}`]) {
    const doomed = await pair.open(transfer, {
      step: done => (done === at ? Promise.reject(new Error('cut off')) : Promise.resolve()),
    });
    await expect(doomed.cleanUp(other(owner))).rejects.toThrow('cut off');
    await doomed[Symbol.asyncDispose]();
  }
  await cleanAll(session, other(owner));
  expect(await writable(inForce())).toEqual([owner]);
  expect(await value(pair[other(owner)].admin, 'SELECT count(*)::int FROM users')).toBe(0);
});
