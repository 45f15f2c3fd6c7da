/** Reading and wanting conditions of our own kinds. */
import type { Condition } from '#crds/api/conditions.ts';

/** What a controller says; when it changed is added on writing. */
export type WantedCondition = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

interface WithConditions {
  readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined;
}

export function findCondition(object: WithConditions, type: string): Condition | undefined {
  return object.status?.conditions?.find(condition => condition.type === type);
}

export function conditionStatus(object: WithConditions, type: string): Condition['status'] | undefined {
  return findCondition(object, type)?.status;
}
