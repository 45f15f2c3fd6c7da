/** How much would move, from the planner's statistics and the sizes of files: quick on any table, right to some percent. */
import type { Client } from 'pg';
import { z } from 'zod';
import type { Estimate, Transfer, TransferTable } from '#engines/migration.ts';
import type { Partition, SlotRange } from '#sharding/partition.ts';
import { quoteIdentifier, quoteLiteral } from '../sql-text.ts';
import { partitionPredicate } from './predicate.ts';
import { quotedTable } from './tables.ts';

export interface DetailedEstimate extends Estimate {
  /** With indexes: what the target's volume needs. */
  readonly totalBytes: number;
}

/** Of the source. `owned`: all that it owns; the planner knows nothing of hashes, so slots are a matter of proportion. */
export async function estimate(
  client: Client,
  transfer: Transfer,
  owned: Partition,
): Promise<DetailedEstimate> {
  const sum = { rows: 0, bytes: 0, totalBytes: 0 };
  for (const table of transfer.tables) {
    const size = await sizeOf(client, quotedTable(table.name));
    if (!size) continue;
    const all = await plannedRows(client, table, 'true');
    const rows = Math.min(all, await movingRows(client, transfer, table, owned, all));
    const share = all > 0 ? rows / all : 0;
    sum.rows += rows;
    sum.bytes += share * size.bytes;
    sum.totalBytes += share * size.totalBytes;
  }
  return { rows: Math.round(sum.rows), bytes: Math.round(sum.bytes), totalBytes: Math.round(sum.totalBytes) };
}

async function movingRows(
  client: Client,
  transfer: Transfer,
  table: TransferTable,
  owned: Partition,
  all: number,
): Promise<number> {
  const { partition } = transfer;
  if (transfer.whole) return all;
  if (partition.kind === 'slots')
    return all * proportion(partition.ranges, owned.kind === 'slots' ? owned.ranges : []);
  if (partition.kind !== 'regions')
    return plannedRows(client, table, partitionPredicate(transfer, table, 'source', 't'));
  let rows = 0;
  for (const { region, ranges } of partition.regions) {
    const before =
      owned.kind === 'regions' ? owned.regions.find(entry => entry.region === region) : undefined;
    const column = `t.${quoteIdentifier(transfer.regionColumn ?? '')}`;
    const ofRegion = await plannedRows(client, table, `${column} = ${quoteLiteral(region)}`);
    rows += ofRegion * proportion(ranges, before?.ranges ?? []);
  }
  return rows;
}

/** Slots that move among those owned; all, where it is not known what is owned. */
export function proportion(moving: readonly SlotRange[], owned: readonly SlotRange[]): number {
  const total = slotCount(owned);
  return total === 0 ? 1 : Math.min(1, slotCount(moving) / total);
}

function slotCount(ranges: readonly SlotRange[]): number {
  return ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}

const plan = z.tuple([z.object({ Plan: z.looseObject({ 'Plan Rows': z.number() }) })]);

/** Unlike pg_class.reltuples it knows of tables that were never analyzed, and of partitions. */
async function plannedRows(client: Client, table: TransferTable, condition: string): Promise<number> {
  const { rows } = await client.query<Record<string, unknown>>(
    `EXPLAIN (FORMAT JSON) SELECT FROM ${quotedTable(table.name)} AS t WHERE ${condition}`,
  );
  return plan.parse(rows[0]?.['QUERY PLAN'])[0].Plan['Plan Rows'];
}

/** Without indexes, and with them. Undefined where there is no such table. */
async function sizeOf(
  client: Client,
  quoted: string,
): Promise<{ readonly bytes: number; readonly totalBytes: number } | undefined> {
  const { rows } = await client.query<{ bytes: number | null; total: number | null }>(
    `SELECT sum(pg_table_size(relid))::float8 AS bytes, sum(pg_total_relation_size(relid))::float8 AS total
     FROM (SELECT to_regclass($1)::oid AS relid UNION SELECT relid::oid FROM pg_partition_tree(to_regclass($1))) AS tree`,
    [quoted],
  );
  const { bytes, total } = rows[0] ?? {};
  return bytes === null || bytes === undefined ? undefined : { bytes, totalBytes: total ?? bytes };
}
