/**
 * One pass over one shard: make the objects so, then the database, then renew members by one step. Each pass starts from what is there now; every write may be the last one before the operator is killed.
 */
import { isShardField, withoutBackupFields } from '#controllers/backup-fields.ts';
import { CredentialsMissingError, reachablePrimary } from '#controllers/connect-target.ts';
import type { MemberFacts } from '#engines/engine.ts';
import { EngineError, StaleAccessError } from '#engines/errors.ts';
import { sameJson } from '#kernel/canonical.ts';
import { jitter } from '#kernel/clock.ts';
import { setConditions } from '#kernel/conditions.ts';
import type { Reconcile, ReconcileContext, ReconcileResult } from '#kernel/controller.ts';
import type { Request } from '#kernel/source.ts';
import { accessHash } from './access.ts';
import { copyReferences, tend } from './database.ts';
import type { ShardDeps } from './deps.ts';
import { gatherShard, isHeld, type ShardFacts, shardOf } from './facts.ts';
import { ensureObjects, type ObjectsResult } from './objects.ts';
import type { RebuildPlan } from './rebuild/decide.ts';
import { concluded } from './rebuild/order.ts';
import { REBUILD_RETRY_MS, rebuild, tellOfRebuild } from './rebuild/rebuild.ts';
import { renewMembers } from './renew.ts';
import { schemaDue } from './schema.ts';
import { sessionNeeds, sweepDue } from './session-work.ts';
import { type Measured, type Rolling, shardStatus } from './status.ts';
import { DETAILS_WAIT_MS, isNews } from './status-news.ts';

/** How soon a database that refused a session is tried again, while nothing else happens. */
const SESSION_RETRY_MS = 2000;

/** After a change: replicas are still catching up, so what was measured is soon out of date. */
const SOON_MS = 10_000;

/** Three loops of the engine's high availability. */
const SETTLE_MS = 10_000;

interface Pass {
  readonly objects: ObjectsResult;
  readonly rolling: Rolling | undefined;
  readonly sessionFailure: string | undefined;
  readonly certificateExpiry: string | undefined;
  readonly requeueAfterMs: number | undefined;
  readonly rebuilt?: RebuildPlan | undefined;
}

export function shardReconciler(deps: ShardDeps): Reconcile {
  return async (request, context) => {
    const facts = gatherShard(deps.caches, deps.engine, request);
    if (!facts) {
      deps.memory.forget(request);
      deps.certificates.forget(request);
      deps.turns.forget(request.namespace, request.name);
      deps.schemas.forget(request);
      return {};
    }
    // What it owns is collected with it; the claims follow the policy in the StatefulSet.
    if (facts.shard.metadata.deletionTimestamp !== undefined) return {};
    return reconcile(deps, facts, request, context);
  };
}

async function reconcile(
  deps: ShardDeps,
  facts: ShardFacts,
  request: Request,
  context: ReconcileContext,
): Promise<ReconcileResult> {
  const { shard } = facts;
  if (isHeld(deps.caches, shard)) {
    const pass = idle(shard.status?.certificateExpiry);
    const detailsMs = await writeStatus(deps, facts, request, pass, true, context);
    return detailsMs === undefined ? {} : { requeueAfterMs: detailsMs };
  }
  const names = deps.engine(shard).serverNames(shard);
  const certificate = await deps.certificates.ensure(shard, names, context);
  const rebuilt = await rebuild(deps, facts, context);
  const objects = await ensureObjects(deps, facts, context, rebuilt?.replicas);

  if (rebuilt?.blank) {
    deps.memory.keep(shard, {});
    deps.schemas.withdraw(shard);
  }
  const pass = rebuilt?.blank
    ? { ...idle(certificate.expiry), objects }
    : await workWithDatabase(deps, facts, objects, certificate.expiry, context);
  const detailsMs = await writeStatus(deps, facts, request, { ...pass, rebuilt }, false, context);
  const rebuildMs = rebuilt ? REBUILD_RETRY_MS : Infinity;
  const againMs = Math.min(pass.requeueAfterMs ?? Infinity, detailsMs ?? Infinity, rebuildMs);
  return againMs === Infinity ? {} : { requeueAfterMs: againMs };
}

