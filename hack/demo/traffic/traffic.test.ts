/** That it would notice: a database in memory that loses, doubles or miscounts on purpose. */
import { expect, test } from 'vitest';
import type { Client, Result, Row } from '#client/index.ts';
import { UnknownOutcomeError } from '#client/index.ts';
import { Traffic } from './traffic.ts';

interface Faults {
  /** Called for each write before it is made. */
  readonly write?: (n: number) => 'made' | 'lost' | 'doubled' | 'unknown';
  readonly miscount?: boolean;
}

function result(found: readonly object[]): Result<never> {
  return JSON.parse(JSON.stringify({ rows: found, rowCount: found.length, command: '' }));
}

/** Understands the statements of the traffic by their first words, and nothing else. */
function database(faults: Faults): Client {
  const rows: { id: number; population: number }[] = [];
  let writes = 0;
  let totals = 0;

  function change(apply: () => void): Result<never> {
    const fault = faults.write?.(writes++) ?? 'made';
    if (fault !== 'lost') apply();
    if (fault === 'doubled') apply();
    if (fault === 'unknown') throw new UnknownOutcomeError('social-0', new Error('gone'));
    return result([{}]);
  }
  const query = async (sql: string, params: readonly unknown[] = []): Promise<Result<never>> => {
    const id = Number(params[0]);
    if (sql.startsWith('INSERT')) return change(() => void rows.push({ id, population: Number(params[1]) }));
    return change(() => {
      for (const row of rows) if (row.id === id) row.population++;
    });
  };
  const scatter = async (
    sql: string,
    options: { merge?: (parts: readonly object[]) => unknown } = {},
  ): Promise<unknown> => {
    if (sql.startsWith('DELETE')) return rows.splice(0);
    if (options.merge === undefined) return result(rows);
    const cities = faults.miscount === true && totals++ > 2 ? '9' : '10';
    const total: Row = { cities, people: '100' };
    return options.merge([{ shard: 'social-0', ...result([total]) }]);
  };
  const scope = { query, transaction: (work: (transaction: object) => Promise<unknown>) => work({ query }) };
  return Object.assign(Object.create(null), { forKey: () => scope, scatter });
}

async function run(faults: Faults) {
  const traffic = new Traffic(database(faults), () => new Promise(resolve => setImmediate(resolve)));
  await traffic.open();
  const stop = new AbortController();
  const running = traffic.run(stop.signal);
  for (let n = 0; n < 50; n++) await new Promise(resolve => setImmediate(resolve));
  stop.abort();
  await running;
  return traffic.report(0, []);
}

test('finds nothing where nothing happened', async () => {
  const report = await run({});
  expect(report).toMatchObject({ lost: 0, doubled: 0, unknown: 0, failed: 0, scatters: { wrong: 0 } });
  expect(report.acknowledged).toBeGreaterThan(50);
  expect(report.scatters.right).toBeGreaterThan(10);
});

test('counts what was acknowledged and is not there', async () => {
  expect(await run({ write: n => (n === 20 || n === 33 ? 'lost' : 'made') })).toMatchObject({
    lost: 2,
    doubled: 0,
  });
});

test('counts what is there twice', async () => {
  expect(await run({ write: n => (n === 20 || n === 33 ? 'doubled' : 'made') })).toMatchObject({
    lost: 0,
    doubled: 2,
  });
});

test('takes what nobody knows of for neither', async () => {
  expect(await run({ write: n => (n > 20 && n % 7 === 0 ? 'unknown' : 'made') })).toMatchObject({
    lost: 0,
    doubled: 0,
  });
});

test('compares every scatter with the first', async () => {
  const { scatters, errors } = await run({ miscount: true });
  expect(scatters.wrong).toBeGreaterThan(5);
  expect(errors[0]).toContain('9 cities');
});
