/** A transaction begins with its first statement: what reaches the server, and what of it counts, when one of the two fails. */
import { expect, it } from 'vitest';
import { withBegin } from '#client/begin.ts';
import type { Transaction } from '#client/client.ts';
import { StatementError } from '#client/errors.ts';
import { PostgresFleet } from './postgres-fleet.ts';

it('sends both at once, keeps them together, and nothing outside a transaction', async () => {
  await using fleet = await PostgresFleet.start(1);
  const durations: number[] = [];
  await using client = fleet.client({ pool: { max: 1 }, hooks: { onStatement: () => durations.push(1) } });
  await client.ready();
  const insert = 'INSERT INTO items VALUES ($1, $2)';
  const inTransaction = 'SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS yes, $1::int';
  const run = <T>(work: (transaction: Transaction) => Promise<T>, repeatable = true) => {
    durations.length = 0;
    return client.forKey(1).transaction(work, { repeatable });
  };
  const ids = async () =>
    (await client.forKey(1).query<{ id: string }>('SELECT id FROM items ORDER BY id')).rows;

  await run(async transaction => {
    await transaction.query(insert, [1, 'a']);
    // The identity of the transaction that inserted is still there: it is the same one.
    expect((await transaction.query(inTransaction, [0])).rows).toMatchObject([{ yes: true }]);
  });
  expect(durations).toHaveLength(3);

  await run(transaction => transaction.query(insert, [2, 'a']), false);
  expect(durations).toHaveLength(3);
  await run(transaction => transaction.query("INSERT INTO items VALUES (3, 'a')"));
  expect(durations).toHaveLength(3);
  await expect(run(() => Promise.resolve('nothing'))).resolves.toBe('nothing');
  expect(durations).toHaveLength(0);
  expect(await ids()).toEqual([{ id: '1' }, { id: '2' }, { id: '3' }]);

  // The callback sees what the caller of a single statement would.
  const caught: unknown[] = [];
  const seen = run(transaction =>
    transaction.query(insert, [1, 'again']).catch((error: unknown) => caught.push(error)),
  );
  await expect(seen).rejects.toMatchObject({ sqlState: '23505' });
  expect(caught).toEqual([expect.any(StatementError)]);

  // The first fails and is passed over by the callback: the second is no statement of its own.
  for (const params of [['4', 'a'], undefined]) {
    const late = params === undefined ? "INSERT INTO items VALUES (4, 'a')" : insert;
    const swallowed = run(async transaction => {
      await transaction.query('SELECT 1 / $1::int', [0]).catch(() => undefined);
      await expect(transaction.query(late, params)).rejects.toMatchObject({ sqlState: '25P02' });
    });
    await expect(swallowed).rejects.toMatchObject({ sqlState: '22012' });
  }
  // What cannot be sent is no failure of the transaction.
  const unsendable = {
    toPostgres: () => {
      throw new RangeError('cannot be sent');
    },
  };
  await run(async transaction => {
    await expect(transaction.query(insert, [unsendable, 'a'])).rejects.toThrow(RangeError);
    await transaction.query(insert, [5, 'a']);
  });
  expect(await ids()).toEqual([{ id: '1' }, { id: '2' }, { id: '3' }, { id: '5' }]);
});

it('has the server pass over the statement where BEGIN fails', async () => {
  await using fleet = await PostgresFleet.start(1);
  const session = await fleet.superuser('social-0');
  const first = new Promise((resolve, reject) => {
    session.query(
      withBegin('BEGIN ISOLATION LEVEL NONE', 'INSERT INTO items VALUES ($1)', [6], (error, result) =>
        error === null ? resolve(result) : reject(error),
      ),
    );
  });
  await expect(first).rejects.toMatchObject({ code: '42601' });
  const { rows } = await session.query('SELECT FROM items');
  expect(rows).toEqual([]);
  await session.end();
});
