/**
 * One pass over one BackupPolicy: gather, tell shards where backups go, decide, write statuses, carry out. A pass may end between
 * any two writes; the next one starts from what is there (docs/adr/0004-backups.md).
 */
import { durationMs } from '#controllers/duration.ts';
import { severalAtOnce } from '#controllers/several-at-once.ts';
import type { Reconcile, ReconcileContext, ReconcileResult } from '#kernel/controller.ts';
import { type KubeObject, keyOf } from '#kernel/object.ts';
import { bindShards } from './bind.ts';
import { carryOut } from './carry-out.ts';
import { decidePolicy, type ShardDecision, type Starting } from './decide.ts';
import type { BackupDeps } from './deps.ts';
import { type Gathered, gatherPolicy, releasedBy } from './gather.ts';
import { isPolicyNews } from './policy-news.ts';
import { detailsMs, isWorthWriting, type ShownBackup } from './shard-news.ts';
import { policyStatus, tenths } from './status.ts';
import { tellOfEnds, tellOfPolicy } from './tell.ts';

const AT_ONCE = 8;
/** How soon what a pass has begun is looked at again, should nothing wake it. */
const SOON_MS = 1000;
/** Secrets that a policy names are looked at this often. */
const IDLE_MS = 60_000;

export function backupPolicyReconciler(deps: BackupDeps): Reconcile {
  return async (request, context) => {
    const raw = deps.caches.backupPolicies.get(request);
    if (raw) return reconcile(deps, raw, context);
    const failures = new Failures();
    await severalAtOnce(releasedBy(deps, request), AT_ONCE, shard =>
      failures.collect(() => carryOut(deps, undefined, { kind: 'Release', shard }, context)),
    );
    failures.throwFirst();
    return {};
  };
}

async function reconcile(
  deps: BackupDeps,
  raw: KubeObject,
  context: ReconcileContext,
): Promise<ReconcileResult> {
  const { signal } = context;
  const facts = await gatherPolicy(deps, raw, signal);
  const failures = new Failures();
  // What cannot be written for one shard must not keep anybody from knowing what the others would lose.
  await failures.collect(() => bindShards(deps, facts, signal));
  const now = deps.clock.now();
  const decision = decidePolicy(facts, starting(deps, facts), now);
  await failures.collect(() => writeShards(deps, facts, decision.shards, signal));
  // What was asked for is acted on only once it is written down.
  failures.throwFirst();
  await writePolicy(deps, facts, policyStatus(facts, decision, now), signal);
  const inOrder = decision.actions.toSorted((a, b) => order(a.kind) - order(b.kind));
  for (const action of inOrder) {
    await failures.collect(() => carryOut(deps, facts.raw, action, context));
    // What could not be taken up must not be acted on.
    if (action.kind === 'TakeUp') failures.throwFirst();
  }
  failures.throwFirst();
  if (inOrder.length > 0) return { requeueAfterMs: SOON_MS };
  return { requeueAfterMs: facts.shards.length === 0 ? IDLE_MS : lookAgainMs(facts) };
}

function order(kind: string): number {
  return kind === 'TakeUp' ? 0 : kind === 'Backup' || kind === 'Archive' ? 2 : 1;
}

/** Silence is noticed well within twice the objective. */
function lookAgainMs({ policy }: Gathered): number {
  return Math.max(1000, Math.min(15_000, durationMs(policy.spec.objectives.rpo) / 4));
}

function starting({ memory }: BackupDeps, { shards }: Gathered): Starting {
  const names = { backup: new Set<string>(), archive: new Set<string>() };
  for (const { raw, backupJob, archiveJob, backup } of shards) {
    const key = keyOf(raw);
    const seen = {
      backup: backupJob !== undefined && backupJob.request !== backup?.finished,
      archive: archiveJob !== undefined && archiveJob.request !== backup?.coldTier?.finished,
    };
    for (const job of ['backup', 'archive'] as const) {
      if (seen[job]) memory.seenJob(key, job);
      else if (memory.isStarting(key, job)) names[job].add(raw.metadata.name);
    }
  }
  return names;
}

async function writeShards(
  deps: BackupDeps,
  facts: Gathered,
  shards: readonly ShardDecision[],
  signal: AbortSignal,
): Promise<void> {
  const objectiveSeconds = durationMs(facts.policy.spec.objectives.rpo) / 1000;
  const interval = detailsMs(shards.length);
  const failures = new Failures();
  const wanted = shards.flatMap(decision => {
    const { view, backup } = decision;
    if (!backup) return [];
    const { recentSeconds } = view.achieved;
    const after: ShownBackup = {
      backup,
      rpoSeconds: recentSeconds === undefined ? undefined : tenths(recentSeconds),
    };
    const before: ShownBackup = { backup: view.backup, rpoSeconds: view.shownRpoSeconds };
    const sinceWrittenMs = deps.memory.sinceWrittenMs(keyOf(view.raw), interval);
    const worth = isWorthWriting(before, after, { sinceWrittenMs, detailsMs: interval, objectiveSeconds });
    return worth ? [{ decision, after }] : [];
  });
  await severalAtOnce(wanted, AT_ONCE, ({ decision, after: { backup, rpoSeconds } }) =>
    failures.collect(async () => {
      const { raw, shard } = decision.view;
      deps.onWrite?.(`status of ${shard.metadata.name}`);
      const status = {
        ...(rpoSeconds === undefined ? {} : { achievedRpoSeconds: rpoSeconds }),
        ...(backup ? { backup } : {}),
      };
      deps.newest.shards.keep(await deps.objects.shardStatus(raw, status, signal));
      deps.memory.wroteStatus(keyOf(raw));
      tellOfEnds(deps, facts.raw, decision);
    }),
  );
  failures.throwFirst();
}

async function writePolicy(
  deps: BackupDeps,
  facts: Gathered,
  status: ReturnType<typeof policyStatus>,
  signal: AbortSignal,
): Promise<void> {
  const { raw, status: before } = facts;
  const key = keyOf(raw);
  if (!isPolicyNews(before, status, deps.memory.sinceWrittenMs(key, 0))) return;
  deps.onWrite?.('status of the policy');
  deps.newest.policies.keep(await deps.objects.policyStatus(raw, status, signal));
  deps.memory.wroteStatus(key);
  tellOfPolicy(deps, raw, before, status);
}

/** Goes on with others after a failure, and throws the first one in the end. */
class Failures {
  #first: { readonly error: unknown } | undefined;

  async collect(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#first ??= { error };
    }
  }

  throwFirst(): void {
    if (this.#first) throw this.#first.error;
  }
}
