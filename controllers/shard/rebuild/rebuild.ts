/** One step of a rebuild that somebody has asked for, and what it means for the rest of the pass. */
import type { ShardDeps } from '#controllers/shard/deps.ts';
import type { ShardFacts } from '#controllers/shard/facts.ts';
import type { Shard, ShardRebuildStatus } from '#crds/api/shard.ts';
import type { ReconcileContext } from '#kernel/controller.ts';
import type { KubeObject } from '#kernel/object.ts';
import { carryOut } from './carry-out.ts';
import { decideRebuild, type RebuildPlan } from './decide.ts';
import { gatherRebuild } from './facts.ts';
import { orderOf } from './order.ts';

/** Volumes and pods that go wake nobody. */
export const REBUILD_RETRY_MS = 2000;

/** Undefined where none is asked for. */
export async function rebuild(
  deps: ShardDeps,
  facts: ShardFacts,
  context: ReconcileContext,
): Promise<RebuildPlan | undefined> {
  const { shard } = facts;
  const order = orderOf(known(deps, shard));
  if (!order) return undefined;
  const engine = deps.engine(shard).recovery;
  if (!engine) {
    const message = `shards of ${shard.spec.engine.type} cannot be rebuilt from a backup: take the annotation away`;
    const problem = { reason: 'NotSupported', message };
    return { actions: [], status: shard.status?.rebuild, problem, blank: false };
  }
  const plan = decideRebuild(gatherRebuild(deps, { ...facts, shard: known(deps, shard) }, engine, order));
  await carryOut(deps, { facts, order, engine }, plan.actions, context);
  return plan;
}

/** With the status that this process has written, while the cache does not show it yet. */
function known({ memory }: ShardDeps, shard: Shard): Shard {
  const status = memory.statusOf(shard);
  return status ? { ...shard, status } : shard;
}

/** Tells what has come of it, once. */
export function tellOfRebuild(
  { events }: Pick<ShardDeps, 'events'>,
  before: ShardRebuildStatus | undefined,
  raw: KubeObject,
  plan: RebuildPlan | undefined,
): void {
  const { status } = plan ?? {};
  if (!status || (before?.request === status.request && before.state === status.state)) return;
  const failed = status.state === 'Failed';
  events.emit({
    regarding: raw,
    type: failed ? 'Warning' : 'Normal',
    reason: {
      Running: 'Rebuilding',
      Failed: 'RebuildFailed',
      Done: 'Rebuilt',
      Cancelled: 'RebuildCancelled',
    }[status.state],
    action: 'Rebuild',
    note: status.message,
  });
}
