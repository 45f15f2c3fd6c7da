/**
 * One number for the content of a row, the same from the server and from a file: PostgreSQL's hashtextextended over the canonical
 * texts of its columns, in their order, with a comma between them and nothing for null. Sums of it do not depend on the order of
 * rows. That the texts tell rows apart for certain, see column-type.ts: lengths stand before whatever may hold a comma.
 */
import { hashWords } from '#sharding/hash.ts';
import { type Column, canonicalText, type StoredValue } from './choose.ts';

/** bigint, given the table's alias. `quote` quotes a column's name. */
export function rowHashSql(
  columns: readonly Column[],
  alias: string,
  quote: (name: string) => string,
): string {
  const texts = columns.map(
    column => `coalesce(${column.type.canonicalSql(`${alias}.${quote(column.name)}`)}, '')`,
  );
  return `hashtextextended((${texts.join(` || ',' || `)}) COLLATE "C", 0)`;
}

export interface Hash {
  /** Signed upper half and unsigned lower half of the 64-bit number. */
  readonly high: number;
  readonly low: number;
}

export class RowHasher {
  readonly #high = new Int32Array(1);
  #bytes = Buffer.alloc(4096);
  #words = new Int32Array(this.#bytes.buffer, this.#bytes.byteOffset, 1024);

  /** `values` in the order of the columns. */
  hash(columns: readonly Column[], values: readonly StoredValue[]): Hash {
    let text = '';
    for (let at = 0; at < columns.length; at++) {
      const column = columns[at];
      if (column === undefined) break;
      if (at > 0) text += ',';
      text += canonicalText(column, values[at] ?? null);
    }
    return this.hashText(text);
  }

  hashText(text: string): Hash {
    // A character is three bytes at most; beyond the text stand zeros up to the end of the next block.
    const room = text.length * 3 + 24;
    if (room > this.#bytes.length) {
      this.#bytes = Buffer.alloc(2 ** Math.ceil(Math.log2(room)));
      this.#words = new Int32Array(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length / 4);
    }
    const length = this.#bytes.write(text, 'utf8');
    this.#bytes.fill(0, length, length + 24);
    const low = hashWords(this.#words, length, this.#high) >>> 0;
    return { high: this.#high[0] ?? 0, low };
  }
}

/** Adds up hashes exactly: both halves stay below 2^53 for two million rows. */
export class HashSum {
  #high = 0;
  #low = 0;
  #total = 0n;
  #pending = 0;

  add({ high, low }: Hash): void {
    this.#high += high;
    this.#low += low;
    if (++this.#pending === 1_000_000) this.#fold();
  }

  get total(): bigint {
    this.#fold();
    return this.#total;
  }

  #fold(): void {
    this.#total += (BigInt(this.#high) << 32n) + BigInt(this.#low);
    this.#high = 0;
    this.#low = 0;
    this.#pending = 0;
  }
}

export function hashValue({ high, low }: Hash): bigint {
  return (BigInt(high) << 32n) + BigInt(low);
}
