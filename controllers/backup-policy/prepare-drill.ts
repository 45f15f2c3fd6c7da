/**
 * Begins the drill of one shard: leaves a mark in the live database, takes down what its tables hold, and makes the Job that must
 * find both again. It has a queue of its own, since comparing takes as long as the tables are large.
 */
import { CredentialsMissingError, reachablePrimary } from '#controllers/connect-target.ts';
import { durationMs } from '#controllers/duration.ts';
import { parseQuantity } from '#controllers/quantity.ts';
import { shardOf } from '#controllers/shard/facts.ts';
import type { DrillPlan } from '#crds/api/backup/plan.ts';
import { isPaused, shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { DrillExpectation, OpenBackupSession } from '#engines/backup.ts';
import type { MemberFacts } from '#engines/engine.ts';
import { EngineError } from '#engines/errors.ts';
import type { Reconcile, ReconcileContext } from '#kernel/controller.ts';
import { ownedBy } from '#kernel/owner.ts';
import type { Request } from '#kernel/source.ts';
import type { BackupDeps, DrillAccess } from './deps.ts';
import { backupPolicyOf } from './facts.ts';
import { drillJobOf } from './jobs.ts';
import { drillRequest } from './shard-drills.ts';

/** How long a shard that does not answer is asked again; then it is restored without a comparison: it may be lost. */
const ASK_MS = 60_000;
const AGAIN_MS = 1000;
const DEFAULT_DEADLINE = '2h';
const DEFAULT_CONTENTS = '256Mi';

export interface PrepareDrillDeps
  extends Pick<BackupDeps, 'caches' | 'objects' | 'backups' | 'context' | 'newest' | 'clock' | 'onWrite'> {
  readonly access: DrillAccess;
}

export function drillReconciler(deps: PrepareDrillDeps): Reconcile {
  return async (request, context) => {
    const cached = deps.caches.shards.get(request);
    const raw = cached && deps.newest.shards.of(cached);
    if (!raw || raw.metadata.deletionTimestamp !== undefined) return {};
    const shard = shardOf(raw);
    const wanted = shard.status?.backup?.drill?.wanted;
    const engine = deps.backups(shard);
    if (wanted === undefined || !engine || isPaused(shard)) return {};
    const name = drillRequest(wanted);
    const present = drillJobOf(
      deps.caches.jobs.get({ ...request, name: shardChildren.drillJob(request.name) }),
      engine,
    );
    if (present) return present.request === name ? {} : { requeueAfterMs: AGAIN_MS };
    const plan = planOf(deps, shard);
    const patient = deps.clock.now().getTime() - Date.parse(wanted) < ASK_MS;
    const found = await look(deps, request, plan?.contents ?? DEFAULT_CONTENTS, patient, context);
    deps.onWrite?.(`drill ${request.name}: ${name}`);
    context.log.info({ request: name, compared: found.expect.contents?.length ?? 0 }, 'beginning a drill');
    const job = engine.drillJob(
      shard,
      {
        name,
        deadlineSeconds: Math.round(durationMs(plan?.deadline ?? DEFAULT_DEADLINE) / 1000),
        ...found,
      },
      deps.context,
    );
    // Of another name: it is about to be removed.
    return (await deps.objects.createJob(ownedBy(job, raw), context.signal))
      ? {}
      : { requeueAfterMs: AGAIN_MS };
  };
}

function planOf({ caches }: PrepareDrillDeps, shard: Shard): DrillPlan | undefined {
  const policy = shard.status?.backup?.policy;
  if (policy === undefined) return undefined;
  const raw = caches.backupPolicies.get({ namespace: shard.metadata.namespace ?? '', name: policy });
  return raw && backupPolicyOf(raw).spec.drill;
}

interface Found {
  readonly expect: DrillExpectation;
  readonly target?: string;
}

/** What the source has. Nothing where it does not answer, once it was asked for long enough. */
async function look(
  { access }: PrepareDrillDeps,
  request: Request,
  limit: string,
  patient: boolean,
  { signal, log }: ReconcileContext,
): Promise<Found> {
  const found = access.find(request);
  const open = found && access.openSession(found.shard);
  const primary = found && reachablePrimary(found.members);
  if (!found || !open || !primary) {
    if (patient && open) throw new NotAnsweringError(`no primary of ${request.name} is ready`);
    return { expect: {} };
  }
  let mark: string | undefined;
  try {
    await using session = await openTo(access, open, found, primary, signal);
    mark = await session.mark();
    const limitBytes = parseQuantity(limit) ?? 0;
    const contents = limitBytes > 0 ? await session.contents(limitBytes) : undefined;
    return {
      expect: { mark, ...(contents?.contents ? { contents: contents.contents } : {}) },
      ...(contents ? { target: contents.target } : {}),
    };
  } catch (error) {
    if (!(error instanceof EngineError) && !(error instanceof CredentialsMissingError)) throw error;
    if (patient) throw error;
    log.warn({ err: error }, 'beginning a drill without a comparison: the shard does not answer');
    return { expect: mark === undefined ? {} : { mark } };
  }
}

async function openTo(
  access: DrillAccess,
  open: OpenBackupSession,
  { shard, members }: { readonly shard: Shard; readonly members: readonly MemberFacts[] },
  primary: MemberFacts,
  signal: AbortSignal,
) {
  const target = await access.connectTarget(shard, primary, signal);
  const replica = members
    .filter(({ role, ready, podIP }) => role === 'replica' && ready && podIP !== undefined)
    // Commits wait for the synchronous one.
    .toSorted((a, b) => Number(a.synchronous) - Number(b.synchronous))[0];
  return open(
    shard,
    {
      ...target,
      ...(replica?.podIP === undefined ? {} : { replica: { name: replica.name, host: replica.podIP } }),
    },
    signal,
  );
}

class NotAnsweringError extends Error {
  override readonly name = 'NotAnsweringError';
  readonly code = 'NotAnswering';
  readonly remedy = 'None is needed: it is asked again, and then restored without a comparison.';
}
