/**
 * A kind that is already valid API while its controller is still to come: applying one says so in its conditions and in an
 * event, as kstatus reads them - Ready=False and Stalled=True, since nothing will happen by itself.
 */
import type { Applier } from '#kernel/apply.ts';
import type { Clock } from '#kernel/clock.ts';
import { type Condition, setConditions } from '#kernel/conditions.ts';
import type { Reconcile } from '#kernel/controller.ts';
import type { EventRecorder } from '#kernel/events.ts';
import type { KubeObject, ObjectKey } from '#kernel/object.ts';

export interface NotYetDeps {
  readonly cache: { get(key: ObjectKey): KubeObject | undefined };
  /** Throws InvalidObjectError. */
  readonly parse: (object: KubeObject) => {
    readonly status?: { readonly conditions?: readonly Condition[] };
  };
  /** What a person should know, and do instead. */
  readonly message: string;
  readonly applier: Applier;
  readonly events: EventRecorder;
  readonly clock: Clock;
}

export const NOT_YET = 'NotYetSupported';

export function notYetReconciler(deps: NotYetDeps): Reconcile {
  return async (request, { signal }) => {
    const live = deps.cache.get(request);
    if (!live || live.metadata.deletionTimestamp !== undefined) return;
    const before = deps.parse(live).status?.conditions ?? [];
    const observedGeneration = live.metadata.generation ?? 0;
    const says = { reason: NOT_YET, message: deps.message, observedGeneration };
    const after = setConditions(
      before,
      [
        { type: 'Ready', status: 'False', ...says },
        { type: 'Reconciling', status: 'False', ...says },
        { type: 'Stalled', status: 'True', ...says },
      ],
      deps.clock.now(),
    );
    const { changed } = await deps.applier.applyStatus(
      live,
      { observedGeneration, conditions: after },
      { signal },
    );
    if (changed) deps.events.conditionsChanged(live, before, after);
  };
}
