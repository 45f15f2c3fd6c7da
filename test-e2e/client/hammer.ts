/** Callers of a client that write and read without a pause, and know what they were told: any error at all is one too many. */
import type { Client } from '#client/client.ts';
import { aggregate } from '#client/merge.ts';

export interface Findings {
  /** What a call ended in instead of its answer. */
  readonly errors: unknown[];
  /** Answers that contradict what was acknowledged before. */
  readonly wrong: string[];
  readonly statements: number;
  readonly scatters: number;
}

const fixedRows = 200;
const fixedFrom = 1_000_000;
/** Rows with a number each, which one caller raises and nobody else touches. */
const counters = 6;

export class Hammer {
  readonly #client: Client;
  readonly #errors: unknown[] = [];
  readonly #wrong: string[] = [];
  readonly #inserted: number[] = [];
  readonly #counts: number[] = Array.from({ length: counters }, () => 0);
  readonly #stop = new AbortController();
  #nextId = 1;
  #statements = 0;
  #scatters = 0;

  constructor(client: Client) {
    this.#client = client;
  }

  get statements(): number {
    return this.#statements;
  }

  async load(): Promise<void> {
    const rows = Array.from({ length: fixedRows + counters }, (_, n) => fixedFrom + n);
    for (const id of rows) {
      await this.#client.forKey(id).query('INSERT INTO items (id, note) VALUES ($1, $2)', [id, '0']);
    }
  }

  /** Forgets what earlier ones did. */
  async reset(): Promise<void> {
    await this.#client.scatter("UPDATE items SET note = '0' WHERE id >= 1000000", { idempotent: true });
  }

  /** Resolves once `stop` was called and every caller is done. */
  async run(): Promise<void> {
    await Promise.all([
      ...Array.from({ length: 4 }, () => this.#loop(() => this.#insert())),
      ...Array.from({ length: counters }, (_, n) =>
        this.#loop(() => (n % 2 === 0 ? this.#raise(n) : this.#raiseInTransaction(n))),
      ),
      ...Array.from({ length: 2 }, () => this.#loop(() => this.#countAll())),
    ]);
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Reads everything back. */
  async finish(): Promise<Findings> {
    const { rows } = await this.#client.scatter<{ id: string }>('SELECT id FROM items WHERE id < 1000000');
    const found = Map.groupBy(rows, row => Number(row.id));
    for (const [id, copies] of found) {
      if (copies.length > 1) this.#wrong.push(`row ${id} is there ${copies.length} times`);
    }
    for (const id of this.#inserted) if (!found.has(id)) this.#wrong.push(`row ${id} is lost`);
    for (const [n, count] of this.#counts.entries()) {
      const id = fixedFrom + fixedRows + n;
      const read = await this.#client
        .forKey(id)
        .query<{ note: string }>('SELECT note FROM items WHERE id = $1', [id]);
      const note = read.rows[0]?.note;
      if (Number(note) !== count) this.#wrong.push(`counter ${n} is ${note}, not ${count}`);
    }
    return {
      errors: this.#errors,
      wrong: this.#wrong,
      statements: this.#statements,
      scatters: this.#scatters,
    };
  }

  async #loop(step: () => Promise<void>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await step();
        this.#statements++;
      } catch (error) {
        this.#errors.push(error);
      }
    }
  }

  async #insert(): Promise<void> {
    const id = this.#nextId++;
    await this.#client.forKey(id).query('INSERT INTO items (id, note) VALUES ($1, $2)', [id, 'new']);
    this.#inserted.push(id);
    const { rowCount } = await this.#client.forKey(id).query('SELECT FROM items WHERE id = $1', [id]);
    if (rowCount !== 1) this.#wrong.push(`row ${id} is not there right after it was written`);
  }

  async #raise(n: number): Promise<void> {
    const id = fixedFrom + fixedRows + n;
    const { rowCount } = await this.#client
      .forKey(id)
      .query('UPDATE items SET note = (note::int + 1)::text WHERE id = $1', [id]);
    if (rowCount === 1) this.#counts[n] = (this.#counts[n] ?? 0) + 1;
    else this.#wrong.push(`an update changed ${rowCount} rows`);
  }

  async #raiseInTransaction(n: number): Promise<void> {
    const id = fixedFrom + fixedRows + n;
    await this.#client.forKey(id).transaction(async transaction => {
      const read = 'SELECT note::int AS note FROM items WHERE id = $1';
      const { rows } = await transaction.query<{ note: number }>(read, [id]);
      const note = (rows[0]?.note ?? Number.NaN) + 1;
      await transaction.query('UPDATE items SET note = $2 WHERE id = $1', [id, note]);
    });
    this.#counts[n] = (this.#counts[n] ?? 0) + 1;
  }

  async #countAll(): Promise<void> {
    const { rows } = await this.#client.scatter('SELECT count(*) AS n FROM items WHERE id >= 1000000', {
      merge: aggregate({ n: 'count' }),
    });
    const n = Number(rows[0]?.['n']);
    if (n !== fixedRows + counters) this.#wrong.push(`a scatter counted ${n} rows`);
    this.#scatters++;
  }
}
