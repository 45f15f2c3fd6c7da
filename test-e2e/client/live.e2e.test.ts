/** The client library against real servers that come and go under it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Client } from '#client/client.ts';
import {
  DeadlineError,
  NoMapError,
  ReadOnlyShardError,
  ShardError,
  ShardUnavailableError,
  ShardUnreachableError,
  StatementError,
  UnknownOutcomeError,
} from '#client/errors.ts';
import { aggregate, ordered } from '#client/merge.ts';
import type { ClientOptions } from '#client/options.ts';
import { bumpGeneration, withShardState } from '#sharding/change.ts';
import { PostgresFleet } from './postgres-fleet.ts';

let fleet: PostgresFleet;
const clients: Client[] = [];

function connect(options: Partial<ClientOptions> = {}): Client {
  const client = fleet.client(options);
  clients.push(client);
  return client;
}

/** The lowest key of the shard from `from` upwards. */
function keyOn(client: Client, shard: string, from: number): number {
  for (let key = from; ; key++) if (client.locate(key) === shard) return key;
}

const insert = 'INSERT INTO items (id, note) VALUES ($1, $2)';

async function count(shard: string, id: number): Promise<number> {
  const [row] = await fleet.sql(shard, `SELECT count(*)::int AS n FROM items WHERE id = ${id}`);
  return Number(row?.['n']);
}

const sleeping = `FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()`;

async function sleepRuns(): Promise<void> {
  for (;;) if ((await fleet.sql('social-1', `SELECT ${sleeping}`)).length > 0) return;
}

async function killSleep(): Promise<void> {
  await fleet.sql('social-1', `SELECT pg_terminate_backend(pid) ${sleeping}`);
}

/** The reference table as each shard has it. */
async function everywhere() {
  const text = 'SELECT code, name, cities FROM countries ORDER BY code';
  return [await fleet.sql('social-0', text), await fleet.sql('social-1', text)];
}

beforeAll(async () => {
  fleet = await PostgresFleet.start(2);
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});
afterAll(async () => {
  await fleet?.[Symbol.asyncDispose]();
});

describe('routing', () => {
  it('stores every row on the shard that owns its key, and finds it there', async () => {
    const client = connect();
    await client.ready();
    for (let id = 1; id <= 40; id++) await client.forKey(id).query(insert, [id, `note ${id}`]);
    for (const shard of ['social-0', 'social-1']) {
      const rows = await fleet.sql(shard, 'SELECT id FROM items WHERE id BETWEEN 1 AND 40');
      expect(rows.length).toBeGreaterThan(0);
      expect(rows.map(row => client.locate(String(row['id'])))).toEqual(rows.map(() => shard));
    }
    const { rows } = await client.forKey(7).query('SELECT note FROM items WHERE id = $1', [7]);
    expect(rows).toEqual([{ note: 'note 7' }]);
  });

  it('reads through the reading login', async () => {
    const client = connect();
    const { rows } = await client
      .forKey(7)
      .query('SELECT current_user::text AS login', [], { read: 'replica' });
    expect(rows).toEqual([{ login: 'app_ro_g1' }]);
  });

  it('hands the server’s refusal to the caller with its shard and code', async () => {
    const client = connect();
    const failure = await client
      .forKey(7)
      .query(insert, [7, 'again'])
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StatementError);
    expect(failure).toMatchObject({
      sqlState: '23505',
      constraint: 'items_pkey',
      shards: [client.locate(7)],
    });
  });

  it('does not take parameters that cannot be sent for a broken connection', async () => {
    const client = connect();
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    const scope = client.forKey(7);
    await expect(scope.query('SELECT $1::jsonb', [circular])).rejects.toThrow(TypeError);
    await expect(scope.query('SELECT 1 AS one')).resolves.toMatchObject({ rows: [{ one: 1 }] });
  });

  it('refuses a server whose certificate is of another authority', async () => {
    const client = connect({
      map: { url: fleet.mapUrl, token: fleet.token, ca: fleet.ca },
      credentials: { password: 'only-for-this-test' },
      timeouts: { callMs: 500 },
    });
    const failure = await client
      .forKey(7)
      .query('SELECT 1')
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ShardUnreachableError);
    expect(failure).toMatchObject({ message: expect.stringContaining('certificate') });
  });
});

