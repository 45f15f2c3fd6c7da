/**
 * One statement on every shard. All answers are of one map: an error that a newer map may cure starts the whole scatter
 * over, since rows may have moved from a shard that was asked late to one that was asked early.
 */
import type { QueryConfig } from 'pg';
import { AttemptError, publicError, type RepeatContext, repeat } from './attempt.ts';
import type { ScatterOptions } from './client.ts';
import type { Deadline } from './deadline.ts';
import { ClientError, messageOf, ShardError } from './errors.ts';
import type { Executor } from './executor.ts';
import { isPlainRead } from './plain-read.ts';
import type { ShardResult } from './result.ts';
import { toResult } from './result.ts';
import type { Target } from './shard-pools.ts';

export interface ScatterContext extends RepeatContext {
  readonly executor: Pick<Executor, 'run'>;
  /** The shards to ask by the map of this moment, by ordinal. Throws for one in maintenance. */
  readonly targets: (side: 'write' | 'read', attempt: number) => readonly Target[];
}

const defaultConcurrency = 64;

type Outcome<R extends object> =
  | { readonly kind: 'answered'; readonly result: ShardResult<R> }
  | { readonly kind: 'failed'; readonly shard: string; readonly error: unknown }
  | { readonly kind: 'skipped' };

export async function gather<R extends object>(
  sql: string,
  options: ScatterOptions,
  deadline: Deadline,
  context: ScatterContext,
): Promise<readonly ShardResult<R>[]> {
  const { params, idempotent, read, strategy = 'parallel', retries } = options;
  const statement: QueryConfig = params === undefined ? { text: sql } : { text: sql, values: [...params] };
  const harmless = read !== undefined || idempotent === true || isPlainRead(sql);
  const side = read === undefined ? 'write' : 'read';
  const width = strategy === 'sequential' ? 1 : (options.concurrency ?? defaultConcurrency);
  return repeat(
    { deadline, harmless: () => harmless, ...(retries === undefined ? {} : { retries }) },
    context,
    async attempt => {
      const targets = context.targets(side, attempt);
      const outcomes = await askAll<R>(targets, statement, deadline, width, harmless, context);
      return conclude(outcomes, harmless, deadline);
    },
  );
}

/** At most `width` at once. After a failure no further shard is asked; where repeating is harmless the rest is cancelled. */
async function askAll<R extends object>(
  targets: readonly Target[],
  statement: QueryConfig,
  deadline: Deadline,
  width: number,
  harmless: boolean,
  context: ScatterContext,
): Promise<readonly Outcome<R>[]> {
  const outcomes: Outcome<R>[] = targets.map(() => ({ kind: 'skipped' }));
  const stop = new AbortController();
  const stopReason = new Error('another shard failed');
  const call = harmless ? deadline.with(stop.signal) : deadline;
  let next = 0;
  async function ask(): Promise<void> {
    for (let at = next++; at < targets.length && !stop.signal.aborted; at = next++) {
      const target = targets[at];
      if (target === undefined) return;
      try {
        const result = toResult(await context.executor.run<R>(target, statement, call));
        outcomes[at] = { kind: 'answered', result: { shard: target.shard, ...result } };
      } catch (error) {
        const stopped = error === stopReason || (error instanceof AttemptError && error.cause === stopReason);
        if (!stopped) outcomes[at] = { kind: 'failed', shard: target.shard, error };
        stop.abort(stopReason);
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, targets.length) }, ask));
  return outcomes;
}

/** The answers, if all are there. Else throws: AttemptError where starting over may help, or the public error. */
function conclude<R extends object>(
  outcomes: readonly Outcome<R>[],
  harmless: boolean,
  deadline: Deadline,
): readonly ShardResult<R>[] {
  const answers = outcomes.flatMap(outcome => (outcome.kind === 'answered' ? [outcome.result] : []));
  if (answers.length === outcomes.length) return answers;
  if (deadline.aborted) throw deadline.reason();
  const failures = outcomes.flatMap(outcome => (outcome.kind === 'failed' ? [outcome] : []));
  const local = failures.find(
    ({ error }) => !(error instanceof AttemptError || error instanceof ClientError),
  );
  if (local !== undefined) throw local.error;
  const attempts = failures.flatMap(({ error }) => (error instanceof AttemptError ? [error] : []));
  const curable = attempts.length === failures.length && attempts.every(error => error.verdict !== 'final');
  const untouched = answers.length === 0 && attempts.every(error => !error.uncertain);
  const [first] = attempts;
  if (first !== undefined && curable && (harmless || untouched)) throw first;
  const causes = new Map(
    failures.map(({ shard, error }) => [
      shard,
      error instanceof AttemptError ? publicError(error, error.uncertain && !harmless) : error,
    ]),
  );
  throw new ShardError(
    `${causes.size} of ${outcomes.length} shards failed: ${describe(causes)}`,
    'See causes for each; succeeded names the shards on which a write took effect.',
    causes,
    harmless ? [] : answers.map(answer => answer.shard),
  );
}

function describe(causes: ReadonlyMap<string, unknown>): string {
  const [first] = causes;
  const names = [...causes.keys()].join(', ');
  return first === undefined ? names : `${names} (${messageOf(first[1])})`;
}
