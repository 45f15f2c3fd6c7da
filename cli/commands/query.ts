/** `query`: one statement on every shard that owns something, merged to one answer. */

import type { Client, ScatterOptions } from '#client/client.ts';
import {
  type Aggregate,
  aggregate,
  byShard,
  concat,
  type Merge,
  type OrderBy,
  ordered,
} from '#client/merge.ts';
import type { Result, Row } from '#client/result.ts';
import { CliError } from '../errors.ts';
import { type Io, type OutputFormat, printJson } from '../io.ts';
import { table } from '../table.ts';

export interface QueryOptions {
  readonly orderBy?: readonly string[];
  readonly limit?: number;
  readonly aggregate?: readonly string[];
  readonly groupBy?: readonly string[];
  readonly byShard?: boolean;
  readonly replica?: boolean;
  readonly sequential?: boolean;
  readonly timeoutMs: number;
}

export async function query(
  io: Io,
  client: Pick<Client, 'scatter'>,
  sql: string,
  options: QueryOptions,
  format: OutputFormat,
): Promise<void> {
  const scatter: ScatterOptions = {
    timeoutMs: options.timeoutMs,
    strategy: options.sequential === true ? 'sequential' : 'parallel',
    ...(options.replica === true ? { read: 'replica' } : {}),
  };
  const result = await client.scatter<Row, Result>(sql, { ...scatter, merge: mergeOf(options) });
  if (format === 'json')
    return printJson(io, { command: result.command, rowCount: result.rowCount, rows: result.rows });
  const [first] = result.rows;
  if (first !== undefined) {
    const columns = Object.keys(first);
    io.out(
      table(
        columns,
        result.rows.map(row => columns.map(column => cell(row[column]))),
      ),
    );
  }
  io.error(`${result.command || 'OK'}: ${result.rowCount} ${result.rowCount === 1 ? 'row' : 'rows'}\n`);
}

/** The merge that the options ask for. Throws CliError when they contradict each other. */
export function mergeOf(options: QueryOptions): Merge<Row, Result> {
  const { aggregate: aggregates = [], groupBy = [], orderBy = [], limit } = options;
  const ways = [options.byShard === true, aggregates.length > 0, orderBy.length > 0 || limit !== undefined];
  if (ways.filter(Boolean).length > 1) {
    throw new CliError(
      'Usage',
      '--by-shard, --aggregate and --order-by exclude each other',
      'Choose one of them.',
    );
  }
  if (groupBy.length > 0 && aggregates.length === 0) {
    throw new CliError(
      'Usage',
      '--group-by without --aggregate',
      'Say what to do with the other columns: --aggregate n=sum.',
    );
  }
  if (options.byShard === true) return withShard;
  if (aggregates.length > 0) return aggregate(Object.fromEntries(aggregates.map(parseAggregate)), groupBy);
  if (orderBy.length > 0 || limit !== undefined) return ordered(orderBy.map(parseOrder), limit);
  return concat();
}

/** All rows, with the shard's name as the first column. */
function withShard(parts: Parameters<Merge<Row, Result>>[0]): Result {
  const rows = [...byShard()(parts)].flatMap(([shard, result]) =>
    result.rows.map(row => ({ shard, ...row })),
  );
  return { ...concat()(parts), rows };
}

const aggregates: readonly Extract<Aggregate, string>[] = ['sum', 'count', 'min', 'max'];

function parseAggregate(text: string): readonly [column: string, how: Aggregate] {
  const at = text.lastIndexOf('=');
  const how = aggregates.find(each => each === text.slice(at + 1));
  if (at > 0 && how !== undefined) return [text.slice(0, at), how];
  throw new CliError(
    'Usage',
    `--aggregate ${text}`,
    `Write COLUMN=HOW, where HOW is one of ${aggregates.join(', ')}.`,
  );
}

function parseOrder(text: string): OrderBy {
  const [, column = '', direction] = /^(.+?)(?::(asc|desc))?$/.exec(text) ?? [];
  return { column, descending: direction === 'desc' };
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return `\\x${value.toString('hex')}`;
  return typeof value === 'string' ? value.replaceAll('\n', '\\n') : JSON.stringify(value);
}
