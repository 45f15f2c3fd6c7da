/** A primary that is a replica now keeps the sessions that clients have with it, and a Service's new address is found by new ones only. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { dialDirectly } from '#client/dial.ts';
import { PostgresFleet } from './postgres-fleet.ts';

let fleet: PostgresFleet;
/** Where the Service of social-0 leads to: its own server, or that of social-1, which takes no writes. */
let leadsTo = 'social-0';

beforeAll(async () => {
  fleet = await PostgresFleet.start(2);
  await fleet.sql('social-1', 'ALTER SYSTEM SET default_transaction_read_only = on');
  await fleet.sql('social-1', 'SELECT pg_reload_conf()');
});
afterEach(async () => {
  await fleet.sql('social-0', 'TRUNCATE items');
});
afterAll(() => fleet?.[Symbol.asyncDispose]());

function connect(sessions: number) {
  return fleet.client({
    pool: { max: sessions },
    dial: (endpoint, signal) => {
      if (!endpoint.host.startsWith('social-0.'))
        return dialDirectly({ host: '127.0.0.1', port: fleet.portOf(endpoint.host) }, signal);
      return dialDirectly(fleet.addressOf(leadsTo), signal);
    },
  });
}

it.each([
  [
    'a statement',
    (client: ReturnType<typeof connect>, id: number) =>
      client.forShard('social-0').query(`INSERT INTO items VALUES (${id}, 'x')`),
  ],
  [
    'a transaction',
    (client: ReturnType<typeof connect>, id: number) =>
      client.forShard('social-0').transaction(async transaction => {
        await transaction.query('SELECT FROM items WHERE id = $1', [id]);
        await transaction.query(`INSERT INTO items VALUES (${id}, 'x')`);
      }),
  ],
] as const)('%s finds the new primary, whatever sessions are open', async (_what, write) => {
  await using client = connect(4);
  await client.ready();
  leadsTo = 'social-1';
  const look = () => client.forShard('social-0').query('SELECT pg_sleep(0.2)');
  await Promise.all([look(), look(), look(), look()]);
  const written = Promise.all([1, 2, 3].map(id => write(client, id)));
  await new Promise(resolve => setTimeout(resolve, 300));
  leadsTo = 'social-0';
  await written;
  expect(await fleet.sql('social-0', 'SELECT id FROM items ORDER BY id')).toHaveLength(3);
});

it('a write in a transaction that is to be read-only is refused at once, and nothing is repeated', async () => {
  await using client = connect(1);
  let tries = 0;
  const work = client.forShard('social-0').transaction(
    async transaction => {
      tries++;
      await transaction.query(`INSERT INTO items VALUES (1, 'x')`);
    },
    { readOnly: true },
  );
  await expect(work).rejects.toMatchObject({ name: 'StatementError', sqlState: '25006' });
  expect(tries).toBe(1);
});

it('so is one that a replica is asked for', async () => {
  await using client = connect(1);
  await client.ready();
  leadsTo = 'social-1';
  const write = client
    .forShard('social-0')
    .query(`INSERT INTO items VALUES (1, 'x')`, [], { read: 'replica' });
  await expect(write).rejects.toMatchObject({ name: 'StatementError', sqlState: '25006' });
  leadsTo = 'social-0';
});
