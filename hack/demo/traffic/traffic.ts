/**
 * Writers that remember every acknowledgement, and readers that count and sum all cities of the world over and over. Afterwards
 * everything that was acknowledged is read back and counted.
 */
import { aggregate, type Client, UnknownOutcomeError } from '#client/index.ts';
import { firstOwnKey, type TrafficReport } from './shape.ts';

const inserters = 4;
const counters = 4;
const readers = 2;
const maxErrors = 5;
/** A write may wait before the map that explains it arrives, and after it. */
const beforeMapMs = 3000;
const afterMapMs = 1000;

interface Call {
  readonly startedMs: number;
  readonly endedMs: number;
}

export class Traffic {
  readonly #client: Client;
  readonly #pause: () => Promise<void>;
  readonly #acknowledged: number[] = [];
  readonly #unsure = new Set<number>();
  readonly #counts = Array.from({ length: counters }, () => ({ least: 0, most: 0 }));
  readonly #calls: Call[] = [];
  readonly #scatters = { right: 0, wrong: 0 };
  readonly #errors: string[] = [];
  #expected = '';
  #nextKey = firstOwnKey + counters;
  #unknown = 0;
  #failed = 0;

  /** `pause`: between two calls of one caller. */
  constructor(client: Client, pause: () => Promise<void>) {
    this.#client = client;
    this.#pause = pause;
  }

  async open(): Promise<void> {
    await this.clear();
    for (let n = 0; n < counters; n++) await this.#insert(firstOwnKey + n, 0);
    this.#expected = await this.#total();
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([
      ...Array.from({ length: inserters }, () => this.#loop(signal, () => this.#insertOne())),
      ...Array.from({ length: counters }, (_, n) => this.#loop(signal, () => this.#raise(n))),
      ...Array.from({ length: readers }, () => this.#loop(signal, () => this.#read())),
    ]);
  }

  async report(repeated: number, mapsMs: readonly number[]): Promise<TrafficReport> {
    const { lost, doubled } = await this.#readBack();
    const usualMs = median(this.#calls.map(({ startedMs, endedMs }) => endedMs - startedMs));
    return {
      type: 'report',
      acknowledged: this.#calls.length,
      unknown: this.#unknown,
      failed: this.#failed,
      repeated,
      lost,
      doubled,
      scatters: this.#scatters,
      usualMs: tenth(usualMs),
      stallMs: tenth(this.#longest(mapsMs) - usualMs),
      errors: this.#errors,
    };
  }

  async clear(): Promise<void> {
    await this.#client.scatter(`DELETE FROM cities WHERE id >= ${firstOwnKey}`, { idempotent: true });
  }

  /** Of the writes that were under way when owners changed. */
  #longest(mapsMs: readonly number[]): number {
    const nearMap = ({ startedMs, endedMs }: Call) =>
      mapsMs.some(mapMs => startedMs <= mapMs + afterMapMs && endedMs >= mapMs - beforeMapMs);
    return this.#calls
      .filter(nearMap)
      .reduce((longest, { startedMs, endedMs }) => Math.max(longest, endedMs - startedMs), 0);
  }

  async #loop(signal: AbortSignal, step: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      await step();
      await this.#pause();
    }
  }

  async #insertOne(): Promise<void> {
    const key = this.#nextKey++;
    await this.#write(
      () => this.#insert(key, 1),
      () => void this.#acknowledged.push(key),
      () => void this.#unsure.add(key),
    );
  }

  async #raise(n: number): Promise<void> {
    const count = this.#counts[n];
    const key = firstOwnKey + n;
    if (count === undefined) return;
    await this.#write(
      () =>
        this.#client.forKey(key).transaction(async transaction => {
          const raise = 'UPDATE cities SET population = population + 1 WHERE id = $1';
          const { rowCount } = await transaction.query(raise, [key]);
          if (rowCount !== 1) throw new Error(`an update changed ${rowCount} rows`);
        }),
      () => {
        count.least++;
        count.most++;
      },
      () => count.most++,
    );
  }

  async #write(work: () => Promise<unknown>, acknowledged: () => void, unsure: () => void): Promise<void> {
    const startedMs = Date.now();
    try {
      await work();
      acknowledged();
      this.#calls.push({ startedMs, endedMs: Date.now() });
    } catch (error) {
      if (error instanceof UnknownOutcomeError) {
        unsure();
        this.#unknown++;
      } else {
        this.#failed++;
      }
      this.#note(error);
    }
  }

  async #read(): Promise<void> {
    try {
      const total = await this.#total();
      if (total === this.#expected) this.#scatters.right++;
      else {
        this.#scatters.wrong++;
        this.#note(`a scatter gave ${total} instead of ${this.#expected}`);
      }
    } catch (error) {
      this.#failed++;
      this.#note(error);
    }
  }

  async #total(): Promise<string> {
    const { rows } = await this.#client.scatter(
      `SELECT count(*) AS cities, sum(population) AS people FROM cities WHERE id < ${firstOwnKey}`,
      { merge: aggregate({ cities: 'count', people: 'sum' }) },
    );
    return `${String(rows[0]?.['cities'])} cities, ${String(rows[0]?.['people'])} people`;
  }

  async #readBack(): Promise<{ readonly lost: number; readonly doubled: number }> {
    const { rows } = await this.#client.scatter<{ id: string; population: string }>(
      `SELECT id, population FROM cities WHERE id >= ${firstOwnKey}`,
    );
    const found = Map.groupBy(rows, row => Number(row.id));
    const known = new Set(this.#acknowledged);
    let lost = this.#acknowledged.filter(key => !found.has(key)).length;
    let doubled = 0;
    for (const [key, copies] of found) {
      const isCounter = key < firstOwnKey + counters;
      doubled += copies.length - (isCounter || known.has(key) || this.#unsure.has(key) ? 1 : 0);
    }
    for (const [n, { least, most }] of this.#counts.entries()) {
      const count = Number(found.get(firstOwnKey + n)?.[0]?.population ?? 0);
      lost += Math.max(0, least - count);
      doubled += Math.max(0, count - most);
    }
    return { lost, doubled };
  }

  #insert(key: number, population: number): Promise<unknown> {
    return this.#client.forKey(key).query(
      `INSERT INTO cities (id, name, country, feature_code, admin_code, population, longitude, latitude)
       VALUES ($1, 'demo', 'XX', '', '', $2, 0, 0)`,
      [key, population],
    );
  }

  #note(error: unknown): void {
    if (this.#errors.length < maxErrors) this.#errors.push(String(error));
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

function tenth(value: number): number {
  return Math.round(Math.max(0, value) * 10) / 10;
}
