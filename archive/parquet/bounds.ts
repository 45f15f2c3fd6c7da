/** Smallest and largest value of a column in a row group, by which readers pass over row groups. */
import parquetTypes from '@dsnp/parquetjs/dist/gen-nodejs/parquet_types.js';
import Int64 from 'node-int64';
import type { Physical, Stored } from '../columns/column-type.ts';

export class Bounds {
  readonly #physical: Physical;
  #least: number | bigint | undefined;
  #greatest: number | bigint | undefined;
  #nulls = 0;

  /** Of integers: what else there is, readers order in ways of their own. */
  constructor(physical: Physical) {
    this.#physical = physical;
  }

  add(value: Stored): void {
    if (typeof value !== 'number' && typeof value !== 'bigint') return;
    if (this.#least === undefined || value < this.#least) this.#least = value;
    if (this.#greatest === undefined || value > this.#greatest) this.#greatest = value;
  }

  addNull(): void {
    this.#nulls++;
  }

  statistics(): parquetTypes.Statistics {
    return new parquetTypes.Statistics({
      null_count: new Int64(this.#nulls),
      ...(this.#least !== undefined && { min_value: this.#encode(this.#least) }),
      ...(this.#greatest !== undefined && { max_value: this.#encode(this.#greatest) }),
    });
  }

  #encode(value: number | bigint): Buffer {
    if (this.#physical === 'INT32') {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32LE(Number(value));
      return bytes;
    }
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    return bytes;
  }
}
