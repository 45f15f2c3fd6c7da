/**
 * Generation logins on real members, directly and through the pooler: what a stale client of a writer's and of a reader's
 * generation meets, and how soon. `node engines/postgresql/experiments/generation-logins.ts SHARD NAMESPACE`; the shard is
 * one that shard-objects.ts made, with two members.
 */
import { randomBytes } from 'node:crypto';
import type { AccessInput } from '#engines/engine.ts';
import { scramVerifier } from '#engines/scram.ts';
import { forward, login, outcome, podsWithRole, report, session, until } from './cluster.ts';

const [shard = 'social-0', namespace = 'default'] = process.argv.slice(2);
const place = { shard, namespace };
const [primaryPod = '', replicaPod = ''] = [
  ...podsWithRole(place, 'primary'),
  ...podsWithRole(place, 'replica'),
];
await using primary = await forward(place, primaryPod);
await using replica = await forward(place, replicaPod);
await using admin = await session(place, primary);

// Generations are never used twice, so that the experiment can be repeated on one shard.
const start = Math.floor(Date.now() / 1000) % 1_000_000;
const verifier = scramVerifier('app-secret', randomBytes(16));
const access = (writer: number, reader: number): AccessInput => ({
  generation: start + writer,
  readerGeneration: start + reader,
  state: 'active',
  partition: { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 255 }] },
  tables: [
    { name: 'users', reference: false },
    { name: 'countries', reference: true },
  ],
  verifier,
  referenceVerifier: verifier,
  stableLogin: false,
});
const writer = (generation: number) => `app_g${start + generation}`;
const reader = (generation: number) => `app_ro_g${start + generation}`;
const as = (port: number, user: string) => login(place, port, user, 'app-secret');
const update = 'UPDATE users SET id = id WHERE id = -1';

await admin.ensureAccess(access(1, 1));
await admin.applySchema([
  {
    name: 'experiment.sql',
    sql: 'CREATE TABLE users (id bigint PRIMARY KEY); CREATE TABLE countries (code text PRIMARY KEY, name text)',
  },
]);
await admin.ensureAccess(access(1, 1));

const direct = await as(primary.sql, writer(1));
const pooled = await as(primary.pooler, writer(1));
const transacting = await as(primary.sql, writer(1));
await transacting.query('BEGIN');
await transacting.query('SELECT count(*) FROM users');
const readDirect = await (async () => {
  await until(
    result => result === 'ok',
    async () => (await as(replica.sql, reader(1))).end(),
  );
  return as(replica.sql, reader(1));
})();
const readPooled = await as(replica.pooler, reader(1));
for (const client of [direct, pooled]) await client.query({ name: 'prepared', text: update });
for (const client of [readDirect, readPooled])
  await client.query({ name: 'prepared', text: 'SELECT * FROM users' });
report('before: writers and readers', 'ok');

const rotation = performance.now();
await admin.ensureAccess(access(2, 1));
report('rotating writers takes ms', Math.round(performance.now() - rotation));
report('stale writer, direct', await outcome(() => direct.query({ name: 'prepared', text: update })));
report('stale writer, pooled', await outcome(() => pooled.query({ name: 'prepared', text: update })));
report('stale writer, in a transaction', await outcome(() => transacting.query('SELECT 1')));
report('stale login, direct', await outcome(() => as(primary.sql, writer(1))));
report('stale login, pooled', await outcome(() => as(primary.pooler, writer(1))));
report(
  'new login, direct',
  await until(
    result => result === 'ok',
    () => as(primary.sql, writer(2)),
  ),
);
report(
  'new login, pooled',
  await until(
    result => result === 'ok',
    async () => (await as(primary.pooler, writer(2))).query(update),
  ),
);
report('readers go on, direct', await outcome(() => readDirect.query('SELECT * FROM users')));
report('readers go on, pooled', await outcome(() => readPooled.query('SELECT * FROM users')));

await admin.ensureAccess(access(2, 2));
const fails = (result: string) => result !== 'ok';
report(
  'stale reader on the replica, direct',
  await until(fails, () => readDirect.query({ name: 'prepared', text: 'SELECT * FROM users' })),
);
report(
  'stale reader on the replica, pooled',
  await until(fails, () => readPooled.query({ name: 'prepared', text: 'SELECT * FROM users' })),
);
report('stale reader login on the replica, direct', await outcome(() => as(replica.sql, reader(1))));
report('stale reader login on the replica, pooled', await outcome(() => as(replica.pooler, reader(1))));
report(
  'new reader on the replica',
  await until(
    result => result === 'ok',
    () => as(replica.sql, reader(2)),
  ),
);
process.exit(0);
