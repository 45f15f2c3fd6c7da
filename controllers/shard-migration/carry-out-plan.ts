/** Writing down the plan: one of a fleet at a time, and never twice. */
import { timestamp } from '#kernel/conditions.ts';
import type { KubeObject } from '#kernel/object.ts';
import { mustWaitFor } from './busy.ts';
import type { Action } from './decision.ts';
import type { MigrationDeps } from './deps.ts';
import { migrationOf } from './facts.ts';
import { gatherOthers } from './gather.ts';
import { emit, fleetOf, type Outcome, type Pass } from './pass.ts';

/** One plan of a fleet at a time, and never over one that is there: from here on others count on it. */
export async function recordPlan(
  pass: Pass,
  { plan }: Action & { readonly kind: 'RecordPlan' },
): Promise<Outcome> {
  const { deps, raw, facts, context, record } = pass;
  const { namespace, name } = fleetOf(facts);
  return deps.planning.run(`${namespace}/${name}`, async () => {
    const names = plan.transfers.flatMap(({ source, target }) => [source, target]);
    if (mustWaitFor(gatherOthers(deps, facts.migration), names)?.planned) return 'Stop';
    if (await hasPlan(deps, raw, context.signal)) return 'Stop';
    context.log.info({ plan: plan.lines }, 'writing down the plan');
    const clusterUid = facts.cluster?.metadata.uid;
    await record(status => ({
      ...status,
      transfers: [...plan.transfers],
      plan: [...plan.lines],
      ...(plan.newShard && { newShard: plan.newShard }),
      startTime: timestamp(deps.clock.now()),
      ...(clusterUid === undefined ? {} : { clusterUid }),
    }));
    emit(pass, 'Normal', 'Planned', 'RecordPlan', plan.lines.join('; '));
    return undefined;
  });
}

/** Asks the API server itself: a cache that is behind would let a plan be made twice. */
async function hasPlan({ objects }: MigrationDeps, raw: KubeObject, signal: AbortSignal): Promise<boolean> {
  const live = await objects.live(raw, signal);
  if (!live || live.metadata.uid !== raw.metadata.uid) return true;
  return migrationOf(live).status?.transfers !== undefined;
}
