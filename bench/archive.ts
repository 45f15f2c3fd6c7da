/**
 * The archive of a table beside `COPY (SELECT ...) TO STDOUT` of the same rows to the same process: a real PostgreSQL in a container, a
 * real object store over TLS. What is timed is all that a run does - read, write the file, store it, read it back, compare - without
 * the deleting. In turns in one run, so that both see the same machine; medians count.
 *
 *   rowsPerSecond      rows over the time of the run
 *   copyRowsPerSecond  rows over the time of the COPY, in its text form
 *   ratio              the median of the turns' ratios
 *   cpuMicrosPerRow    of this process, which a busy machine does not change: what limits the run on a quiet one
 */
import { finished } from 'node:stream/promises';
import { to as copyTo } from 'pg-copy-streams';
import { archive } from '#archive/run/archive.ts';
import { realHooks } from '#archive/run/hooks.ts';
import { realLimits } from '#archive/run/limits.ts';
import { openSessions } from '#archive/run/sessions.ts';
import { path, World } from '#archive/testing/world.ts';
import { median, report, round } from './bench.ts';

const rounds = Number(process.env['BENCH_ROUNDS'] ?? 3);
const rows = Number(process.env['BENCH_ROWS'] ?? 500_000);
const table = { name: 'messages', column: 'created_at', olderThanSeconds: 30 * 86_400 };

const schema = `CREATE TABLE messages (user_id bigint, id bigint, created_at timestamptz NOT NULL, kind text NOT NULL,
  body text, price numeric(12,2), details jsonb, PRIMARY KEY (user_id, id));
  CREATE INDEX ON messages (created_at);`;

const fill = `INSERT INTO messages SELECT n % 10007, n, date_trunc('day', now()) - interval '60 days' + n * interval '100 ms',
  'kind ' || n % 5, repeat(md5(n::text), 3), n * 0.01, jsonb_build_object('n', n, 'tag', md5((n % 100)::text))
  FROM generate_series(1, $1::int) n`;

export async function run(): Promise<object> {
  await using world = await World.start(schema);
  await world.useRealStore();
  report(`filling a table with ${rows} rows`);
  await world.admin.query(fill, [rows]);
  await world.admin.query('VACUUM (ANALYZE, FREEZE) messages');
  const turns: {
    readonly archived: number;
    readonly copied: number;
    readonly bytes: number;
    readonly cpuMicros: number;
  }[] = [];
  for (let turn = 1; turn <= rounds; turn++) {
    const copied = rows / (await copySeconds(world));
    const { seconds, bytes, cpuMicros } = await archiveSeconds(world, turn);
    const archived = rows / seconds;
    turns.push({ archived, copied, bytes, cpuMicros });
    report(`${turn}/${rounds}: ${Math.round(archived)} rows/s, COPY ${Math.round(copied)} rows/s`);
  }
  return {
    bench: 'archive',
    rows,
    bytesPerRow: round((turns[0]?.bytes ?? 0) / rows, 1),
    rowsPerSecond: Math.round(median(turns.map(({ archived }) => archived))),
    copyRowsPerSecond: Math.round(median(turns.map(({ copied }) => copied))),
    ratio: round(median(turns.map(({ archived, copied }) => archived / copied)), 3),
    cpuMicrosPerRow: round(median(turns.map(({ cpuMicros }) => cpuMicros)) / rows, 1),
    maxMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
  };
}

async function copySeconds(world: World): Promise<number> {
  const started = performance.now();
  const stream = world.admin.query(copyTo('COPY (SELECT * FROM messages) TO STDOUT'));
  stream.resume();
  await finished(stream);
  if (stream.rowCount !== rows) throw new Error(`COPY gave ${stream.rowCount} rows instead of ${rows}`);
  return (performance.now() - started) / 1000;
}

async function archiveSeconds(
  world: World,
  turn: number,
): Promise<{ seconds: number; bytes: number; cpuMicros: number }> {
  const { signal } = new AbortController();
  await using sessions = await openSessions(world.target, signal);
  const started = performance.now();
  const cpu = process.cpuUsage();
  const outcome = await archive(
    {
      sessions,
      store: world.store,
      path: `${path}/${turn}`,
      shard: 'social-0',
      deleteAfter: false,
      limits: realLimits,
      hooks: realHooks,
      signal,
    },
    [table],
  );
  const seconds = (performance.now() - started) / 1000;
  const used = process.cpuUsage(cpu);
  const [archived] = outcome.tables;
  if (archived?.rows !== rows)
    throw new Error(`${archived?.rows} rows were archived instead of ${rows}: ${outcome.failure?.message}`);
  return { seconds, bytes: archived.bytes, cpuMicros: used.user + used.system };
}
