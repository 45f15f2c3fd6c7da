/**
 * Arrays: a list of elements, each of which may be null. Those of more dimensions, or that do not begin at 1, are kept as text. The
 * server's binary form is the number of dimensions, a flag, the element's type, for each dimension its length and lower bound, then
 * each element with its length in bytes (-1: null).
 */
import { type ColumnType, type Stored, UnfitValueError } from './column-type.ts';

export type StoredList = readonly (Stored | null)[];

/** With every element as the column type of its own says. */
export class ListType {
  readonly element: ColumnType;

  constructor(element: ColumnType) {
    this.element = element;
  }

  get says(): string {
    return `list of ${this.element.storage.says}`;
  }

  select(column: string): string {
    // An array of an element that is sent as text.
    return this.element.select(column) === column ? column : `${column}::text[]`;
  }

  /** Throws {@link UnfitValueError}. */
  read(bytes: Buffer, begin: number): StoredList {
    const dimensions = bytes.readInt32BE(begin);
    if (dimensions === 0) return [];
    if (dimensions !== 1) throw new UnfitValueError(`an array of ${dimensions} dimensions`);
    if (bytes.readInt32BE(begin + 16) !== 1) throw new UnfitValueError('an array that does not begin at 1');
    const list: (Stored | null)[] = [];
    let at = begin + 20;
    for (let left = bytes.readInt32BE(begin + 12); left > 0; left--) {
      const length = bytes.readInt32BE(at);
      at += 4;
      list.push(length < 0 ? null : this.element.read(bytes, at, length));
      at += Math.max(0, length);
    }
    return list;
  }

  canonicalSql(column: string): string {
    const element = `coalesce(${this.element.canonicalSql('u.e')}, 'N')`;
    const elements = `(SELECT string_agg(${element}, ',' ORDER BY u.o) FROM unnest(${column}) WITH ORDINALITY AS u(e, o))`;
    return `CASE WHEN ${column} IS NOT NULL THEN coalesce(array_dims(${column}), '') || '{' || coalesce(${elements}, '') || '}' END`;
  }

  canonical(list: StoredList): string {
    const elements = list.map(value => (value === null ? 'N' : this.element.canonical(value)));
    return `${list.length === 0 ? '' : `[1:${list.length}]`}{${elements.join(',')}}`;
  }
}
