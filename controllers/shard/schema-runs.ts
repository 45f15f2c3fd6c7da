/**
 * Between the Shard controller and the one that applies schema files: who has files to apply, and what became of them. Held in memory:
 * after a restart files are ordered again, and the database knows which of them it has.
 */
import type { Shard, ShardStatus } from '#crds/api/shard.ts';
import { priorities } from '#kernel/queue.ts';
import type { Enqueue, Request, Source } from '#kernel/source.ts';

export interface SchemaOutcome {
  /** Files that were applied just now: what they made wants grants. */
  readonly applied: readonly string[];
  /** What the Shard says from now on. Absent: the same files are tried again. */
  readonly schema?: NonNullable<ShardStatus['schema']>;
  /** Why they are tried again, in words. */
  readonly trouble?: string;
}

interface Run {
  readonly uid: string | undefined;
  ordered: boolean;
  outcome: SchemaOutcome | undefined;
}

export class SchemaRuns {
  /** Wakes the controller that applies files, for shards that were ordered to. */
  readonly orders = new Wakes();
  /** Wakes the Shard controller, for shards whose files have come to something. */
  readonly outcomes = new Wakes();
  readonly #runs = new Map<string, Run>();

  /** Has the shard's files applied. Ordering again what is at work already changes nothing. */
  order(shard: Shard): void {
    this.#of(shard).ordered = true;
    this.orders.wake(requestFor(shard));
  }

  /** Nothing can be applied at present: to be ordered again when that has changed. */
  withdraw(shard: Shard): void {
    this.#of(shard).ordered = false;
  }

  isOrdered(shard: Shard): boolean {
    return this.#of(shard).ordered;
  }

  tell(shard: Shard, outcome: SchemaOutcome): void {
    const run = this.#of(shard);
    const before = run.outcome;
    // What was not granted yet still wants to be.
    run.outcome = { ...outcome, applied: [...(before?.applied ?? []), ...outcome.applied] };
    run.ordered = outcome.schema === undefined;
    if (outcome.schema || outcome.applied.length > 0 || outcome.trouble !== before?.trouble)
      this.outcomes.wake(requestFor(shard));
  }

  outcome(shard: Shard): SchemaOutcome | undefined {
    return this.#of(shard).outcome;
  }

  /** The Shard controller has done what the outcome wanted. */
  settle(shard: Shard, outcome: SchemaOutcome): void {
    const run = this.#of(shard);
    if (run.outcome !== outcome) return;
    run.outcome = outcome.schema ? undefined : { ...outcome, applied: [] };
  }

  forget({ namespace, name }: Request): void {
    this.#runs.delete(`${namespace}/${name}`);
  }

  #of(shard: Shard): Run {
    const { uid } = shard.metadata;
    const { namespace, name } = requestFor(shard);
    const key = `${namespace}/${name}`;
    const known = this.#runs.get(key);
    // A Shard made again under its name starts anew.
    if (known && known.uid === uid) return known;
    const fresh: Run = { uid, ordered: false, outcome: undefined };
    this.#runs.set(key, fresh);
    return fresh;
  }
}

/** A source that wakes who subscribed, for names it is told. */
class Wakes implements Source {
  readonly #subscribers = new Set<Enqueue>();

  wake(request: Request): void {
    for (const enqueue of this.#subscribers) enqueue(request, priorities.normal);
  }

  subscribe(enqueue: Enqueue): Disposable {
    this.#subscribers.add(enqueue);
    return { [Symbol.dispose]: () => this.#subscribers.delete(enqueue) };
  }

  resync(): void {
    // Resyncs come from the shards themselves.
  }
}

function requestFor({ metadata }: Shard): Request {
  return { namespace: metadata.namespace ?? '', name: metadata.name };
}
