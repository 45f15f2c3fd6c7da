/** The load itself: quiet while all is well, and not when a row is taken away, put back, copied or changed behind its back. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Client } from '#client/client.ts';
import { PostgresFleet } from '#test-e2e/client/postgres-fleet.ts';
import { wrongs } from './deploy.ts';
import { Journal } from './journal.ts';
import { type LoadRecord, loadConfig } from './records.ts';
import { runLoad } from './run.ts';
import { loadSchema } from './shape.ts';

const shards = ['social-0', 'social-1'];
let fleet: PostgresFleet;
let client: Client;

beforeAll(async () => {
  fleet = await PostgresFleet.start(2);
  for (const shard of shards) {
    await fleet.sql(
      shard,
      `${loadSchema({ keyType: 'bigint' })}
       GRANT ALL ON accounts, pots, entries, ballast TO app_g1; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app_g1`,
    );
  }
  client = fleet.client();
  await client.ready();
});
afterAll(async () => {
  await client?.close();
  await fleet?.[Symbol.asyncDispose]();
});

/** `sabotage` is done once when the load has run for a while. Resolves with what the load found wrong. */
async function found(sabotage: () => Promise<unknown>): Promise<readonly string[]> {
  for (const shard of shards) await fleet.sql(shard, 'TRUNCATE accounts, pots, entries');
  const config = loadConfig.parse({ shape: { owners: 20 }, writesPerSecond: 200, durationMs: 60_000 });
  const records: LoadRecord[] = [];
  const stop = new AbortController();
  const journal = new Journal(3, record => records.push(record));
  const running = runLoad(config, client, journal, stop.signal);
  await expect.poll(() => journal.acknowledged, { timeout: 30_000 }).toBeGreaterThan(150);
  await sabotage();
  const seen = journal.passes.right + journal.passes.wrong;
  const acknowledged = journal.acknowledged;
  await expect.poll(() => journal.acknowledged, { timeout: 30_000 }).toBeGreaterThan(acknowledged + 150);
  await expect
    .poll(() => journal.passes.right + journal.passes.wrong, { timeout: 30_000 })
    .toBeGreaterThan(seen + 2);
  stop.abort();
  const report = await running;
  expect(report.rows.accounts).toBeGreaterThan(0);
  return wrongs({ report, records });
}

it('finds nothing wrong where nothing is', async () => {
  expect(await found(() => Promise.resolve())).toEqual([]);
});

it.each([
  [
    'an account that vanishes',
    'DELETE FROM accounts WHERE owner = (SELECT min(owner) FROM accounts)',
    /lost: account/,
  ],
  [
    'an update that is undone',
    'UPDATE accounts SET version = version - 2 WHERE owner = (SELECT owner FROM accounts WHERE version > 3 LIMIT 1)',
    /lost: [12] updates|wrong own: UPDATE/,
  ],
  [
    'an update that is made twice',
    'UPDATE accounts SET version = version + 1 WHERE owner = (SELECT min(owner) FROM accounts)',
    /doubled: 1 updates|wrong own/,
  ],
  [
    'a write that is made twice',
    'INSERT INTO entries (owner, op, amount) SELECT owner, op, amount FROM entries ORDER BY id LIMIT 1',
    /doubled: write|wrong own/,
  ],
  [
    'money that goes astray',
    'UPDATE pots SET balance = balance + 1 WHERE owner = (SELECT min(owner) FROM pots)',
    /torn/,
  ],
  [
    'half a transaction',
    'DELETE FROM entries WHERE id = (SELECT max(id) FROM entries WHERE amount < 0)',
    /torn: write|wrong primaries/,
  ],
])('finds %s', async (_what, sql, message) => {
  expect((await found(() => fleet.sql('social-0', sql))).join('\n')).toMatch(message);
});

it('finds rows that are on two shards at once, in the pass that sees them', async () => {
  const seen = await found(async () => {
    const [row] = await fleet.sql('social-0', 'SELECT owner FROM accounts LIMIT 1');
    await fleet.sql('social-1', `INSERT INTO accounts VALUES (${String(row?.['owner'])}, 0)`);
    await new Promise(resolve => setTimeout(resolve, 600));
    await fleet.sql('social-1', `DELETE FROM accounts WHERE owner = ${String(row?.['owner'])}`);
  });
  expect(seen.join('\n')).toMatch(/wrong primaries: \{"accounts":21/);
});
