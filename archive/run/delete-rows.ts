/**
 * Deletes from the database the rows of a verified file, a few at a time: by primary key, and only where the row's hash is still that
 * of the row in the file. What changed in between stays. A statement that meets a row which somebody changes at that moment looks
 * at it again afterwards, as PostgreSQL does.
 */
import type { Client } from 'pg';
import { sqlState, transaction } from '#engines/postgresql/connection.ts';
import { type Column, isList, type StoredValue } from '../columns/choose.ts';
import { hashValue, RowHasher, rowHashSql } from '../columns/row-hash.ts';
import { ChangedTableError, ReferencedRowsError } from '../errors.ts';
import { readRowGroups } from '../parquet/read-file.ts';
import { withoutMigrations } from './guard.ts';
import type { Hooks } from './hooks.ts';
import type { Limits } from './limits.ts';
import { columnOf, quoteIdentifier } from './sql.ts';
import { readColumns, sameColumns, type TableFacts } from './table.ts';

const FOREIGN_KEY_VIOLATION = '23503';

export interface Deletion {
  readonly deleted: number;
  /** Rows that are still there: they were changed. */
  readonly kept: number;
}

/** `admin` keeps migrations away, `eraser` deletes. Throws MigratingError, ReferencedRowsError, ChangedTableError. */
export async function deleteRows(
  { admin, eraser }: { readonly admin: Client; readonly eraser: Client },
  table: TableFacts,
  file: { readonly bytes: Uint8Array; readonly columns: readonly Column[] },
  limits: Limits,
  hooks: Hooks,
): Promise<Deletion> {
  const batch = new Batch(table, file.columns);
  let [deleted, kept] = [0, 0];
  const run = async () => {
    const startedMs = performance.now();
    const result = await withoutMigrations(admin, () => batch.run(eraser));
    deleted += result.deleted;
    kept += result.kept;
    await hooks.step('rows deleted');
    // Half of the time belongs to others.
    await hooks.pause(performance.now() - startedMs);
  };
  for await (const group of readRowGroups(file.bytes, file.columns)) {
    for (let row = 0; row < group.rows; row++) {
      batch.add(group.columns.map(values => values[row] ?? null));
      if (batch.rows >= limits.deleteRows) await run();
    }
  }
  if (batch.rows > 0) await run();
  return { deleted, kept };
}

class Batch {
  readonly #table: TableFacts;
  readonly #columns: readonly Column[];
  readonly #places: readonly number[];
  readonly #hasher = new RowHasher();
  #keys: string[][];
  #hashes: string[] = [];

  constructor(table: TableFacts, columns: readonly Column[]) {
    this.#table = table;
    this.#columns = columns;
    this.#places = table.keys.map(key => columns.findIndex(({ name }) => name === key.name));
    this.#keys = table.keys.map(() => []);
  }

  get rows(): number {
    return this.#hashes.length;
  }

  add(values: readonly StoredValue[]): void {
    for (const [index, place] of this.#places.entries()) {
      const column = this.#columns[place];
      const value = values[place] ?? null;
      if (column?.kind !== 'value' || value === null || isList(value))
        throw new TypeError('a key that is no single value');
      this.#keys[index]?.push(column.type.text(value));
    }
    this.#hashes.push(String(hashValue(this.#hasher.hash(this.#columns, values))));
  }

  /** All of the batch in one transaction; it is empty afterwards. */
  async run(eraser: Client): Promise<Deletion> {
    const { from, keys, columns } = this.#table;
    const given = keys.map((_, at) => `k${at}`);
    const rows = `unnest(${keys.map((_, at) => `$${at + 1}::text[]`).join(', ')}, $${keys.length + 1}::int8[]) AS k(${[...given, 'hash'].join(', ')})`;
    const same = keys.map((key, at) => `${columnOf(key)} = k.k${at}::${key.declared}`).join(' AND ');
    const hash = rowHashSql(this.#columns, 't', quoteIdentifier);
    const values = [...this.#keys, this.#hashes];
    try {
      return await transaction(eraser, async () => {
        await eraser.query(`LOCK TABLE ${from} IN ROW EXCLUSIVE MODE`);
        if (!sameColumns(await readColumns(eraser, from), columns))
          throw new ChangedTableError(`${this.#table.name} has other columns than it had`);
        const { rowCount } = await eraser.query(
          `DELETE FROM ${from} AS t USING ${rows} WHERE ${same} AND ${hash} = k.hash`,
          values,
        );
        const deleted = rowCount ?? 0;
        if (deleted === this.rows) return { deleted, kept: 0 };
        const left = await eraser.query<{ kept: number }>(
          `SELECT count(*)::int AS kept FROM ${from} AS t JOIN ${rows} ON ${same}`,
          values,
        );
        return { deleted, kept: left.rows[0]?.kept ?? 0 };
      });
    } catch (cause) {
      if (sqlState(cause) !== FOREIGN_KEY_VIOLATION) throw cause;
      const said = cause instanceof Error ? cause.message : String(cause);
      throw new ReferencedRowsError(`rows of ${this.#table.name} cannot be deleted: ${said}`, { cause });
    } finally {
      this.#keys = keys.map(() => []);
      this.#hashes = [];
    }
  }
}
