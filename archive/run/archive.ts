/** One run: the tables of a shard in their order. What one table cannot does not keep the next from it, and is told in the end. */
import { EngineError } from '#engines/errors.ts';
import { ArchiveError } from '../errors.ts';
import type { ArchiveOutcome, TableOutcome } from '../outcome.ts';
import type { ArchiveTable } from '../settings.ts';
import { archiveTable, type Run } from './archive-table.ts';

/** Never throws for what a run can meet. */
export async function archive(run: Run, tables: readonly ArchiveTable[]): Promise<ArchiveOutcome> {
  const outcomes: TableOutcome[] = [];
  let failure: ArchiveOutcome['failure'];
  for (const table of tables) {
    const outcome = { table: table.name, rows: 0, parts: 0, bytes: 0, deleted: 0, kept: 0 };
    outcomes.push(outcome);
    try {
      await archiveTable(run, table, outcome);
    } catch (error) {
      failure ??= failureOf(error);
    }
  }
  return {
    kind: 'Archive',
    at: run.hooks.now().toISOString(),
    state: failure ? 'Failed' : 'Succeeded',
    tables: outcomes,
    ...(failure && { failure }),
  };
}

export function failureOf(error: unknown): NonNullable<ArchiveOutcome['failure']> {
  if (error instanceof ArchiveError || error instanceof EngineError)
    return { code: error.code, message: error.message, remedy: error.remedy };
  return {
    code: 'Unexpected',
    message: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
    remedy: 'It is tried again by the next run; what was done stays done.',
  };
}
