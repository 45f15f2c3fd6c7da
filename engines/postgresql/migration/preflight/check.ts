/** What a check is: a pure function of what both ends say. The order of the lists is the order in which people read findings. */
import type { Shard } from '#crds/api/shard.ts';
import type { End, Finding, Transfer, TransferTable } from '#engines/migration.ts';
import { fullTableName } from '../../sql-text.ts';
import type { DetailedEstimate } from '../estimate.ts';
import type { EndFacts, TableFacts } from './facts.ts';

export interface Context {
  readonly transfer: Transfer;
  readonly shards: Readonly<Record<End, Shard>>;
  readonly facts: Readonly<Record<End, EndFacts>>;
  readonly estimate: DetailedEstimate;
  /** Moving tables of the target that have rows which were to arrive only now. */
  readonly orphans: readonly string[];
}

export type Check = (context: Context) => readonly Finding[];

/** Longest list of names in a message. */
const NAMES = 5;

export const bothEnds: readonly End[] = ['source', 'target'];

export function failure(check: string, message: string, remedy: string): Finding {
  return { check, severity: 'error', message, remedy };
}

export function caution(check: string, message: string, remedy: string): Finding {
  return { check, severity: 'warning', message, remedy };
}

/** `a, b and 3 more`. */
export function listed(names: readonly string[]): string {
  const more = names.length - NAMES;
  return more > 0 ? `${names.slice(0, NAMES).join(', ')} and ${more} more` : names.join(', ');
}

/** `social-0 (source)` */
export function at({ shards }: Context, end: End): string {
  return `${shards[end].metadata.name} (${end})`;
}

export interface MovingTable {
  readonly declared: TransferTable;
  readonly facts: TableFacts;
  /** Columns that say whether a row moves: none when all do. */
  readonly filter: readonly string[];
}

/** The tables that are there. */
export function movingTables({ transfer, facts }: Context, end: End = 'source'): readonly MovingTable[] {
  return transfer.tables.flatMap(declared => {
    const table = facts[end].tables.find(({ name }) => name === fullTableName(declared.name));
    return table ? [{ declared, facts: table, filter: filterColumns(transfer, declared) }] : [];
  });
}

function filterColumns({ partition, regionColumn }: Transfer, { key }: TransferTable): readonly string[] {
  return partition.kind === 'regions' && regionColumn !== undefined ? [key, regionColumn] : [key];
}
