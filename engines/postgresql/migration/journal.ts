/**
 * The journal of a transfer: one row at each end, and with the end that lost the writes the decision record. What stands here
 * outlives every process.
 */
import type { Client } from 'pg';
import { z } from 'zod';
import { EngineError } from '#engines/errors.ts';
import type { Ends, OpenEnd } from './ends.ts';

const end = z.enum(['source', 'target']);

export const decision = z.object({
  /** Who may write what moves. */
  writes: end,
  at: z.string(),
  stallMs: z.number(),
  generations: z.object({ source: z.number(), target: z.number() }),
  /** What was written at the loser before and has arrived at the gainer: copies of both that are brought back can tell. */
  marker: z.string().optional(),
});
export type Decision = z.infer<typeof decision>;

export const verified = z.object({
  at: z.string(),
  /** Of source and target: after a fail-over that may have lost something, equality has to be found again. */
  timelines: z.string(),
});

const journal = z.object({
  side: end,
  peer: z.string(),
  begun: z.string(),
  prepared: z.boolean(),
  copied: z.boolean(),
  copy: z.record(z.string(), z.object({ rows: z.number(), bytes: z.number() })).nullable(),
  forward_verified: verified.nullable(),
  back_verified: verified.nullable(),
  decision: decision.nullable(),
  closing: z.boolean(),
  position: z.record(z.string(), z.number()),
  emptied: z.string().nullable(),
});
export type Journal = z.infer<typeof journal>;

/** As a column of a query. `$1` is the transfer's id. */
export const journalSql = `(SELECT to_jsonb(t) FROM shardwright.transfer AS t WHERE t.id = $1)`;

export function parseJournal(value: unknown): Journal | undefined {
  return value === null || value === undefined ? undefined : journal.parse(value);
}

/** The later of the two records stands. */
export function standing(...journals: readonly (Journal | undefined)[]): Decision | undefined {
  return journals
    .flatMap(found => found?.decision ?? [])
    .toSorted((a, b) => b.generations.source - a.generations.source)[0];
}

/** The facts do not allow what was asked for; nothing was done. */
export class WrongMomentError extends EngineError {
  override readonly name = 'WrongMomentError';
  readonly code = 'WrongMoment';
  readonly remedy = 'Observe the transfer again and decide anew.';
  override readonly retryable = true;
}

/** Until the transaction ends nobody else decides about this transfer at this end. */
export async function lockJournal(client: Client, id: string): Promise<Journal | undefined> {
  const { rows } = await client.query<{ journal: unknown }>(
    'SELECT to_jsonb(t) AS journal FROM shardwright.transfer AS t WHERE t.id = $1 FOR UPDATE',
    [id],
  );
  return parseJournal(rows[0]?.journal);
}

export async function readJournal({ client }: OpenEnd, id: string): Promise<Journal | undefined> {
  const { rows } = await client.query<{ journal: unknown }>(`SELECT ${journalSql} AS journal`, [id]);
  return parseJournal(rows[0]?.journal);
}

/** Decision record of both ends, if any. */
export async function readDecision({ source, target }: Ends, id: string): Promise<Decision | undefined> {
  const journals = await Promise.all([readJournal(source, id), readJournal(target, id)]);
  return standing(...journals);
}

/** The timeline of a primary, as part of a text that names both ends'. */
export const timelineSql = `substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)`;