describe('passwords', () => {
  it('falls back to the next password during a rotation', async () => {
    const client = connect({
      credentials: { password: 'the old one', nextPassword: 'only-for-this-test', ca: fleet.ca },
    });
    await expect(client.forKey(7).query('SELECT 1 AS one')).resolves.toMatchObject({ rowCount: 1 });
  });

  it('reads the credentials again when all were refused', async () => {
    let reads = 0;
    const client = connect({
      credentials: () => {
        reads++;
        return Promise.resolve({ password: reads < 3 ? 'stale' : 'only-for-this-test', ca: fleet.ca });
      },
    });
    await expect(client.forKey(7).query('SELECT 1 AS one')).resolves.toMatchObject({ rowCount: 1 });
  });
});

describe('a change of generation', () => {
  it('goes unnoticed by statements and transactions that run meanwhile', async () => {
    const client = connect();
    await client.ready();
    const key = keyOn(client, 'social-0', 10_000);
    await client.forKey(key).query(insert, [key, '0']);
    const stop = new AbortController();
    let done = 0;
    let unknown = 0;
    const statements = (async () => {
      while (!stop.signal.aborted) {
        const { rowCount } = await client.forKey(key).query('SELECT note FROM items WHERE id = $1', [key]);
        expect(rowCount).toBe(1);
      }
    })();
    const transactions = (async () => {
      while (!stop.signal.aborted) {
        const outcome = client.forKey(key).transaction(async transaction => {
          const bump = 'UPDATE items SET note = (note::int + 1)::text WHERE id = $1';
          expect((await transaction.query(bump, [key])).rowCount).toBe(1);
        });
        await outcome.then(
          () => done++,
          (error: unknown) => {
            // A session that is killed while its COMMIT is on the way: the one thing that nobody can know.
            if (!(error instanceof UnknownOutcomeError)) throw error;
            unknown++;
          },
        );
      }
    })();
    const progress = async () => {
      const before = done;
      await expect.poll(() => done, { timeout: 20_000 }).toBeGreaterThan(before + 4);
    };
    for (let generation = 1; generation <= 3; generation++) {
      await progress();
      await fleet.fence('social-0', generation);
      fleet.publish(bumpGeneration(fleet.map, 'social-0', 'write'));
    }
    await progress();
    stop.abort();
    await Promise.all([statements, transactions]);
    const [row] = await fleet.sql('social-0', `SELECT note FROM items WHERE id = ${key}`);
    expect(Number(row?.['note'])).toBeGreaterThanOrEqual(done);
    expect(Number(row?.['note'])).toBeLessThanOrEqual(done + unknown);
    expect(unknown).toBeLessThanOrEqual(3);
  });

  it('starts a scatter over, whole', async () => {
    const client = connect();
    await client.ready();
    const total = await client.scatter<{ n: string }, unknown>('SELECT count(*) AS n FROM items', {
      merge: aggregate({ n: 'count' }),
    });
    await fleet.fence('social-0', 4);
    const again = client.scatter<{ n: string }, unknown>('SELECT count(*) AS n FROM items', {
      merge: aggregate({ n: 'count' }),
    });
    fleet.publish(bumpGeneration(fleet.map, 'social-0', 'write'));
    await expect(again).resolves.toEqual(total);
  });

  it('keeps a right that is missing for good from looking like a stale map', async () => {
    const client = connect();
    const write = client.forKey(7).query("INSERT INTO countries VALUES ('XX', 'Nowhere')");
    await expect(write).rejects.toMatchObject({ code: 'Statement', sqlState: '42501' });
  });
});

describe('a session that ends in the middle', () => {
  it('repeats a read, but not a write that may have taken effect', async () => {
    const client = connect();
    await client.ready();
    const key = keyOn(client, 'social-1', 20_000);
    await client.forKey(key).query(insert, [key, 'x']);
    const sleep = 'SELECT id, pg_sleep(0.5) FROM items WHERE id = $1';
    const unknown = client.forKey(key).query(sleep, [key]);
    const outcome = unknown.catch((error: unknown) => error);
    await sleepRuns();
    await killSleep();
    expect(await outcome).toBeInstanceOf(UnknownOutcomeError);

    const repeated = client.forKey(key).query(sleep, [key], { idempotent: true });
    await sleepRuns();
    await killSleep();
    await expect(repeated).resolves.toMatchObject({ rowCount: 1 });
  });

  it('runs a transaction again, since nothing was committed', async () => {
    const client = connect();
    await client.ready();
    const key = keyOn(client, 'social-1', 21_000);
    let runs = 0;
    await client.forKey(key).transaction(async transaction => {
      runs++;
      const { rows } = await transaction.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      await transaction.query(insert, [key, `run ${runs}`]);
      if (runs === 1) await fleet.sql('social-1', `SELECT pg_terminate_backend(${rows[0]?.pid})`);
      await transaction.query('SELECT 1');
    });
    expect(runs).toBe(2);
    expect(await fleet.sql('social-1', `SELECT note FROM items WHERE id = ${key}`)).toEqual([
      { note: 'run 2' },
    ]);
  });

  it('rolls back what the callback throws away, and says what COMMIT answered', async () => {
    const client = connect();
    await client.ready();
    const key = keyOn(client, 'social-1', 22_000);
    const thrown = client.forKey(key).transaction(async transaction => {
      await transaction.query(insert, [key, 'x']);
      throw new RangeError('changed my mind');
    });
    await expect(thrown).rejects.toThrow(RangeError);
    const swallowed = client.forKey(key).transaction(async transaction => {
      await transaction.query(insert, [key, 'x']);
      await transaction.query('SELECT 1/0').catch(() => undefined);
    });
    await expect(swallowed).rejects.toMatchObject({ sqlState: '22012' });
    expect(await count('social-1', key)).toBe(0);
  });
});

