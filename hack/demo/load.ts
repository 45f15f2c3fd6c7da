/** Loads the demo's data through the client library, each batch in one statement for the shard that owns its keys. */
import type { Client } from '#client/index.ts';
import { detail, say, step } from '#hack/progress.ts';
import { type City, cityColumns, countriesOf } from './world.ts';

const rowsPerBatch = 1000;
/** Statements under way at a time on each shard. */
const width = 2;

/** Keys that are there already stay as they are, so repeating a batch is harmless. */
const insert = `INSERT INTO cities (${cityColumns})
  SELECT ${cityColumns} FROM jsonb_populate_recordset(NULL::cities, $1) ON CONFLICT (id) DO NOTHING`;

export async function loadWorld(client: Client, cities: readonly City[]): Promise<void> {
  const countries = countriesOf(cities);
  await step(`write ${countries.length} countries to every shard (reference table)`, async () => {
    const { version } = await client
      .reference('countries')
      .upsert(countries.map(country => ({ ...country })));
    detail(`version ${version}`);
  });
  const { rows } = await client.scatter<{ n: number }>('SELECT count(*)::int AS n FROM cities');
  const present = rows.reduce((sum, row) => sum + row.n, 0);
  if (present === cities.length) {
    say(`all ${number(present)} cities are there from an earlier run`);
    return;
  }
  await step(`load ${number(cities.length)} cities through the client library`, () =>
    loadCities(client, cities),
  );
}

async function loadCities(client: Client, cities: readonly City[]): Promise<void> {
  const startedMs = performance.now();
  let done = 0;
  async function loadBatches(batches: readonly (readonly City[])[]): Promise<void> {
    for (const batch of batches) {
      const [first] = batch;
      if (first === undefined) continue;
      await client.forKey(first.id).query(insert, [JSON.stringify(batch)], { idempotent: true });
      done += batch.length;
      detail(`${number(done)} rows, ${number(rate(done, startedMs))} rows/s`);
    }
  }
  const byShard = Map.groupBy(cities, city => client.locate(city.id));
  const lanes = [...byShard.values()].flatMap(rows => {
    const batches = Array.from({ length: Math.ceil(rows.length / rowsPerBatch) }, (_, n) =>
      rows.slice(n * rowsPerBatch, (n + 1) * rowsPerBatch),
    );
    return Array.from({ length: width }, (_, lane) => batches.filter((_batch, n) => n % width === lane));
  });
  await Promise.all(lanes.map(loadBatches));
  say(
    `${number(rate(cities.length, startedMs))} rows/s, each acknowledged by a primary and its synchronous standby`,
  );
}

function rate(rows: number, startedMs: number): number {
  return Math.round((rows * 1000) / (performance.now() - startedMs));
}

export function number(value: number): string {
  return value.toLocaleString('en');
}
