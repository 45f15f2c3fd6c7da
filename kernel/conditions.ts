/**
 * Status conditions as kstatus reads them: `Ready`, and the abnormal ones `Reconciling` and `Stalled`. A condition keeps its
 * lastTransitionTime until its status changes; an unchanged condition is returned as it was, so that comparing a status
 * with the live one finds no difference.
 */
export type ConditionStatus = 'True' | 'False' | 'Unknown';

export interface Condition {
  type: string;
  status: ConditionStatus;
  /** CamelCase. */
  reason: string;
  /** Names the object and what to do next. */
  message: string;
  observedGeneration?: number;
  /** RFC 3339, whole seconds. */
  lastTransitionTime: string;
}

export type NewCondition = Omit<Condition, 'lastTransitionTime'>;

/** The conditions with these set, in the order in which types first came up. */
export function setConditions(
  existing: readonly Condition[],
  changes: readonly NewCondition[],
  now: Date,
): Condition[] {
  const result = new Map(existing.map(condition => [condition.type, condition]));
  for (const change of changes) result.set(change.type, merge(result.get(change.type), change, now));
  return [...result.values()];
}

export function findCondition(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find(condition => condition.type === type);
}

export function isTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/** The types whose status differs between two states: what is worth an event. */
export function transitions(before: readonly Condition[], after: readonly Condition[]): Condition[] {
  return after.filter(({ type, status }) => findCondition(before, type)?.status !== status);
}

/** How an object is doing, of which exactly one holds. */
export type Phase =
  | { readonly phase: 'ready'; readonly reason: string; readonly message: string }
  /** On the way by itself. */
  | { readonly phase: 'reconciling'; readonly reason: string; readonly message: string }
  /** Someone has to do something. */
  | { readonly phase: 'stalled'; readonly reason: string; readonly message: string };

/**
 * `Ready`, `Reconciling` and `Stalled` for a phase; `generation` is the one that was looked at. `available` keeps Ready true
 * while something is being changed or is stuck that takes nothing away from users.
 */
export function phaseConditions(
  state: Phase,
  generation: number | undefined,
  options: { readonly available?: boolean } = {},
): NewCondition[] {
  const { phase, reason, message } = state;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const condition = (type: string, holds: boolean, unless: string): NewCondition =>
    holds || type === 'Ready'
      ? { type, status: holds ? 'True' : 'False', reason, message, ...observed }
      : { type, status: 'False', reason: unless, message: '', ...observed };
  return [
    condition('Ready', phase === 'ready' || options.available === true, reason),
    condition('Reconciling', phase === 'reconciling', phase === 'ready' ? 'Done' : 'Stopped'),
    condition('Stalled', phase === 'stalled', 'NotStalled'),
  ];
}

function merge(old: Condition | undefined, change: NewCondition, now: Date): Condition {
  const lastTransitionTime = old?.status === change.status ? old.lastTransitionTime : timestamp(now);
  const merged: Condition = { ...change, lastTransitionTime };
  return old && same(old, merged) ? old : merged;
}

function same(a: Condition, b: Condition): boolean {
  return (
    a.status === b.status &&
    a.reason === b.reason &&
    a.message === b.message &&
    a.observedGeneration === b.observedGeneration
  );
}

/** As the API writes times: seconds, no fraction. */
export function timestamp(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}