describe('time', () => {
  it('cancels on the server what is not waited for any more', async () => {
    const client = connect();
    const failure = client.forKey(7).query('SELECT pg_sleep(30)', [], { timeoutMs: 300 });
    await expect(failure).rejects.toThrow(DeadlineError);
    const rows = await fleet.sql(
      client.locate(7),
      `SELECT FROM pg_stat_activity WHERE query LIKE '%sleep(30)%' AND state = 'active' AND pid <> pg_backend_pid()`,
    );
    expect(rows).toEqual([]);
  });

  it('rejects with the reason of the caller’s signal', async () => {
    const client = connect();
    await client.ready();
    const abort = new AbortController();
    const failure = client.forKey(7).query('SELECT pg_sleep(30)', [], { signal: abort.signal });
    abort.abort(new RangeError('enough'));
    await expect(failure).rejects.toThrow('enough');
    await expect(
      client.scatter('SELECT 1', { signal: AbortSignal.abort(new RangeError('no')) }),
    ).rejects.toThrow('no');
  });

  it('bounds the sessions of a shard, and says so when none becomes free', async () => {
    const client = connect({ pool: { max: 1 } });
    await client.ready();
    const slow = client.forKey(7).query('SELECT pg_sleep(1)');
    await expect(client.forKey(7).query('SELECT 1', [], { timeoutMs: 200 })).rejects.toThrow(
      /no session became free/,
    );
    await slow;
    await expect(client.forKey(7).query('SELECT 1')).resolves.toMatchObject({ rowCount: 1 });
  });
});

describe('scatter', () => {
  it('merges', async () => {
    const client = connect();
    const all = await client.scatter('SELECT id FROM items WHERE id <= 40 ORDER BY id', {
      merge: ordered({ column: 'id' }, 3),
    });
    expect(all.rows).toEqual([{ id: '1' }, { id: '2' }, { id: '3' }]);
    const sums = await client.scatter(
      'SELECT sum(id) AS s, count(id) AS n, min(id) AS lo, max(id) AS hi FROM items WHERE id <= 40',
      {
        merge: aggregate({
          s: 'sum',
          n: 'count',
          lo: 'min',
          hi: 'max',
          mean: { average: { sum: 's', count: 'n' } },
        }),
      },
    );
    expect(sums.rows).toEqual([{ s: '820', n: '40', lo: '1', hi: '40', mean: '20.5000000000000000' }]);
    const sequential = await client.scatter('SELECT id FROM items WHERE id <= 40', {
      strategy: 'sequential',
    });
    expect(sequential.rowCount).toBe(40);
  });

  it('names the shards that failed', async () => {
    const client = connect();
    await client.ready();
    const key = keyOn(client, 'social-1', 1);
    const failure = await client
      .scatter(`SELECT 1/(id - ${key}) FROM items`)
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ShardError);
    expect(failure).toMatchObject({ shards: ['social-1'] });
    await expect(client.scatter('SELECT pg_sleep(5)', { timeoutMs: 300 })).rejects.toMatchObject({
      shards: ['social-0', 'social-1'],
    });
  });
});

