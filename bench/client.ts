/**
 * `client`: what the client library costs. Point reads by key and transactions of two statements, through the library and
 * through the plain driver's pool, to the same PostgreSQL in a container, with the same login, TLS, number of sessions and of
 * callers. The two take turns, a fraction of a second each and in changing order, so that both see the same machine.
 * `ratio` is the lower of the two medians of calls per second over those of the plain driver; `p99Ms` is of the library's reads.
 * Options: --rounds N, --callers N.
 */
import { parseArgs } from 'node:util';
import { Pool } from 'pg';
import type { Client } from '#client/client.ts';
import { writeHost, writeLogin } from '#sharding/endpoints.ts';
import { PostgresFleet, password } from '#test-e2e/client/postgres-fleet.ts';
import { median, report, round } from './bench.ts';

const rows = 10_000;
/** Short: what else runs on the machine changes from one moment to the next, and should hit both alike. */
const turnMs = 25;
/** At first code is not compiled and sessions are not open. */
const warmUpRounds = 40;
const read = 'SELECT note FROM items WHERE id = $1';
const raise = 'UPDATE items SET note = (note::int + 1)::text WHERE id = $1';

/** One call for the row of that key. */
type Call = (id: number) => Promise<void>;

interface Contender {
  readonly name: 'library' | 'plain';
  readonly reads: Call;
  readonly transactions: Call;
}

interface Turn {
  readonly tookMs: number;
  /** Of this process, the whole turn. */
  readonly processorMicros: number;
  readonly latenciesMs: readonly number[];
}

export async function run(): Promise<object> {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: { rounds: { type: 'string', default: '400' }, callers: { type: 'string', default: '8' } },
  });
  const rounds = Number(values.rounds);
  const callers = Number(values.callers);
  await using fleet = await PostgresFleet.start(1);
  await fleet.sql(
    'social-0',
    `INSERT INTO items SELECT n, '0' FROM generate_series(1, ${rows}) AS n; ANALYZE items`,
  );
  await using client = fleet.client({ pool: { max: callers } });
  await client.ready();
  const pool = plainPool(fleet, callers);
  try {
    const contenders = [library(client), plain(pool)];
    const reads = await compare('reads', contenders, rounds, callers);
    const transactions = await compare('transactions', contenders, rounds, callers);
    return {
      bench: 'client',
      ratio: Math.min(reads.ratio, transactions.ratio),
      p99Ms: reads.p99Ms,
      plainP99Ms: reads.plainP99Ms,
      reads,
      transactions,
    };
  } finally {
    await pool.end();
  }
}

function library(client: Client): Contender {
  return {
    name: 'library',
    reads: async id => {
      const { rows: found } = await client.forKey(id).query(read, [id]);
      if (found.length !== 1) throw new Error(`row ${id} is not there`);
    },
    transactions: id =>
      client.forKey(id).transaction(async transaction => {
        await transaction.query(read, [id]);
        await transaction.query(raise, [id]);
      }),
  };
}

function plain(pool: Pool): Contender {
  return {
    name: 'plain',
    reads: async id => {
      const { rows: found } = await pool.query(read, [id]);
      if (found.length !== 1) throw new Error(`row ${id} is not there`);
    },
    transactions: async id => {
      const session = await pool.connect();
      try {
        await session.query('BEGIN');
        await session.query(read, [id]);
        await session.query(raise, [id]);
        await session.query('COMMIT');
      } finally {
        session.release();
      }
    },
  };
}

function plainPool(fleet: PostgresFleet, max: number): Pool {
  return new Pool({
    ...fleet.addressOf('social-0'),
    user: writeLogin(1),
    password,
    database: 'postgres',
    max,
    ssl: { ca: fleet.ca, servername: writeHost('social-0', fleet.map.namespace) },
  });
}

async function compare(
  kind: 'reads' | 'transactions',
  contenders: readonly Contender[],
  rounds: number,
  callers: number,
) {
  const turns = { library: [] as Turn[], plain: [] as Turn[] };
  for (let n = -warmUpRounds; n < rounds; n++) {
    for (const contender of n % 2 === 0 ? contenders : contenders.toReversed()) {
      const turn = await takeTurn(contender[kind], callers);
      if (n >= 0) turns[contender.name].push(turn);
    }
  }
  const ratios = turns.library.map((turn, n) => perSecond([turn]) / perSecond(turns.plain.slice(n, n + 1)));
  const result = {
    perSecond: Math.round(perSecond(turns.library)),
    plainPerSecond: Math.round(perSecond(turns.plain)),
    ratio: round(median(ratios), 3),
    p99Ms: round(percentile(turns.library, 0.99)),
    plainP99Ms: round(percentile(turns.plain, 0.99)),
    processorMicros: round(median(turns.library.map(microsPerCall)), 1),
    plainProcessorMicros: round(median(turns.plain.map(microsPerCall)), 1),
  };
  report(`${kind}: ${JSON.stringify(result)}`);
  return result;
}

/** Each caller makes one call after the other. */
async function takeTurn(call: Call, callers: number): Promise<Turn> {
  const latenciesMs: number[] = [];
  const before = process.cpuUsage();
  const startedMs = performance.now();
  const untilMs = startedMs + turnMs;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (let beganMs = performance.now(); beganMs < untilMs; ) {
        await call(1 + Math.floor(Math.random() * rows));
        const endedMs = performance.now();
        latenciesMs.push(endedMs - beganMs);
        beganMs = endedMs;
      }
    }),
  );
  const { user, system } = process.cpuUsage(before);
  return { tookMs: performance.now() - startedMs, processorMicros: user + system, latenciesMs };
}

function perSecond(turns: readonly Turn[]): number {
  const calls = turns.reduce((sum, turn) => sum + turn.latenciesMs.length, 0);
  return (calls * 1000) / turns.reduce((sum, turn) => sum + turn.tookMs, 0);
}

function microsPerCall({ processorMicros, latenciesMs }: Turn): number {
  return processorMicros / latenciesMs.length;
}

function percentile(turns: readonly Turn[], part: number): number {
  const sorted = turns.flatMap(turn => turn.latenciesMs).toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
