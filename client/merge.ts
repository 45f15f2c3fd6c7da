/**
 * How the shards' results of one scatter become one result. Pure; a merge may be any function of this shape. Numbers that the
 * driver gives as text (bigint, numeric) are added and compared exactly, and come out as text again.
 */
import { assertNever } from '#sharding/assert-never.ts';
import { addDecimals, compareDecimals, divideDecimals, isDecimal } from './decimal.ts';
import { ConfigurationError } from './errors.ts';
import type { Result, Row, ShardResult } from './result.ts';

/** `parts` are ordered by the shards' ordinals. */
export type Merge<R extends object, T> = (parts: readonly ShardResult<R>[]) => T;

/** All rows, shard after shard. */
export function concat<R extends object = Row>(): Merge<R, Result<R>> {
  return parts => ({
    rows: parts.flatMap(part => part.rows),
    rowCount: parts.reduce((sum, part) => sum + part.rowCount, 0),
    command: parts[0]?.command ?? '',
  });
}

/** Each shard's own result, under its name. */
export function byShard<R extends object = Row>(): Merge<R, ReadonlyMap<string, Result<R>>> {
  return parts => new Map(parts.map(part => [part.shard, part]));
}

export interface OrderBy {
  readonly column: string;
  readonly descending?: boolean;
  /** Default as in SQL: last when ascending, first when descending. */
  readonly nulls?: 'first' | 'last';
}

/**
 * Rows that each shard sorted already, in one order. Give each shard's statement the same ORDER BY and a LIMIT of at least
 * `limit`. Text compares by code points, as `COLLATE "C"` does.
 */
export function ordered<R extends object = Row>(
  by: OrderBy | readonly OrderBy[],
  limit = Number.POSITIVE_INFINITY,
): Merge<R, Result<R>> {
  const orders = isList(by) ? by : [by];
  return parts => {
    const rows = parts.flatMap(part => part.rows).toSorted((a, b) => compareRows(a, b, orders));
    const kept = Number.isFinite(limit) ? rows.slice(0, limit) : rows;
    return { rows: kept, rowCount: kept.length, command: parts[0]?.command ?? '' };
  };
}

/**
 * What to do with a column of several shards' rows. An average cannot be made from averages: ask each shard for the sum
 * and the count, and give both names.
 */
export type Aggregate =
  | 'sum'
  | 'count'
  | 'min'
  | 'max'
  | { readonly average: { readonly sum: string; readonly count: string } };

/**
 * One row per group over all shards. `columns` names the columns of the outcome; `groupBy` the columns that are equal within
 * a group, none for a single row.
 */
export function aggregate<R extends object = Row>(
  columns: Readonly<Record<string, Aggregate>>,
  groupBy: readonly string[] = [],
): Merge<R, Result> {
  return parts => {
    const groups = Map.groupBy(
      parts.flatMap(part => part.rows),
      row => JSON.stringify(groupBy.map(column => String(field(row, column)))),
    );
    const rows = [...groups.values()].map(group => mergeGroup(group, columns, groupBy));
    return { rows, rowCount: rows.length, command: parts[0]?.command ?? '' };
  };
}

function mergeGroup(
  group: readonly object[],
  columns: Readonly<Record<string, Aggregate>>,
  groupBy: readonly string[],
): Row {
  const [first = {}] = group;
  const row: Row = Object.fromEntries(groupBy.map(column => [column, field(first, column)]));
  const values = (column: string) => group.map(each => field(each, column));
  for (const [column, how] of Object.entries(columns)) row[column] = combine(how, column, values);
  return row;
}

function combine(how: Aggregate, column: string, values: (column: string) => readonly unknown[]): unknown {
  if (typeof how === 'object') {
    const sum = total(values(how.average.sum));
    const count = total(values(how.average.count));
    return sum === null || count === null || Number(count) === 0
      ? null
      : divideDecimals(String(sum), String(count));
  }
  switch (how) {
    case 'sum':
      return total(values(column));
    case 'count':
      return total(values(column)) ?? 0;
    case 'min':
      return extreme(values(column), -1);
    case 'max':
      return extreme(values(column), 1);
    default:
      return assertNever(how);
  }
}

/** Null where SQL's sum is: without a value. */
function total(values: readonly unknown[]): number | string | bigint | null {
  let sum: number | string | bigint | null = null;
  for (const value of values) {
    if (value === null || value === undefined) continue;
    if (sum === null && (typeof value === 'number' || typeof value === 'bigint')) sum = value;
    else if (typeof sum === 'number' && typeof value === 'number') sum += value;
    else if (typeof sum === 'bigint' && typeof value === 'bigint') sum += value;
    else sum = addDecimals(sum === null ? '0' : String(sum), decimal(value));
  }
  return sum;
}

function extreme(values: readonly unknown[], direction: number): unknown {
  let best: unknown = null;
  for (const value of values) {
    if (value === null || value === undefined) continue;
    if (best === null || compareValues(value, best) * direction > 0) best = value;
  }
  return best;
}

function compareRows(a: object, b: object, orders: readonly OrderBy[]): number {
  for (const { column, descending = false, nulls = descending ? 'first' : 'last' } of orders) {
    const [left, right] = [field(a, column), field(b, column)];
    if (left === null || right === null) {
      if (left === right) continue;
      return (left === null) === (nulls === 'first') ? -1 : 1;
    }
    const order = compareValues(left, right);
    if (order !== 0) return descending ? -order : order;
  }
  return 0;
}

function compareValues(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (a instanceof Date && b instanceof Date) return a.getTime() - b.getTime();
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  const [left, right] = [String(a), String(b)];
  if (isDecimal(left) && isDecimal(right)) return compareDecimals(left, right);
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

function field(row: object, column: string): unknown {
  const value: unknown = Reflect.get(row, column);
  if (value === undefined) {
    throw new ConfigurationError(`the rows have no column ${column}`, 'Name a column of the statement.');
  }
  return value;
}

function decimal(value: unknown): string {
  const text = String(value);
  if (isDecimal(text)) return text;
  throw new ConfigurationError(`${text} is not a number that can be added`, 'Add numeric columns only.');
}

function isList(by: OrderBy | readonly OrderBy[]): by is readonly OrderBy[] {
  return Array.isArray(by);
}