describe('states', () => {
  it('says that a shard is in maintenance or read-only', async () => {
    const client = connect();
    await client.ready();
    fleet.publish(withShardState(fleet.map, 'social-1', 'maintenance'));
    const key = keyOn(client, 'social-1', 1);
    await expect.poll(() => client.map?.epoch).toBe(fleet.map.epoch);
    await expect(client.forKey(key).query('SELECT 1')).rejects.toThrow(ShardUnavailableError);
    await expect(client.scatter('SELECT 1')).rejects.toMatchObject({ shards: ['social-1'] });

    fleet.publish(withShardState(fleet.map, 'social-1', 'readonly'));
    await fleet.sql('social-1', 'REVOKE INSERT, UPDATE, DELETE ON items FROM app_g1');
    await expect.poll(() => client.map?.epoch).toBe(fleet.map.epoch);
    await expect(client.forKey(key).query('SELECT 1')).resolves.toMatchObject({ rowCount: 1 });
    await expect(client.forKey(key).query(insert, [key, 'x'])).rejects.toThrow(ReadOnlyShardError);

    await fleet.sql('social-1', 'GRANT ALL ON items TO app_g1');
    fleet.publish(withShardState(fleet.map, 'social-1', 'active'));
  });
});

describe('reference tables', () => {
  it('writes on every shard, in one order', async () => {
    const client = connect();
    const countries = client.reference('countries');
    await Promise.all([
      countries.upsert([{ code: 'FR', name: 'France', cities: 9_007_199_254_740_993n }]),
      countries.upsert([{ code: 'DE', name: 'Germany', cities: 2 }]),
    ]);
    await countries.upsert([{ code: 'DE', name: 'Deutschland', cities: 3 }]);
    await countries.delete([{ code: 'XX' }]);
    const [first, second] = await everywhere();
    expect(first).toEqual([
      { code: 'DE', name: 'Deutschland', cities: '3' },
      { code: 'FR', name: 'France', cities: '9007199254740993' },
    ]);
    expect(second).toEqual(first);
  });

  it('fills the gap of a shard that missed changes', async () => {
    const client = connect();
    const countries = client.reference('countries');
    await countries.upsert([{ code: 'IT', name: 'Italy', cities: 1 }], { wait: 'home' });
    await countries.upsert([{ code: 'ES', name: 'Spain', cities: 1 }]);
    await countries.upsert([{ code: 'PT', name: 'Portugal', cities: 1 }], { wait: 'home' });
    await countries.waitUntilEverywhere();
    const [first, second] = await everywhere();
    expect(first).toHaveLength(5);
    expect(second).toEqual(first);
  });

  it('names the shards that lag when time is over, and loses nothing', async () => {
    const client = connect();
    await client.ready();
    await fleet.stop('social-1');
    const write = client
      .reference('countries')
      .upsert([{ code: 'AT', name: 'Austria', cities: 1 }], { timeoutMs: 1500 });
    await expect(write).rejects.toMatchObject({ code: 'BroadcastLag', shards: ['social-1'] });
    await fleet.restart('social-1');
    await client.reference('countries').waitUntilEverywhere();
    const [first, second] = await everywhere();
    expect(second).toEqual(first);
  });
});

describe('without the operator', () => {
  it('goes on with the last map, and follows again when it is back', async () => {
    const client = connect();
    await client.ready();
    await fleet.stopService();
    await client.forKey(30_000).query(insert, [30_000, 'while it was gone']);
    await fleet.startService();
    fleet.publish(bumpGeneration(fleet.map, 'social-1', 'read'));
    await expect.poll(() => client.map?.epoch, { timeout: 15_000 }).toBe(fleet.map.epoch);
  });

  it('starts from the map on disk', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'map-'));
    const map = { url: fleet.mapUrl, token: fleet.token, file: join(folder, 'map.json') };
    const first = connect({ map });
    await first.ready();
    await first.close();
    await fleet.stopService();
    await expect(connect({ map }).forKey(7).query('SELECT 1')).resolves.toMatchObject({ rowCount: 1 });
    await expect(connect().ready({ timeoutMs: 300 })).rejects.toThrow(NoMapError);
    await fleet.startService();
    await rm(folder, { recursive: true });
  });
});

describe('a shard that is away', () => {
  it('is waited for, and then named', async () => {
    const client = connect();
    await client.ready();
    const key = keyOn(client, 'social-1', 40_000);
    await fleet.stop('social-1');
    await expect(client.forKey(key).query('SELECT 1', [], { timeoutMs: 500 })).rejects.toThrow(
      ShardUnreachableError,
    );
    const waiting = client.forKey(key).query(insert, [key, 'worth the wait']);
    await fleet.restart('social-1');
    await expect(waiting).resolves.toMatchObject({ rowCount: 1 });
    expect(await count('social-1', key)).toBe(1);
  });
});
