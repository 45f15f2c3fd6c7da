/**
 * Types that are kept as the text that the server shows them by: texts themselves, and whatever Parquet has nothing exact for. The
 * canonical text begins with its length in bytes, because it may hold anything.
 */
import { asBytes, type ColumnType } from './column-type.ts';

function textual(kind: 'text' | 'json', says: string): ColumnType {
  return {
    storage: { physical: 'BYTE_ARRAY', meaning: { kind }, says },
    ordered: false,
    select: column => `${column}::text`,
    read: (bytes, at, length) => bytes.subarray(at, at + length),
    canonicalSql: column => `octet_length(${column}::text) || ':' || (${column}::text)`,
    canonical: value => {
      const bytes = asBytes(value);
      return `${bytes.length}:${bytes.toString('utf8')}`;
    },
    text: value => asBytes(value).toString('utf8'),
  };
}

export const text = textual('text', 'text');
export const json = textual('json', 'JSON text');

/** `type`: of the database, for whoever reads the metadata. */
export function textOf(type: string): ColumnType {
  return textual('text', `text of ${type}`);
}
