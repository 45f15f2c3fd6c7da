/** What the demo shows of the loaded fleet: where the rows are, and that it answers as one database would. */
import { deepStrictEqual } from 'node:assert/strict';
import { aggregate, byShard, type Client } from '#client/index.ts';
import { say, step } from '#hack/progress.ts';
import { SetupError } from '#hack/setup-error.ts';
import type { ShardMap } from '#sharding/map.ts';
import type { Kubectl } from './fleet.ts';
import { number } from './load.ts';
import { withPlainPostgres } from './plain.ts';
import type { City } from './world.ts';

/** Rows of each shard beside the share of all slots that it owns. */
export async function showSpread(client: Client): Promise<void> {
  const map = await client.ready();
  const results = await client.scatter<
    { n: number },
    ReadonlyMap<string, { readonly rows: { n: number }[] }>
  >('SELECT count(*)::int AS n FROM cities', { merge: byShard() });
  const counts = [...results].map(([shard, result]) => ({ shard, rows: result.rows[0]?.n ?? 0 }));
  const total = counts.reduce((sum, { rows }) => sum + rows, 0);
  say('');
  say(line('shard', 'region', 'cities', 'ideal', 'off by'));
  for (const { shard, rows } of counts) {
    const ideal = total * shareOf(map, shard);
    const region = map.shards.find(each => each.name === shard)?.region ?? '-';
    const off = ideal === 0 ? 0 : (rows / ideal - 1) * 100;
    say(
      line(
        shard,
        region,
        number(rows),
        number(Math.round(ideal)),
        `${off >= 0 ? '+' : ''}${off.toFixed(2)} %`,
      ),
    );
  }
  say('');
}

export async function showPointQuery(client: Client, cities: readonly City[]): Promise<void> {
  const paris = cities.find(city => city.name === 'Paris' && city.country === 'FR');
  if (paris === undefined) return;
  const sql = `SELECT c.name, k.name AS country, c.population FROM cities c JOIN countries k ON k.code = c.country
               WHERE c.id = $1`;
  const startedMs = performance.now();
  const { rows } = await client
    .forKey(paris.id)
    .query<{ name: string; country: string; population: string }>(sql, [paris.id]);
  const tookMs = performance.now() - startedMs;
  const [row] = rows;
  if (row === undefined) throw different(`city ${paris.id} is not on ${client.locate(paris.id)}`);
  say(
    `client.forKey(${paris.id}).query(...) asked ${client.locate(paris.id)} alone: ${row.name}, ${row.country}, ` +
      `${number(Number(row.population))} people (${tookMs.toFixed(1)} ms, through a port-forward)`,
  );
}

const perCountry = `SELECT country, count(*) AS cities, sum(population) AS people, min(population) AS smallest,
  max(population) AS largest FROM cities GROUP BY country`;

interface Statistics extends Record<string, unknown> {
  readonly country: string;
  readonly cities: string;
  readonly people: string;
  readonly smallest: string;
  readonly largest: string;
}

/** The same aggregate, scattered and from one plain PostgreSQL. Throws SetupError when one figure differs. */
export async function compareWithPlain(
  client: Client,
  kubectl: Kubectl,
  image: string,
  cities: readonly City[],
): Promise<void> {
  const startedMs = performance.now();
  const merged = await client.scatter(perCountry, {
    merge: aggregate<Statistics>({ cities: 'count', people: 'sum', smallest: 'min', largest: 'max' }, [
      'country',
    ]),
  });
  const tookMs = performance.now() - startedMs;
  const scattered = merged.rows
    .map(row => [row['country'], row['cities'], row['people'], row['smallest'], row['largest']].map(String))
    .toSorted(byFirst);
  await step('ask one plain PostgreSQL with the same rows the same question', () =>
    withPlainPostgres(kubectl, image, async (query, load) => {
      await load(cities);
      const single = (await query(perCountry)).toSorted(byFirst);
      try {
        deepStrictEqual(scattered, single);
      } catch (cause) {
        throw different('the scattered aggregate is not what one PostgreSQL answers', cause);
      }
    }),
  );
  const largest = scattered.toSorted((a, b) => Number(b[2]) - Number(a[2])).slice(0, 3);
  const top = largest.map(([country, , people]) => `${country} ${number(Number(people))}`).join(', ');
  say(
    `client.scatter('SELECT country, count(*), sum(population) ... GROUP BY country') took ${tookMs.toFixed(0)} ms: ` +
      `${scattered.length} countries, equal in every figure to one plain PostgreSQL (${top}, ...)`,
  );
}

function shareOf(map: ShardMap, shard: string): number {
  if (map.ownership.algorithm !== 'hash') return 0;
  const ordinal = map.shards.find(each => each.name === shard)?.ordinal;
  return map.ownership.owners.write.filter(owner => owner === ordinal).length / map.slots;
}

function line(shard: string, region: string, rows: string, ideal: string, off: string): string {
  return `${shard.padEnd(12)}${region.padEnd(10)}${rows.padStart(10)}${ideal.padStart(10)}${off.padStart(11)}`;
}

function byFirst(a: readonly string[], b: readonly string[]): number {
  const [left = '', right = ''] = [a[0], b[0]];
  return left < right ? -1 : left > right ? 1 : 0;
}

function different(message: string, cause?: unknown): SetupError {
  return new SetupError(
    'AnswersDiffer',
    message,
    'If rows were changed since they were loaded: kubectl delete shardcluster social, then make demo. Else it is a bug.',
    { cause },
  );
}
