/**
 * One pass over one migration: gather, decide, say so in the status, carry out. A pass may end between any two actions; the next
 * one starts from what is there (docs/adr/0003-moving-data.md).
 */

import { MapBusyError, MapUnavailableError } from '#controllers/shard-map/errors.ts';
import type { MigrationPhase, ShardMigrationStatus } from '#crds/api/migration/status.ts';
import { EngineError } from '#engines/errors.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { sameJson } from '#kernel/canonical.ts';
import type { Reconcile, ReconcileContext, ReconcileResult } from '#kernel/controller.ts';
import { ConflictError } from '#kernel/errors.ts';
import type { KubeObject } from '#kernel/object.ts';
import { ShardingError } from '#sharding/errors.ts';
import { carryOut } from './carry-out.ts';
import { decideMigration } from './decide.ts';
import { type Decision, FAST_MS, SLOW_MS, stalled, wait } from './decision.ts';
import type { MigrationDeps } from './deps.ts';
import { ENDED, type MigrationFacts } from './facts.ts';
import { gatherObjects, observe } from './gather.ts';
import type { Pass } from './pass.ts';
import { PHASES } from './phase.ts';
import { isOutage, TransferSessions } from './sessions.ts';
import { migrationStatus } from './status.ts';

/** After an action: at once, but never in a tight circle should one not do what it says. */
const AGAIN_MS = 50;

export function migrationReconciler(deps: MigrationDeps): Reconcile {
  return async (request, context) => {
    const raw = deps.caches.shardMigrations.get(request);
    if (!raw) return {};
    return reconcile(deps, raw, context);
  };
}

async function reconcile(
  deps: MigrationDeps,
  raw: KubeObject,
  context: ReconcileContext,
): Promise<ReconcileResult> {
  const objects = gatherObjects(deps, raw);
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(deps.sessionMs)]);
  await using sessions = new TransferSessions(deps, objects, signal);
  const facts: MigrationFacts = { ...objects, transfers: await observe(objects, sessions) };
  const decision = decideMigration(facts, deps.clock.now());
  const status = new StatusWriter(deps, raw, facts.status, context.signal);
  await status.write(migrationStatus(facts, decision, deps.clock.now()));
  const pass: Pass = {
    deps,
    raw,
    facts,
    sessions,
    context: { ...context, signal },
    record: change => status.write(change(status.current)),
    wrote: object => status.wrote(object),
    fenced: undefined,
    restMs: 0,
  };
  const failure = await carryOutDecision(pass, decision);
  if (failure) {
    await status.write(migrationStatus({ ...facts, status: status.current }, failure, deps.clock.now()));
    return { requeueAfterMs: failure.againMs };
  }
  // Having ended, it still has to let go.
  return decision.kind === 'Done' && facts.status.phase !== decision.phase
    ? { requeueAfterMs: AGAIN_MS }
    : again(decision, pass.restMs);
}

function again(decision: Decision, restMs: number): ReconcileResult {
  switch (decision.kind) {
    case 'Act':
      return { requeueAfterMs: Math.max(AGAIN_MS, restMs) };
    case 'Wait':
    case 'Stalled':
      return { requeueAfterMs: decision.againMs };
    case 'Done':
      return {};
    default:
      return assertNever(decision);
  }
}

/** What an action failed with, as a decision that says so; errors of the API server pass. */
async function carryOutDecision(
  pass: Pass,
  decision: Decision,
): Promise<(Decision & { readonly kind: 'Wait' | 'Stalled' }) | undefined> {
  const { log } = pass.context;
  const actions = decision.kind === 'Act' ? decision.actions : [];
  const waits = decision.kind === 'Wait' || decision.kind === 'Stalled';
  const aside = waits ? (decision.meanwhile ?? []) : [];
  try {
    await carryOut(pass, actions);
  } catch (error) {
    if (error instanceof MapBusyError || error instanceof MapUnavailableError) {
      return wait(error.code, `${error.message}. ${error.remedy}`, FAST_MS / 2);
    }
    if (error instanceof ShardingError) return stalled(error.code, `${error.message}. ${error.remedy}`);
    if (!isOutage(error)) throw error;
    log.warn({ err: error, doing: decision.reason }, 'trying again after a database refused');
    const needsPerson = error instanceof EngineError && !error.retryable;
    const message = `${decision.message}: ${error.message}. ${error.remedy}`;
    return needsPerson ? stalled(error.code, message, SLOW_MS) : wait(error.code, message, FAST_MS);
  }
  try {
    await carryOut(pass, aside);
  } catch (error) {
    if (!isOutage(error)) throw error;
    log.debug({ err: error }, 'leaving for later what a database refused');
  }
  return undefined;
}

/** Writes what differs, believes it at once, and tells of what changed. */
class StatusWriter {
  readonly #deps: MigrationDeps;
  readonly #raw: KubeObject;
  readonly #signal: AbortSignal;
  #current: ShardMigrationStatus;
  #over: string | undefined;

  constructor(deps: MigrationDeps, raw: KubeObject, current: ShardMigrationStatus, signal: AbortSignal) {
    this.#deps = deps;
    this.#raw = raw;
    this.#signal = signal;
    this.#current = current;
    this.#over = deps.statuses.versionOf(raw);
  }

  get current(): ShardMigrationStatus {
    return this.#current;
  }

  async write(status: ShardMigrationStatus): Promise<void> {
    const before = this.#current;
    if (sameJson(before, status)) return;
    const { events, metrics } = this.#deps;
    this.wrote(await this.#apply(status));
    this.#current = status;
    events.conditionsChanged(this.#raw, before.conditions ?? [], status.conditions ?? []);
    const { phase } = status;
    // Going back is told of by what is done.
    if (phase === undefined || !isFurther(before.phase, phase)) return;
    const note = `${status.operation ?? ''}: ${phase}`;
    events.emit({ regarding: this.#raw, type: 'Normal', reason: phase, action: 'Phase', note });
    if (ENDED.has(phase)) metrics.ended.inc({ phase });
  }

  wrote(object: KubeObject | undefined): void {
    if (!object) return;
    this.#deps.statuses.keep(this.#raw, object);
    this.#over = object.metadata.resourceVersion;
  }

  /** A copy that is behind, as after the API server was away, must not bring back what was true then. */
  async #apply(status: ShardMigrationStatus): Promise<KubeObject> {
    const { objects, statuses } = this.#deps;
    try {
      return await objects.applyStatus(this.#raw, status, this.#over, this.#signal);
    } catch (error) {
      if (error instanceof ConflictError) statuses.forget(this.#raw);
      throw error;
    }
  }
}

function isFurther(before: MigrationPhase | undefined, now: MigrationPhase): boolean {
  return before !== now && (before === undefined || placeOf(now) > placeOf(before));
}

function placeOf(phase: MigrationPhase): number {
  const found = PHASES.findIndex(each => each === phase);
  return found < 0 ? PHASES.length : found;
}
