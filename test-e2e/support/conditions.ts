/** Reading conditions as `kubectl wait` does, but believing only those that were made for the newest spec. */
import type { KubeObject } from '#kernel/object.ts';
import type { Missing } from './wait.ts';

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
}

interface WithStatus {
  readonly status?: { readonly conditions?: readonly Condition[]; readonly observedGeneration?: number };
}

export function conditionOf(object: KubeObject & WithStatus, type: string): Condition | undefined {
  return object.status?.conditions?.find(condition => condition.type === type);
}

/** Waits for `type` to be `status`, for the object's newest generation and, if given, with this reason. */
export function hasCondition<T extends KubeObject & WithStatus>(
  type: string,
  status: 'True' | 'False',
  reason?: string,
): Missing<T> {
  return object => {
    if (!object) return 'it is not there';
    const { generation } = object.metadata;
    const condition = conditionOf(object, type);
    if (!condition) return `it has no condition ${type}`;
    const shown = `${type} is ${condition.status} (${condition.reason}: ${condition.message})`;
    const observed = condition.observedGeneration ?? object.status?.observedGeneration;
    if (observed !== undefined && generation !== undefined && observed < generation)
      return `${shown}, of generation ${observed} not ${generation}`;
    if (condition.status !== status) return shown;
    return reason === undefined || condition.reason === reason ? undefined : shown;
  };
}

/** Ready, and nothing under way: what `kstatus` calls Current. */
export function isCurrent(object: (KubeObject & WithStatus) | undefined): string | undefined {
  const observed = object?.status?.observedGeneration;
  if (object && observed !== object.metadata.generation)
    return `generation ${object.metadata.generation} is not observed yet (${observed ?? 'none'} is)`;
  return hasCondition('Ready', 'True')(object) ?? hasCondition('Reconciling', 'False')(object);
}
