/**
 * What a first copy takes: the database's own beside the copier with 1, 2 and 4 sessions, of the same rows between the same two
 * servers, in turns. `ROWS=5000000 ROUNDS=3 node engines/postgresql/experiments/copier.ts`
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CopyPace, Transfer } from '#engines/migration.ts';
import { Pair, value } from '#engines/postgresql/migration/testing/pair.ts';
import { cleanAll } from '#engines/postgresql/migration/testing/steer.ts';

const rows = Number(process.env['ROWS'] ?? 1_000_000);
const rounds = Number(process.env['ROUNDS'] ?? 2);
const tables = [{ name: 'users', key: 'id' }];
const slots = (last: number) =>
  ({ kind: 'slots', slots: 256, ranges: last < 0 ? [] : [{ first: 0, last }] }) as const;
const unbounded = { maxReplicaLagBytes: 1e12, maxCommitLatencyMs: 1e9 };
const ways: Readonly<Record<string, CopyPace | undefined>> = {
  database: undefined,
  'copier, 1 session': { parallel: 1, ...unbounded },
  'copier, 2 sessions': { parallel: 2, ...unbounded },
  'copier, 4 sessions': { parallel: 4, ...unbounded },
};

await using pair = await Pair.start(
  'CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, email text, body text, at timestamptz)',
  { tables },
  { source: slots(255), target: slots(-1) },
  { shared_buffers: '256MB', max_wal_size: '4GB' },
);
await pair.source.admin.query(
  `INSERT INTO users SELECT n, 'name ' || n, n || '@example.com', repeat(md5(n::text), 2), now() FROM generate_series(1, ${rows}) n`,
);
await pair.source.admin.query('VACUUM (ANALYZE, FREEZE) users');

let turn = 0;
for (let round = 1; round <= rounds; round++) {
  for (const [way, pace] of Object.entries(ways)) {
    for (const { admin } of [pair.source, pair.target]) await admin.query('CHECKPOINT');
    const transfer: Transfer = {
      id: `t${++turn}`,
      migration: 'experiment',
      keyType: 'bigint',
      partition: slots(255),
      whole: true,
      targetEmpty: true,
      tables,
      ...(pace && { pace }),
    };
    await using session = await pair.open(transfer);
    await session.prepare();
    const begun = performance.now();
    await session.startForward();
    for (;;) {
      if ((await session.observe()).forward.kind === 'Streaming') break;
      await sleep(100);
    }
    const seconds = (performance.now() - begun) / 1000;
    const arrived = await value(pair.target.admin, 'SELECT count(*)::int FROM users');
    if (arrived !== rows) throw new Error(`${way}: ${String(arrived)} rows instead of ${rows}`);
    process.stdout.write(
      `${JSON.stringify({ round, way, rows, seconds, rowsPerSecond: Math.round(rows / seconds) })}\n`,
    );
    await cleanAll(session, 'target');
  }
}
