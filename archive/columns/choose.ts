/** Which column of a table is kept how. */
import { type ColumnType, type Stored } from './column-type.ts';
import { decimal } from './decimal-types.ts';
import { ListType, type StoredList } from './list-type.ts';
import { bigint, boolean, bytea, double, integer, real, smallint, uuid } from './plain-types.ts';
import { json, text, textOf } from './text-types.ts';
import { date, timestamp, timestamptz } from './time-types.ts';

/** A column as the catalog has it. */
export interface CatalogColumn {
  readonly name: string;
  /** As a person would write it: `numeric(10,2)`, `text[]`, the name of a domain. */
  readonly declared: string;
  /** Name in pg_type of the type that it comes down to, without domains: `int8`, `_text`. */
  readonly base: string;
  /** The same of the elements, where the base is an array. */
  readonly element?: string;
  /** Of the base, -1 without one. */
  readonly modifier: number;
  readonly notNull: boolean;
}

export type StoredValue = Stored | StoredList | null;

/** A column and how one file keeps it. `asText`: although its type has a storage of its own. */
export type Column = CatalogColumn & { readonly asText: boolean } & (
    | { readonly kind: 'value'; readonly type: ColumnType }
    | { readonly kind: 'list'; readonly type: ListType }
  );

const plain: Readonly<Record<string, ColumnType>> = {
  bool: boolean,
  int2: smallint,
  int4: integer,
  int8: bigint,
  float4: real,
  float8: double,
  bytea,
  uuid,
  date,
  timestamp,
  timestamptz,
  text,
  varchar: text,
  bpchar: text,
  json,
  jsonb: json,
};

/** `asText`: a value was met that the type's own storage cannot hold. */
export function chooseColumn(column: CatalogColumn, asText: boolean): Column {
  if (asText) return { ...column, asText, kind: 'value', type: textOf(column.declared) };
  if (column.element !== undefined)
    return { ...column, asText, kind: 'list', type: new ListType(typeFor(column.element, column.modifier)) };
  return { ...column, asText, kind: 'value', type: typeFor(column.base, column.modifier) };
}

function typeFor(base: string, modifier: number): ColumnType {
  if (base === 'numeric' && modifier >= 0) {
    const packed = modifier - 4;
    // The scale has eleven bits and a sign.
    const found = decimal((packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024);
    if (found) return found;
  }
  return plain[base] ?? textOf(base);
}

export function saysOf(column: Column): string {
  return column.kind === 'list' ? column.type.says : column.type.storage.says;
}

export function canonicalText(column: Column, value: StoredValue): string {
  if (value === null) return '';
  if (column.kind === 'list') {
    if (!Array.isArray(value)) throw new TypeError(`${column.name} holds a value that is no list`);
    return column.type.canonical(value);
  }
  if (isList(value)) throw new TypeError(`${column.name} holds a list`);
  return column.type.canonical(value);
}

export function isList(value: StoredValue): value is StoredList {
  return Array.isArray(value);
}
