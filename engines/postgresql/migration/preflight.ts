/**
 * What stands in the way of a transfer, found before anything is touched. Looks only. Each check is a function of the facts of
 * both ends; together they are the list `checks`, and all of them always run, so that a person sees everything at once.
 */
import type { Client } from 'pg';
import type { Estimate, Finding, Transfer, TransferEnd } from '#engines/migration.ts';

/** One end, as preflight and verification need it: a session of their own, so that long looks hold up nobody. */
export interface LookedAt {
  readonly end: TransferEnd;
  /** Opens an administrative connection to the primary; the caller ends it. Throws UnreachableError. */
  open(settings: Readonly<Record<string, string>>): Promise<Client>;
}

export interface LookedAtEnds {
  readonly source: LookedAt;
  readonly target: LookedAt;
}

export interface Preflight {
  readonly findings: readonly Finding[];
  readonly estimate: Estimate;
}

export async function preflight(_ends: LookedAtEnds, _transfer: Transfer): Promise<Preflight> {
  throw new Error('follows');
}
