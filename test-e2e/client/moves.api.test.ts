/** A move of data is invisible to callers: statements, transactions, scatters and replica reads across both switches. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Client } from '#client/client.ts';
import { aggregate } from '#client/merge.ts';
import type { ClientOptions } from '#client/options.ts';
import { createRouter } from '#sharding/router.ts';
import { type Findings, Hammer } from './hammer.ts';
import { HandMove, isMoving } from './hand-move.ts';
import { PostgresFleet } from './postgres-fleet.ts';

let fleet: PostgresFleet;
let move: HandMove;
const clients: Client[] = [];

function connect(options: Partial<ClientOptions> = {}, pooled = false): Client {
  const client = pooled ? fleet.pooledClient(options) : fleet.client(options);
  clients.push(client);
  return client;
}

/** A key of those that move, from `from` upwards. */
function movingKey(from: number): number {
  const { slot } = createRouter(fleet.map).route(from);
  return slot !== undefined && slot < 64 ? from : movingKey(from + 1);
}

/** What no caller should ever see. */
const unnoticed = { errors: [], wrong: [] };

async function hammered(client: Client, moves: number): Promise<Pick<Findings, 'errors' | 'wrong'>> {
  const hammer = new Hammer(client);
  await hammer.reset();
  const running = hammer.run();
  const progress = async () => {
    const before = hammer.statements;
    await expect.poll(() => hammer.statements, { timeout: 20_000 }).toBeGreaterThan(before + 40);
  };
  for (let n = 0; n < moves; n++) {
    await progress();
    await move.switchWriters();
  }
  await progress();
  hammer.stop();
  await running;
  const { errors, wrong, scatters } = await hammer.finish();
  expect(scatters).toBeGreaterThan(moves);
  return { errors, wrong };
}

beforeAll(async () => {
  fleet = await PostgresFleet.start(2);
  await fleet.startPoolers();
  await new Hammer(connect()).load();
  move = await HandMove.prepare(fleet);
});
beforeEach(async () => {
  for (const shard of ['social-0', 'social-1'])
    await fleet.sql(shard, 'DELETE FROM items WHERE id < 1000000');
  move.publishAfterMs = 0;
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});
afterAll(async () => {
  await move?.[Symbol.asyncDispose]();
  await fleet?.[Symbol.asyncDispose]();
});

const readersCount = `SELECT count(*) AS n FROM items WHERE ${isMoving}`;

describe('the readers’ switch', () => {
  it('shows each row once to scatters, before and after', async () => {
    const client = connect();
    const countRows = async () => {
      const { rows } = await client.scatter(readersCount, {
        read: 'replica',
        merge: aggregate({ n: 'count' }),
      });
      return Number(rows[0]?.['n']);
    };
    const expected = await countRows();
    expect(expected).toBeGreaterThan(10);
    const counts: number[] = [];
    const stop = new AbortController();
    const readers = Array.from({ length: 3 }, async () => {
      while (!stop.signal.aborted) counts.push(await countRows());
    });
    const progress = async () => {
      const before = counts.length;
      await expect.poll(() => counts.length, { timeout: 20_000 }).toBeGreaterThan(before + 20);
    };
    await progress();
    await move.openReaders();
    await progress();
    move.publishReaders();
    await progress();
    await move.closeReaders();
    await progress();
    stop.abort();
    await Promise.all(readers);
    expect(new Set(counts)).toEqual(new Set([expected]));
    await move.switchWriters();
  });

  it('never answers a scatter from two maps, however long it takes and even if both would answer', async () => {
    const client = connect();
    const slowly = `SELECT count(*) AS n, pg_sleep(1.5) FROM items WHERE ${isMoving}`;
    const scatter = () =>
      client.scatter(slowly, { read: 'replica', strategy: 'sequential', merge: aggregate({ n: 'count' }) });
    const before = await scatter();
    await move.openReaders();
    // While the first shard is asked by the old map, the new one arrives.
    const during = scatter();
    await expect
      .poll(
        async () =>
          fleet.sql(
            'social-0',
            `SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()`,
          ),
        { timeout: 20_000 },
      )
      .toHaveLength(1);
    move.publishReaders();
    expect(await during).toEqual(before);
    await move.closeReaders();
    await move.switchWriters();
  });
});

