/**
 * Writes to tables that are whole on every shard. The home shard (ordinal 0) puts all changes in one order and keeps them in
 * a log; every other shard applies them in that order. Once the home shard has a change it is safe: what this client
 * does not bring to a shard in time, the operator does.
 */
import { DatabaseError } from 'pg';
import { type RepeatContext, repeat } from './attempt.ts';
import type { BroadcastOptions, BroadcastResult, CallOptions, ReferenceTable } from './client.ts';
import type { Deadline } from './deadline.ts';
import { BroadcastLagError } from './errors.ts';
import type { Executor } from './executor.ts';
import type { Row } from './result.ts';
import type { Target } from './shard-pools.ts';

export interface ReferenceContext extends RepeatContext {
  readonly executor: Executor;
  readonly begin: (options: CallOptions | undefined) => Promise<Deadline>;
  /** The home shard first. */
  readonly targets: () => readonly [Target, ...Target[]];
}

/** One entry of the log. The change stays text: JSON numbers may be larger than JavaScript's. */
interface Entry {
  readonly version: bigint;
  readonly table: string;
  readonly change: string;
}

/** The server's code for a change whose predecessors are not there yet. */
const gapState = 'SW002';
const entriesPerRead = 100;
const nothingYetMs = 100;

export function referenceTable(table: string, context: ReferenceContext): ReferenceTable {
  async function write(change: object, options: BroadcastOptions = {}): Promise<BroadcastResult> {
    const deadline = await context.begin(options);
    const entry = await writeHome(table, JSON.stringify(change), deadline, context);
    if (options.wait === 'home') return { version: entry.version };
    await everywhere(entry.version, deadline, context, target => apply(target, entry, deadline, context));
    return { version: entry.version };
  }
  return {
    upsert: (rows, options) => write({ upsert: rows.map(toJson) }, options),
    delete: (keys, options) => write({ delete: keys.map(toJson) }, options),
    async waitUntilEverywhere(version, options) {
      const deadline = await context.begin(options);
      const upTo = version ?? (await lastVersion(context.targets()[0], deadline, context));
      await everywhere(upTo, deadline, context, target => bringTo(target, upTo, deadline, context));
      return { version: upTo };
    },
  };
}

/** Repeating a change on the home shard gives it a second version with the same content: harmless. */
async function writeHome(
  table: string,
  change: string,
  deadline: Deadline,
  context: ReferenceContext,
): Promise<Entry> {
  const row = await ask<{ version: string; change: string }>(
    () => context.targets()[0],
    'SELECT version, applied_change::text AS change FROM shardwright.reference_write($1, $2::jsonb)',
    [table, change],
    deadline,
    context,
  );
  const [written] = row;
  if (written === undefined) throw new TypeError('reference_write returned no row');
  return { version: BigInt(written.version), table, change: written.change };
}

/** Runs `bring` for every shard but the home shard, side by side. Rejects naming those that did not get there. */
async function everywhere(
  version: bigint,
  deadline: Deadline,
  context: ReferenceContext,
  bring: (target: Target) => Promise<void>,
): Promise<void> {
  const [, ...others] = context.targets();
  const outcomes = await Promise.allSettled(others.map(bring));
  const causes = new Map<string, unknown>();
  outcomes.forEach((outcome, at) => {
    const shard = others[at]?.shard;
    if (outcome.status === 'rejected' && shard !== undefined) causes.set(shard, outcome.reason);
  });
  if (deadline.aborted) throw deadline.reason();
  if (causes.size > 0) throw new BroadcastLagError(version, causes);
}

async function apply(
  target: Target,
  entry: Entry,
  deadline: Deadline,
  context: ReferenceContext,
): Promise<void> {
  try {
    await ask(
      () => target,
      'SELECT shardwright.reference_apply($1, $2, $3::jsonb)',
      [String(entry.version), entry.table, entry.change],
      deadline,
      context,
    );
  } catch (error) {
    if (!isGap(error)) throw error;
    await bringTo(target, entry.version, deadline, context);
  }
}

/** Applies what the shard lacks from the home shard's log. Others may do the same at the same time. */
async function bringTo(
  target: Target,
  version: bigint,
  deadline: Deadline,
  context: ReferenceContext,
): Promise<void> {
  for (;;) {
    const last = await lastVersion(target, deadline, context);
    if (last >= version) return;
    const entries = await entriesAfter(last, deadline, context);
    // A version that the home shard has not given out yet is waited for.
    if (entries.length === 0) await deadline.pause(nothingYetMs);
    for (const entry of entries) {
      await ask(
        () => target,
        'SELECT shardwright.reference_apply($1, $2, $3::jsonb)',
        [String(entry.version), entry.table, entry.change],
        deadline,
        context,
      );
    }
  }
}

async function lastVersion(target: Target, deadline: Deadline, context: ReferenceContext): Promise<bigint> {
  const text = 'SELECT coalesce(max(version), 0) AS version FROM shardwright.broadcast';
  const [row] = await ask<{ version: string }>(() => target, text, [], deadline, context);
  return BigInt(row?.version ?? 0);
}

async function entriesAfter(
  version: bigint,
  deadline: Deadline,
  context: ReferenceContext,
): Promise<readonly Entry[]> {
  const rows = await ask<{ version: string; table_name: string; change: string }>(
    () => context.targets()[0],
    'SELECT version, table_name, change::text AS change FROM shardwright.broadcast WHERE version > $1 ORDER BY version LIMIT $2',
    [String(version), entriesPerRead],
    deadline,
    context,
  );
  return rows.map(row => ({ version: BigInt(row.version), table: row.table_name, change: row.change }));
}

/** All of these may be repeated. */
function ask<R extends object>(
  target: () => Target,
  text: string,
  values: unknown[],
  deadline: Deadline,
  context: ReferenceContext,
): Promise<R[]> {
  return repeat({ deadline, harmless: () => true }, context, async () => {
    const result = await context.executor.run<R>(target(), { text, values }, deadline);
    return result.rows;
  });
}

function isGap(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof DatabaseError && error.cause.code === gapState;
}

/** A row for the server's JSON: what JSON lacks goes as the text that PostgreSQL reads for the column's type. */
function toJson(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => {
      if (typeof value === 'bigint') return [column, String(value)];
      if (Buffer.isBuffer(value)) return [column, `\\x${value.toString('hex')}`];
      return [column, value];
    }),
  );
}
