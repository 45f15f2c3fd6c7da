/** Names and rows as SQL, with the quoting that all of the engine's statements use. */
import { fullTableName, quoteIdentifier, quoteLiteral } from '#engines/postgresql/sql-text.ts';
import type { CatalogColumn } from '../columns/choose.ts';
import type { TableFacts } from './table.ts';

export { fullTableName, quoteIdentifier, quoteLiteral };

export function quotedTable(full: string): string {
  const dot = full.indexOf('.');
  return `${quoteIdentifier(full.slice(0, dot))}.${quoteIdentifier(full.slice(dot + 1))}`;
}

export function columnOf({ name }: { readonly name: string }): string {
  return `t.${quoteIdentifier(name)}`;
}

/** The text of a value as one of the column's own type. */
export function literal(text: string, { declared }: CatalogColumn): string {
  return `${quoteLiteral(text)}::${declared}`;
}

/** What rows are walked by: the time, then the key. */
export function order({ time, keys }: TableFacts): readonly CatalogColumn[] {
  return [time, ...keys.filter(key => key.name !== time.name)];
}

/** Texts of the {@link order} columns of one row. */
export type Position = readonly string[];

export function beyond(table: TableFacts, position: Position): string {
  return `(${tuple(table)}) > (${literals(table, position)}) AND ${columnOf(table.time)} >= ${first(table, position)}`;
}

export function upTo(table: TableFacts, position: Position): string {
  return `(${tuple(table)}) <= (${literals(table, position)}) AND ${columnOf(table.time)} <= ${first(table, position)}`;
}

/** Of the table, for ORDER BY and for row comparison. */
export function tuple(table: TableFacts): string {
  return order(table).map(columnOf).join(', ');
}

function literals(table: TableFacts, position: Position): string {
  return order(table)
    .map((column, at) => literal(position[at] ?? '', column))
    .join(', ');
}

/** An index of the time alone cannot use a comparison of rows. */
function first(table: TableFacts, position: Position): string {
  return literal(position[0] ?? '', table.time);
}
