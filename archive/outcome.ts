/**
 * What a run of the archive says when it ends: one line of JSON as the termination message of its container, so that the pod needs
 * no access to the API server. Nothing in it is secret, and it fits (4 KiB at most are kept).
 */
import { z } from 'zod';

const tableOutcome = z.object({
  table: z.string(),
  /** Rows and files that were written and verified by this run. */
  rows: z.number(),
  parts: z.number(),
  bytes: z.number(),
  /** Rows deleted, and rows left because they changed after they were written to a file. */
  deleted: z.number(),
  kept: z.number(),
  /** Rows before this are done with, in PostgreSQL's writing; absent where the run did not come that far. */
  upTo: z.string().exactOptional(),
});
export type TableOutcome = z.infer<typeof tableOutcome>;

export const archiveOutcome = z.object({
  kind: z.literal('Archive'),
  /** When it ended, RFC 3339. */
  at: z.string(),
  state: z.enum(['Succeeded', 'Failed']),
  tables: z.array(tableOutcome),
  /** Of the error that ended it: code, message and what to do next. */
  failure: z.object({ code: z.string(), message: z.string(), remedy: z.string() }).exactOptional(),
});
export type ArchiveOutcome = z.infer<typeof archiveOutcome>;

/** Bytes of a termination message that Kubernetes keeps. */
const LIMIT = 4096;

/** JSON of at most {@link LIMIT} bytes: of many tables those without news are left out first. */
export function outcomeMessage(outcome: ArchiveOutcome): string {
  const fits = (candidate: ArchiveOutcome) => Buffer.byteLength(JSON.stringify(candidate)) <= LIMIT;
  const { failure } = outcome;
  let shown: ArchiveOutcome = {
    ...outcome,
    ...(failure && { failure: { ...failure, message: failure.message.slice(0, 500) } }),
  };
  if (!fits(shown))
    shown = { ...shown, tables: shown.tables.filter(({ rows, deleted }) => rows + deleted > 0) };
  while (!fits(shown) && shown.tables.length > 0) shown = { ...shown, tables: shown.tables.slice(0, -1) };
  return JSON.stringify(shown);
}

/** Undefined when the message is not one of ours. */
export function parseOutcome(message: string | undefined): ArchiveOutcome | undefined {
  if (message === undefined) return undefined;
  try {
    return archiveOutcome.safeParse(JSON.parse(message)).data;
  } catch {
    return undefined;
  }
}