describe('the writers’ switch', () => {
  it('is not noticed by any caller', async () => {
    expect(await hammered(connect(), 4)).toEqual(unnoticed);
  });

  it('is not noticed with full pools', async () => {
    expect(await hammered(connect({ pool: { max: 2 } }), 4)).toEqual(unnoticed);
  });

  it('is not noticed when the map comes late', async () => {
    move.publishAfterMs = 1200;
    expect(await hammered(connect(), 2)).toEqual(unnoticed);
  });

  it('finds sessions of the new generations open, and leaves none of the old ones', async () => {
    const client = connect();
    const keys = [movingKey(1), ...Array.from({ length: 12 }, (_, n) => 100 + n)];
    await Promise.all(keys.map(key => client.forKey(key).query('SELECT pg_sleep(0.2)')));
    const before = Object.entries(await move.sessions(move.owner));
    const [[old, open] = ['', 0]] = before;
    expect(open).toBeGreaterThan(4);
    const loser = move.owner;
    await move.switchWriters();
    for (const shard of [loser, move.owner] as const) {
      await expect
        .poll(async () => Object.values(await move.sessions(shard)), { timeout: 20_000 })
        .toEqual([open]);
      expect(Object.keys(await move.sessions(shard))).not.toEqual([old]);
    }
  });

  it('runs a transaction again whose session it ended, unless the callback must not be', async () => {
    const client = connect();
    const key = movingKey(5000);
    const [callback, once] = [0, 0].map(() => ({ runs: 0 }));
    const work = (counted: { runs: number } | undefined, repeatable: boolean) =>
      client.forKey(key).transaction(
        async transaction => {
          await transaction.query('SELECT FROM items WHERE id = $1', [key]);
          // A reading transaction holds no lock that would stop the fence.
          if (counted !== undefined && counted.runs++ === 0) await move.switchWriters();
          await transaction.query('SELECT FROM items WHERE id = $1', [key]);
        },
        { repeatable },
      );
    await work(callback, true);
    await expect(work(once, false)).rejects.toMatchObject({
      code: expect.stringMatching(/Unreachable|Statement/),
    });
    expect([callback?.runs, once?.runs]).toEqual([2, 1]);
  });
});

// Last: a pooler keeps sessions of its own for logins that nobody uses any more.
describe('through a pooler', () => {
  it('the writers’ switch is not noticed', async () => {
    expect(await hammered(connect({}, true), 4)).toEqual(unnoticed);
  });

  it('nor when the map comes late', async () => {
    move.publishAfterMs = 1200;
    expect(await hammered(connect({}, true), 2)).toEqual(unnoticed);
  });
});

describe('an order to end a session', () => {
  it('never answers a write that took effect: what it hits is repeated, once', async () => {
    const client = connect({ pool: { max: 8 } });
    await client.ready();
    const ids = Array.from({ length: 4000 }, (_, n) => 10_000 + n).filter(
      id => client.locate(id) === 'social-1',
    );
    const stop = new AbortController();
    let ended = 0;
    const killer = (async () => {
      const session = await fleet.superuser('social-1');
      while (!stop.signal.aborted) {
        const { rowCount } = await session.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE usename LIKE 'app_g%' AND state = 'active' ORDER BY random() LIMIT 1`,
        );
        ended += rowCount ?? 0;
      }
      await session.end();
    })();
    const waiting = [...ids];
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const errors: unknown[] = [];
        for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
          const insert =
            id % 2 === 0 ? `INSERT INTO items VALUES (${id}, 'x')` : 'INSERT INTO items VALUES ($1, $2)';
          // Repeating one that took effect would be refused: the key is there.
          await client
            .forKey(id)
            .query(insert, id % 2 === 0 ? undefined : [id, 'x'])
            .catch((error: unknown) => errors.push(error));
        }
        return errors;
      }),
    );
    stop.abort();
    await killer;
    expect(ended).toBeGreaterThan(20);
    expect(outcomes.flat()).toEqual([]);
  });
});