async function workWithDatabase(
  deps: ShardDeps,
  facts: ShardFacts,
  objects: ObjectsResult,
  certificateExpiry: string | undefined,
  context: ReconcileContext,
): Promise<Pass> {
  const { shard } = facts;
  const primary = reachablePrimary(facts.members);
  let rolling: Rolling | undefined =
    objects.rolling === undefined ? undefined : { what: objects.rolling, reason: 'RollingOut' };
  let sessionFailure: string | undefined;
  let retryMs: number | undefined;
  try {
    if (primary) {
      const before = deps.memory.measured(shard);
      const outcome = deps.schemas.outcome(shard);
      const needs = sessionNeeds(shard, facts.members, before, {
        statistics: statisticsDue(deps, facts),
        grants: outcome !== undefined && (outcome.schema !== undefined || outcome.applied.length > 0),
      });
      if (needs) deps.memory.keep(shard, await tend(deps, facts, primary, needs, before, context));
      if (!outcome?.schema && schemaDue(shard, deps.memory.measured(shard))) deps.schemas.order(shard);
      if (needs) {
        const first = before.referenceVersion === undefined || outcome?.schema !== undefined;
        const measured = await withReferences(deps, facts, primary, outcome?.schema, first, context);
        deps.memory.keep(shard, measured);
        if (outcome) deps.schemas.settle(shard, outcome);
        scheduleStatistics(deps, facts, needs.statistics ? deps.statisticsMs : SOON_MS);
        if (sweepDue(facts.members, measured)) retryMs = SESSION_RETRY_MS;
      }
    }
    const unsettled = settling(deps, facts, objects);
    rolling = (await renewMembers(deps, facts, unsettled === undefined, context)) ?? rolling ?? unsettled;
    if (!rolling && isWhole(facts)) deps.turns.giveBack(shard);
  } catch (error) {
    if (!(error instanceof EngineError) && !(error instanceof CredentialsMissingError)) throw error;
    // A migration has closed that generation; the Shard is about to be told of the next.
    const level = error instanceof StaleAccessError ? 'debug' : 'warn';
    context.log[level]({ err: error }, 'trying again after the database refused a session');
    sessionFailure = `${error.message}. ${error.remedy}`;
    retryMs = SESSION_RETRY_MS;
  }
  return {
    objects,
    rolling,
    sessionFailure,
    certificateExpiry,
    requeueAfterMs: retryMs ?? untilNext(deps, facts),
  };
}

/**
 * `applied`: what became of its schema files just now. A Shard says so once reference tables, which those may have made, have what the
 * home shard has.
 */
function withReferences(
  deps: ShardDeps,
  facts: ShardFacts,
  primary: MemberFacts,
  applied: Measured['schema'],
  first: boolean,
  context: ReconcileContext,
): Promise<Measured> {
  const before = deps.memory.measured(facts.shard);
  const measured = applied ? { ...before, schema: applied } : before;
  const hasTables = !facts.shard.spec.schema || measured.schema !== undefined;
  return hasTables
    ? copyReferences(deps, facts, primary, measured, first, context)
    : Promise.resolve(measured);
}

function statisticsDue(deps: ShardDeps, { shard }: ShardFacts): boolean {
  if (deps.statisticsMs <= 0) return false;
  const dueAt = deps.memory.statisticsDueAt(shard);
  if (dueAt !== undefined) return deps.clock.monotonicMs() >= dueAt;
  if (shard.status?.sizeBytes === undefined) return true;
  // After a restart of the operator the fleet is measured over a whole interval, not at once.
  deps.memory.measureAt(shard, deps.clock.monotonicMs() + deps.statisticsMs * deps.random());
  return false;
}

function scheduleStatistics(deps: ShardDeps, { shard }: ShardFacts, afterMs: number): void {
  if (deps.statisticsMs <= 0) return;
  deps.memory.measureAt(shard, deps.clock.monotonicMs() + jitter(afterMs, 0.2, deps.random));
}

/**
 * Members say that they want a restart only some seconds after their settings were changed. Until then the shard does not
 * count as done, or the next one's turn would come too early.
 */
