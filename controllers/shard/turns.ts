/**
 * Whose turn it is to renew members, per fleet. A new version of the operator may change every StatefulSet's template at once;
 * the shards then take turns as they do for a changed spec. A shard keeps its turn until it is whole again. Held in memory:
 * after a restart those that say they are rolling out keep their turns. Whoever asked in vain is woken when a turn is free.
 */
import { conditionStatus, findCondition } from '#controllers/conditions.ts';
import type { Shard } from '#crds/api/shard.ts';
import { priorities } from '#kernel/queue.ts';
import type { Enqueue, Source } from '#kernel/source.ts';

export interface TurnsOptions {
  /** Shards of one fleet; asked once per fleet and process. */
  readonly shardsOf: (namespace: string, cluster: string) => readonly Shard[];
  /** How many shards of the fleet may be at it. Cheap: asked whenever a shard wants a turn. */
  readonly budgetOf: (namespace: string, cluster: string) => number;
}

export class Turns implements Source {
  readonly #options: TurnsOptions;
  /** By fleet, who asked in vain, the first one first. */
  readonly #waiting = new Map<string, Set<string>>();
  readonly #subscribers = new Set<Enqueue>();
  readonly #holders = new Map<string, Set<string>>();

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** True when the shard has its turn, now or already. */
  take(shard: Shard): boolean {
    const holders = this.#of(shard);
    const { name, namespace = '' } = shard.metadata;
    if (holders.has(name)) return true;
    const fleet = fleetOf(shard);
    const waiting = this.#waiting.get(fleet) ?? new Set();
    if (holders.size >= this.#options.budgetOf(namespace, shard.spec.cluster.name)) {
      this.#waiting.set(fleet, waiting.add(name));
      return false;
    }
    waiting.delete(name);
    holders.add(name);
    return true;
  }

  giveBack(shard: Shard): void {
    this.#free(fleetOf(shard), shard.metadata.name);
  }

  /** A shard that is gone. */
  forget(namespace: string, name: string): void {
    for (const fleet of this.#holders.keys()) {
      if (!fleet.startsWith(`${namespace}/`)) continue;
      this.#waiting.get(fleet)?.delete(name);
      this.#free(fleet, name);
    }
  }

  /** As a source it wakes a shard whose turn may have come. */
  subscribe(enqueue: Enqueue): Disposable {
    this.#subscribers.add(enqueue);
    return { [Symbol.dispose]: () => this.#subscribers.delete(enqueue) };
  }

  resync(): void {
    // Resyncs come from the shards themselves.
  }

  #free(fleet: string, name: string): void {
    if (!this.#holders.get(fleet)?.delete(name)) return;
    const waiting = this.#waiting.get(fleet);
    const [next] = waiting ?? [];
    if (next === undefined) return;
    waiting?.delete(next);
    const [namespace = ''] = fleet.split('/');
    for (const enqueue of this.#subscribers) enqueue({ namespace, name: next }, priorities.normal);
  }

  #of(shard: Shard): Set<string> {
    const fleet = fleetOf(shard);
    const known = this.#holders.get(fleet);
    if (known) return known;
    const { namespace = '' } = shard.metadata;
    const rolling = this.#options.shardsOf(namespace, shard.spec.cluster.name).filter(isRolling);
    const holders = new Set(rolling.map(each => each.metadata.name));
    this.#holders.set(fleet, holders);
    return holders;
  }
}

/**
 * Why a shard says that it is Reconciling. Only the first means that it has a turn; `Settling` ones may not even know yet
 * whether they want one.
 */
export type RollingReason = 'RollingOut' | 'WaitingForTurn' | 'Settling' | 'Rebuilding';
const hasTurn: RollingReason = 'RollingOut';

function isRolling(shard: Shard): boolean {
  return (
    conditionStatus(shard, 'Reconciling') === 'True' &&
    findCondition(shard, 'Reconciling')?.reason === hasTurn
  );
}

function fleetOf(shard: Shard): string {
  return `${shard.metadata.namespace ?? ''}/${shard.spec.cluster.name}`;
}
