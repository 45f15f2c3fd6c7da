/** The lowest layer of a page: deflated, in base64, and every value checked in the name of the page. */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { DamagedMapError } from './errors.ts';

/** A page inflates to less than this; a damaged or hostile one cannot take all memory. */
const maxPageBytes = 64 << 20;

/** Checks values that came from outside, in the name of one page. */
export class Reader {
  readonly #id: string;

  constructor(id: string) {
    this.#id = id;
  }

  expect(sound: boolean, problem: string): void {
    if (!sound) throw damaged(this.#id, problem);
  }

  object(value: unknown): Record<string, unknown> {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
    throw damaged(this.#id, 'has something else where an object belongs');
  }

  list(value: unknown): readonly unknown[] {
    if (Array.isArray(value)) return value;
    throw damaged(this.#id, 'has something else where a list belongs');
  }

  row(value: unknown, length: number): readonly unknown[] {
    const row = this.list(value);
    this.expect(row.length === length, `has a row of ${row.length} values instead of ${length}`);
    return row;
  }

  text(value: unknown): string {
    if (typeof value === 'string') return value;
    throw damaged(this.#id, 'has something else where a text belongs');
  }

  count(value: unknown, max: number): number {
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
    throw damaged(this.#id, `has ${JSON.stringify(value)} where a number up to ${max} belongs`);
  }

  oneOf<T extends string>(value: unknown, known: readonly T[]): T {
    const found = known.find(candidate => candidate === value);
    if (found !== undefined) return found;
    throw damaged(this.#id, `has ${JSON.stringify(value)} where one of ${known.join(', ')} belongs`);
  }
}

export function packJson(value: unknown): string {
  return pack(Buffer.from(JSON.stringify(value)));
}

export function unpackJson(data: string, id: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(unpack(data, id)));
  } catch (cause) {
    if (cause instanceof DamagedMapError) throw cause;
    throw damaged(id, 'is not JSON', cause);
  }
}

export function pack(bytes: Uint8Array): string {
  return deflateRawSync(bytes).toString('base64');
}

export function unpack(data: string, id: string): Uint8Array {
  try {
    return inflateRawSync(Buffer.from(data, 'base64'), { maxOutputLength: maxPageBytes });
  } catch (cause) {
    throw damaged(id, 'does not inflate', cause);
  }
}

/** `cause`: what decoding it threw. */
export function damaged(id: string, problem: string, cause?: unknown): DamagedMapError {
  return new DamagedMapError(
    `page ${id} ${problem}`,
    'Fetch the whole map again, or restore its ConfigMaps.',
    { cause },
  );
}