function settling(deps: ShardDeps, { shard }: ShardFacts, objects: ObjectsResult): Rolling | undefined {
  const now = deps.clock.monotonicMs();
  // While a shard is being made there is nothing to restart.
  if (objects.changed && shard.status?.phase !== undefined && shard.status.phase !== 'Creating') {
    deps.memory.settleUntil(shard, now + SETTLE_MS);
  }
  return now < deps.memory.settledAt(shard)
    ? { what: 'members are taking up the new settings', reason: 'Settling' }
    : undefined;
}

/** Nothing that a renewal disturbs is still disturbed. */
function isWhole({ shard, members }: ShardFacts): boolean {
  const { consistency, members: wanted } = shard.spec;
  const ready = members.filter(member => member.ready).length;
  const held = consistency !== 'strong' || wanted < 2 || members.some(member => member.synchronous);
  return ready >= wanted && held && members.some(member => member.role === 'primary');
}

function untilNext(deps: ShardDeps, { shard }: ShardFacts): number | undefined {
  const now = deps.clock.monotonicMs();
  const settledAt = deps.memory.settledAt(shard);
  const dueAt = Math.min(
    deps.memory.statisticsDueAt(shard) ?? Infinity,
    settledAt > now ? settledAt : Infinity,
  );
  return dueAt === Infinity ? undefined : Math.max(500, dueAt - now);
}

/** Returns how long a change of details is put off, if it is. */
async function writeStatus(
  deps: ShardDeps,
  facts: ShardFacts,
  request: Request,
  pass: Pass,
  paused: boolean,
  { signal }: ReconcileContext,
): Promise<number | undefined> {
  // The newest state of the same Shard: it may have changed while this pass was at work.
  const live = deps.caches.shards.get(request);
  if (!live || live.metadata.uid !== facts.raw.metadata.uid) return undefined;
  const { shard } = facts;
  const { fields, conditions } = shardStatus({
    shard,
    members: facts.members,
    measured: deps.memory.measured(shard),
    accessWanted: accessHash(shard),
    rolling:
      pass.rebuilt?.progress === undefined
        ? pass.rolling
        : { what: pass.rebuilt.progress, reason: 'Rebuilding' },
    problem: pass.rebuilt?.problem ?? pass.objects.problem,
    rebuild: pass.rebuilt
      ? pass.rebuilt.status
      : paused
        ? shard.status?.rebuild
        : concluded(deps.memory.statusOf(shardOf(live))?.rebuild, deps.clock.now()),
    sessionFailure: pass.sessionFailure ?? deps.schemas.outcome(shard)?.trouble,
    paused,
    certificateExpiry: pass.certificateExpiry,
  });
  const observedGeneration = shard.metadata.generation ?? 0;
  const shown = deps.memory.statusOf(shardOf(live));
  const known = shown && withoutBackupFields(shown);
  const before = known?.conditions ?? [];
  const wantedTypes = new Set(conditions.map(condition => condition.type));
  const after = setConditions(
    before.filter(condition => wantedTypes.has(condition.type)),
    conditions.map(condition => ({ ...condition, observedGeneration })),
    deps.clock.now(),
  );
  const status = { ...fields, conditions: after };
  if (known !== undefined && sameJson(known, status)) return undefined;
  const now = deps.clock.monotonicMs();
  const waitMs = deps.memory.statusWrittenAt(shard) + DETAILS_WAIT_MS - now;
  if (waitMs > 0 && !isNews(known, status)) return waitMs;
  // It rests on the status before, which may be one that the cache does not show yet.
  const over = paused ? facts.raw.metadata.resourceVersion : undefined;
  const { changed } = await deps.applier.applyStatus(live, status, { signal, owns: isShardField, over });
  deps.memory.keepStatus(shard, { status, over: live.metadata.resourceVersion, at: now });
  if (changed) deps.events.conditionsChanged(facts.raw, before, after);
  tellOfRebuild(deps, known?.rebuild, facts.raw, pass.rebuilt);
  return undefined;
}

function idle(certificateExpiry: string | undefined): Pass {
  return {
    objects: { problem: undefined, rolling: undefined, changed: false },
    rolling: undefined,
    sessionFailure: undefined,
    certificateExpiry,
    requeueAfterMs: undefined,
  };
}
